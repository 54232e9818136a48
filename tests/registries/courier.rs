//! The cache whose upstream is a courier: what is pulled in vain is listed, exported, verified,
//! imported, and pulled. By the built program, over HTTP.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use super::serve_clients::Process;
use super::served::Site;
use super::upstream::Upstream;

fn curl(process: &Process, target: &str) -> (u16, Vec<u8>) {
    let address = format!("http://{}{target}", process.host);
    let got = Command::new("curl").args(["-s", "-w", "\\n%{http_code}", &address]).output().unwrap().stdout;
    let end = got.iter().rposition(|byte| *byte == b'\n').unwrap();
    (std::str::from_utf8(&got[end + 1..]).unwrap().parse().unwrap(), got[..end].to_vec())
}

/// Waits until `is_so`, for at most 20 s.
fn wait(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..200 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what}");
}

fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_packmule"));
    command.args(args).current_dir(dir).env_clear().env("HOME", dir);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    done
}

#[test]
fn c13_what_is_pulled_in_vain_comes_with_the_next_bundle() {
    let (upstream, site) = (Upstream::start(), Site::new());
    let (app, layer) = upstream.image("org/app", &["1", "2"], 700_001, 1);
    upstream.image("org/late", &["7"], 10, 2);
    let dir = site.dir.path();
    let at = |name: &str| dir.join(name);
    let text = |name: &str| std::fs::read_to_string(at(name)).unwrap_or_default();
    let rule = format!(
        "[rule.up]\nsource = \"{}/org/*\"\ntarget = \"up/*\"\ntags = {{ exclude = [\"*-rc\"] }}\n",
        upstream.host()
    );
    std::fs::write(at("rules.toml"), rule).unwrap();
    run(dir, &["key", "new", "-o", "release.pem", "--no-passphrase"]);
    // The disconnected side serves the layout that imports go to.
    let args = ["oci:layout", "--config", "rules.toml", "--wanted-out", "wanted.txt"];
    let process = Process::start(&site, &args);
    for target in ["manifests/1", "manifests/1", "manifests/2"] {
        let (status, body) = curl(&process, &format!("/v2/up/app/{target}"));
        let body = String::from_utf8(body).unwrap();
        assert!(status == 404 && body.contains("MANIFEST_UNKNOWN") && body.contains("next bundle"), "{status} {body}");
    }
    assert_eq!(curl(&process, &format!("/v2/org/late/manifests/7?ns={}", upstream.host())).0, 404);
    // Not covered, left out by the rule, and what clients only try.
    let guess = format!("sha256-{}.sig", "0".repeat(64));
    for target in ["/v2/other/manifests/1", "/v2/up/app/manifests/1-rc", &format!("/v2/up/app/manifests/{guess}")] {
        assert_eq!(curl(&process, target).0, 404);
    }
    assert!(upstream.requests().is_empty(), "nothing is fetched");
    let host = upstream.host();
    let list = format!("{host}/org/app:1\n{host}/org/app:2\n{host}/org/late:7\n");
    wait("the list", || text("wanted.txt") == list);
    // The connected side.
    std::fs::copy(at("wanted.txt"), at("carried.txt")).unwrap();
    run(dir, &["export", "--wanted", "carried.txt", "-o", "b", "--sign", "release.pem", "--state", "connected"]);
    run(dir, &["verify", "b", "--key", "release.pub.pem"]);
    run(dir, &["import", "b", "--key", "release.pub.pem", "--to", "oci:layout", "--state", "disconnected"]);
    // Seen without a restart: pulls work, and the entries are closed.
    wait("closed entries", || text("wanted.txt").is_empty());
    for (name, tag) in [("up/app", "1"), ("up/app", "2")] {
        assert_eq!(curl(&process, &format!("/v2/{name}/manifests/{tag}")), (200, app.raw().to_vec()));
    }
    let digest = packmule::oci::Digest::sha256(&layer.0);
    assert!(curl(&process, &format!("/v2/up/app/blobs/{digest}")) == (200, layer.0.clone()));
    // One more miss, and the end: the list is there for the next start, which continues it.
    assert_eq!(curl(&process, "/v2/up/app/manifests/3").0, 404);
    let (code, said) = process.end("-TERM");
    assert!(code == Some(143) && !said.contains("error:"), "{code:?} {said}");
    assert_eq!(text("wanted.txt"), format!("{host}/org/app:3\n"));
    let process = Process::start(&site, &args);
    assert_eq!(curl(&process, "/v2/up/late/manifests/8").0, 404);
    wait("both", || text("wanted.txt") == format!("{host}/org/app:3\n{host}/org/late:8\n"));
    drop(process);
    // As soon as a bundle is served, what it has is closed.
    std::fs::write(at("wanted.txt"), &list).unwrap();
    let process = Process::start(
        &site,
        &["./b", "--key", "release.pub.pem", "--config", "rules.toml", "--wanted-out", "wanted.txt"],
    );
    wait("closed by the bundle", || text("wanted.txt").is_empty());
    assert_eq!(curl(&process, "/v2/up/app/manifests/1"), (200, app.raw().to_vec()));
}

#[test]
fn c13_a_file_that_is_no_list_of_its_form_is_left_as_it_is() {
    let site = Site::new();
    std::fs::write(site.dir.path().join("rules.toml"), "").unwrap();
    for text in ["# mine\nquay.io/a:1\n", "quay.io/b:1\nquay.io/a:1\n", "something else"] {
        std::fs::write(site.dir.path().join("mine.txt"), text).unwrap();
        let (code, said) = site.run(&["serve", "oci:layout", "--config", "rules.toml", "--wanted-out", "mine.txt"]);
        assert!(code == 2 && said.contains("--wanted-out mine.txt"), "{code} {said}");
        assert_eq!(std::fs::read_to_string(site.dir.path().join("mine.txt")).unwrap(), text);
    }
}

#[test]
fn c4_map_rules_names_an_import_and_refuses_what_is_ambiguous() {
    let site = Site::new();
    site.bundle("b", &[]);
    let rule = |name: &str, target: &str| {
        format!("[rule.{name}]\nsource = \"docker.io/library/*\"\ntarget = \"{target}/*\"\n")
    };
    let import = |rules: &str, more: &[&str]| {
        std::fs::write(site.dir.path().join("rules.toml"), rules).unwrap();
        let words = [
            "import",
            "b",
            "--key",
            "key.pub.pem",
            "--to",
            "oci:out",
            "--map",
            "rules",
            "--config",
            "rules.toml",
            "--dry-run",
        ];
        site.run(&[&words[..], more].concat())
    };
    let (code, told) = import(&rule("one", "lib"), &[]);
    assert!(code == 0 && told.contains("lib/base") && told.contains("reg.example/org/app"), "{code} {told}");
    let both = rule("one", "lib") + &rule("two", "other");
    let (code, told) = import(&both, &[]);
    assert!(
        code == 15 && told.contains("\"one\"") && told.contains("\"two\"") && told.contains("library/base"),
        "{code} {told}"
    );
    let (code, told) = import(&both, &["--map", "docker.io/library/base=mine"]);
    assert!(code == 0 && told.contains("mine"), "{code} {told}");
}
