//! Receipts: what arrived, read back, signed, and reported however the import ended
//! (`spec/receipt.md`).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::shelf::{Hook, Image, Shelf, noise};
use super::strace::injected;
use super::world::{command, dir, fresh, layout, manifest, packmule, prefix, refused, sha256, stride, text, var};

pub(super) fn read(path: &str) -> Value {
    serde_json::from_slice(&fs::read(dir().join(path)).unwrap()).unwrap()
}

pub(super) fn import(bundle: &str, to: &str, receipt: &str, more: &[&str], code: i32) -> Value {
    let args = ["import", bundle, "--key", "k.pub.pem", "--to", to, "--receipt", receipt];
    packmule(&[&args[..], more].concat(), code).0
}

/// Returns the first line that `inspect` prints for a receipt.
fn first(receipt: &str, more: &[&str]) -> String {
    let ended = command(&[&["inspect", receipt][..], more].concat()).output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    text(&ended.stdout).lines().next().unwrap().to_owned()
}

/// Makes a bundle of two images below `test`, as `test/b`.
pub(super) fn two(test: &str, seed: u64) -> [Image; 2] {
    let name = fresh(test);
    let images = [1, 2].map(|n| Image::new(vec![noise(seed, 90_000), noise(seed + n, 30_000)]));
    layout(&format!("{test}/source"), &images);
    packmule(&["export", &format!("oci:{test}/source"), "-o", &name, "--sign", "k.pem"], 0);
    images
}

#[test]
fn a_receipt_says_what_the_registry_gives_and_is_signed() {
    let (Some(host), Some(crane)) = (var("PACKMULE_TEST_DISTRIBUTION2"), var("PACKMULE_TEST_CRANE")) else { return };
    let images = two("told", 9100);
    let to = format!("{host}/{}", prefix("told"));
    let done = import("told/b", &to, "told/r.json", &["--sign", "k.pem"], 0);
    let receipt = read("told/r.json");
    let bytes = fs::read(dir().join("told/r.json")).unwrap();
    assert_eq!(done["result"]["receipt"]["digest"], sha256(&bytes));
    assert_eq!(receipt["bundle"]["id"], sha256(&fs::read(dir().join("told/b.json")).unwrap()));
    assert_eq!(receipt["destination"], to);
    assert_eq!(receipt["artifacts"].as_array().unwrap().len(), 2);
    for artifact in receipt["artifacts"].as_array().unwrap() {
        let at = artifact["destination"].as_str().unwrap();
        let tag = &artifact["tags"][0];
        let given = manifest(&crane, &format!("{at}:{}", tag["name"].as_str().unwrap()));
        assert_eq!(artifact["readBack"], sha256(&given));
        assert_eq!(tag["readBack"], sha256(&given));
        assert_eq!((&artifact["outcome"], &tag["outcome"]), (&"pushed".into(), &"set".into()));
        assert!(images.iter().any(|image| image.digest() == sha256(&given)));
    }
    assert_eq!(receipt["counts"]["sent"], done["result"]["blobs"]["pushed"]);
    assert_eq!(receipt["counts"]["bytes"], done["result"]["bytes"]);
    assert_eq!(first("told/r.json", &["--key", "k.pub.pem"]), format!("ALL ARRIVED  2 of 2 artifacts of b at {to}"));
    let (shown, _) = packmule(&["inspect", "told/r", "--key", "k.pub.pem"], 0);
    assert_eq!((&shown["result"]["authenticated"], &shown["result"]["receipt"]), (&true.into(), &receipt));
    let (shown, _) = packmule(&["inspect", "told/r.json", "--check"], 0);
    assert_eq!(shown["result"]["authenticated"], false);

    // Existing content is read back as well.
    import("told/b", &to, "told/again.json", &[], 0);
    let again = read("told/again.json");
    assert!(again["artifacts"].as_array().unwrap().iter().all(|one| one["outcome"] == "present"), "{again}");
    assert_eq!(again["counts"]["sent"], 0);
    assert!(!dir().join("told/again.sig.json").exists());
    refused(&["inspect", "told/again.json", "--key", "k.pub.pem"], 12);
}

#[test]
fn s10_a_receipt_that_was_changed_is_no_receipt() {
    two("forged", 9200);
    import("forged/b", "oci:forged/site", "forged/r.json", &["--sign", "k.pem"], 0);
    packmule(&["key", "new", "-o", "forged/other.pem", "--no-passphrase"], 0);
    assert!(first("forged/r.json", &["--key", "k.pub.pem"]).starts_with("ALL ARRIVED  2 of 2"));
    refused(&["inspect", "forged/r.json", "--key", "forged/other.pub.pem"], 13);
    let told = refused(&["inspect", "forged/b", "--key", "k.pub.pem"], 2);
    assert!(told.contains("verify"), "{told}");
    let good = fs::read_to_string(dir().join("forged/r.json")).unwrap();
    let write = |text: &str| fs::write(dir().join("forged/r.json"), text).unwrap();
    write(&good.replacen("oci:forged/site", "oci:forged/sito", 1));
    refused(&["inspect", "forged/r.json", "--key", "k.pub.pem"], 12);
    refused(&["inspect", "forged/r.json", "--check"], 12);
    write(&good.replacen("\"pushed\"", "\"failed\"", 1));
    refused(&["inspect", "forged/r.json"], 10);
    // The signatures of a bundle do not count for a receipt.
    write(&good);
    fs::copy(dir().join("forged/b.sig.json"), dir().join("forged/r.sig.json")).unwrap();
    refused(&["inspect", "forged/r.json", "--key", "k.pub.pem"], 12);
}

#[test]
fn s19_keys_and_names_are_looked_at_before_any_work() {
    two("early", 9300);
    packmule(&["key", "new", "-o", "early/open.pem", "--no-passphrase"], 0);
    fs::set_permissions(dir().join("early/open.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    for (file, text) in [("early/pass", "first\n"), ("early/wrong", "second\n")] {
        fs::write(dir().join(file), text).unwrap();
        fs::set_permissions(dir().join(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    packmule(&["key", "new", "-o", "early/locked.pem", "--passphrase-file", "early/pass"], 0);
    fs::write(dir().join("early/there.json"), "mine").unwrap();
    let target = Shelf::plain(&[]);
    let attempt = |more: &[&str], code| {
        let args = ["import", "early/b", "--key", "k.pub.pem", "--to", target.host()];
        let told = refused(&[&args[..], more].concat(), code);
        assert!(target.manifests().is_empty(), "{more:?}");
        let left = fs::read_dir(dir().join("early")).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<String> = left.map(|name| name.into_string().unwrap()).collect();
        assert!(!left.iter().any(|name| name.starts_with("r.") || name.ends_with(".partial")), "{more:?}: {left:?}");
        told
    };
    for key in ["early/open.pem", "k.pub.pem", "early/locked.pem", "early/none.pem"] {
        attempt(&["--receipt", "early/r.json", "--sign", key], 2);
    }
    attempt(&["--receipt", "early/r.json", "--sign", "early/locked.pem", "--passphrase-file", "early/wrong"], 2);
    attempt(&["--receipt", "early/there.json"], 2);
    attempt(&["--receipt", "early/r.txt"], 2);
    attempt(&["--receipt", "early/r.sig.json"], 2);
    attempt(&["--receipt", "early/nowhere/r.json"], 22);
    attempt(&["--sign", "k.pem"], 2);
    attempt(&["--receipt", "early/r.json", "--dry-run"], 2);
    assert_eq!(fs::read(dir().join("early/there.json")).unwrap(), b"mine");
    // A bundle that is not admitted has no receipt.
    let args = ["import", "early/b", "--key", "early/open.pub.pem", "--to", target.host()];
    refused(&[&args[..], &["--receipt", "early/r.json"]].concat(), 13);
    assert!(!dir().join("early/r.json").exists() && !dir().join("early/r.json.partial").exists());
    let passed = ["--sign", "early/locked.pem", "--passphrase-file", "early/pass"];
    import("early/b", target.host(), "early/r.json", &passed, 0);
    assert!(first("early/r.json", &["--key", "early/locked.pub.pem"]).starts_with("ALL ARRIVED"));
}

/// A registry that refuses the manifest of the first image under its tag.
pub(super) fn refusing(digest: String) -> Shelf {
    let hook: Hook = Box::new(move |request| {
        let is_it = request.method == "PUT" && request.path.contains("/manifests/") && sha256(&request.body) == digest;
        is_it.then(|| super::server::reply(403, r#"{"errors":[{"code":"DENIED","message":"not \u001b[31mthis"}]}"#))
    });
    Shelf::start(&[], hook)
}

#[test]
fn a_receipt_tells_of_an_import_that_failed_part_way() {
    let images = two("part", 9400);
    let target = refusing(images[0].digest());
    let done = import("part/b", target.host(), "part/r.json", &["--keep-going", "--sign", "k.pem"], 30);
    let receipt = read("part/r.json");
    assert_eq!(done["result"]["receipt"]["arrived"], 1);
    assert_eq!(
        first("part/r.json", &["--key", "k.pub.pem"]),
        format!("PARTLY ARRIVED  1 of 2 artifacts of b at {}", target.host())
    );
    assert_eq!(receipt["fault"]["class"], "partial");
    let failed = images[0].digest();
    for artifact in receipt["artifacts"].as_array().unwrap() {
        let is_it = artifact["digest"] == *failed;
        assert_eq!(artifact["outcome"], if is_it { "failed" } else { "pushed" }, "{artifact}");
        assert_eq!(artifact["tags"][0]["outcome"], if is_it { "failed" } else { "set" }, "{artifact}");
        assert_eq!(artifact["reason"].is_string(), is_it);
    }
    let only = sha256(&images[0].blobs[1]);
    assert!(!receipt["blobs"].as_array().unwrap().iter().any(|leaf| leaf["digest"] == *only), "{receipt}");

    // Without it the whole run ends, and the receipt says so.
    let other = refusing(images[0].digest());
    let done = import("part/b", other.host(), "part/none.json", &[], 21);
    assert_eq!(done["result"]["receipt"]["arrived"], 0);
    let receipt = read("part/none.json");
    assert_eq!(receipt["fault"]["class"], "destination");
    assert!(receipt["artifacts"].as_array().unwrap().iter().all(|one| one["outcome"] == "failed"), "{receipt}");
    assert!(first("part/none.json", &[]).starts_with("NOTHING ARRIVED  0 of 2"));
    let told = text(&command(&["inspect", "part/none.json"]).output().unwrap().stdout);
    assert!(!told.contains('\u{1b}') && told.contains("not authenticated"), "{told}");

    // An unreachable destination: the bundle was admitted, and nothing arrived.
    import("part/b", "127.0.0.1:9", "part/gone.json", &["--retries", "0"], 21);
    assert_eq!(read("part/gone.json")["counts"]["sent"], 0);
}

#[test]
fn p1_a_failed_imports_receipt_makes_room_for_the_same_command() {
    let images = two("twice", 9460);
    let args = |to: &str, code| import("twice/b", to, "twice/r.json", &["--sign", "k.pem"], code);
    let bytes = |name: &str| fs::read(dir().join("twice").join(name)).unwrap();
    let mut failed = Vec::new();
    for number in 1..=2 {
        let target = refusing(images[0].digest());
        let done = args(target.host(), 21);
        assert_eq!(done["result"]["receipt"]["earlier"].is_string(), number > 1, "{done}");
        failed.push((bytes("r.json"), bytes("r.sig.json")));
    }
    let target = Shelf::plain(&[]);
    let done = args(target.host(), 0);
    assert!(done["result"]["receipt"]["earlier"].as_str().unwrap().ends_with("r.failed-2.json"), "{done}");
    for (number, (receipt, signatures)) in failed.iter().enumerate() {
        let name = format!("r.failed-{}", number + 1);
        assert_eq!((&bytes(&format!("{name}.json")), &bytes(&format!("{name}.sig.json"))), (receipt, signatures));
        assert!(first(&format!("twice/{name}.json"), &["--key", "k.pub.pem"]).starts_with("NOTHING ARRIVED"));
    }
    assert!(first("twice/r.json", &["--key", "k.pub.pem"]).starts_with("ALL ARRIVED"));
    // A receipt of success stays.
    let good = bytes("r.json");
    let told =
        refused(&["import", "twice/b", "--key", "k.pub.pem", "--to", target.host(), "--receipt", "twice/r.json"], 2);
    assert!(told.contains("failed import"), "{told}");
    assert_eq!(bytes("r.json"), good);
    assert!(!dir().join("twice/r.failed-3.json").exists());
}

#[test]
fn d2_a_registry_that_gives_other_bytes_than_it_took_is_not_believed() {
    let images = two("lying", 9500);
    let wrong = Image::new(vec![noise(9600, 100)]);
    let digest = images[1].digest();
    let hook: Hook = Box::new(move |request| {
        let is_it = request.method == "GET" && request.path.ends_with(&format!("/manifests/{digest}"));
        is_it.then(|| super::server::reply(200, wrong.manifest.clone()).with("Docker-Content-Digest", digest.clone()))
    });
    let target = Shelf::start(&[], hook);
    import("lying/b", target.host(), "lying/r.json", &[], 21);
    let receipt = read("lying/r.json");
    let failed: Vec<&Value> =
        receipt["artifacts"].as_array().unwrap().iter().filter(|one| one["outcome"] == "failed").collect();
    assert!(failed.iter().any(|one| one["digest"] == *images[1].digest()), "{receipt}");
    assert!(failed.iter().all(|one| one["readBack"].is_null()), "{receipt}");
}

#[test]
fn p1_a_receipt_is_whole_or_not_there_wherever_the_run_is_killed() {
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    two("killed-receipt", 9700);
    let args = ["import", "killed-receipt/b", "--key", "k.pub.pem", "--to", "oci:killed-receipt/site", "-j", "1"];
    let args = [&args[..], &["--receipt", "killed-receipt/r.json", "--sign", "k.pem"]].concat();
    let paths = ["r.json", "r.sig.json"].map(|name| dir().join("killed-receipt").join(name));
    let mut seen = [0; 2];
    for (call, step) in [("/^rename", 1), ("fsync", 1), ("ftruncate", 1), ("/^unlink", 1)] {
        for nth in (1..40).step_by(stride(step)) {
            paths.iter().for_each(|path| drop(fs::remove_file(path)));
            let (code, told) = injected(&strace, call, "signal=KILL", nth, &args);
            let there = paths[0].exists();
            if there {
                assert!(first("killed-receipt/r.json", &["--key", "k.pub.pem"]).starts_with("ALL ARRIVED"));
            } else {
                packmule(&args, 0);
                assert!(first("killed-receipt/r.json", &["--key", "k.pub.pem"]).starts_with("ALL ARRIVED"), "{told}");
            }
            assert!(!dir().join("killed-receipt/r.json.partial").exists(), "{call} {nth}");
            if code == Some(0) {
                break;
            }
            seen[usize::from(there)] += 1;
        }
    }
    assert!(seen[0] > 3 && seen[1] > 0, "{seen:?}");
}

#[test]
fn an_import_that_is_signalled_says_so_in_its_receipt() {
    two("sig-receipt", 9960);
    let seen = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&seen);
    let hook: Hook = Box::new(move |request| {
        if request.method == "PUT" && request.path.contains("/manifests/") {
            flag.store(true, Ordering::Relaxed);
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        None
    });
    let target = Shelf::start(&[], hook);
    let args = ["import", "sig-receipt/b", "--key", "k.pub.pem", "--to", target.host(), "-j", "1"];
    let mut child = command(&[&args[..], &["--receipt", "sig-receipt/r.json"]].concat()).spawn().unwrap();
    while !seen.load(Ordering::Relaxed) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    super::world::stranger("kill", &["-s", "TERM", &child.id().to_string()]);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let receipt = read("sig-receipt/r.json");
    assert_eq!(receipt["fault"]["class"], "cancelled");
    assert!(receipt["artifacts"].as_array().unwrap().iter().all(|one| one["outcome"] == "failed"), "{receipt}");
    assert_eq!(receipt["blobs"], serde_json::json!([]));
    assert_ne!(receipt["counts"]["sent"], 0, "what was moved is told");
    assert!(first("sig-receipt/r.json", &[]).starts_with("NOTHING ARRIVED"));
}

/// Runs README's section on receipts unchanged, except for the places.
#[test]
fn the_section_of_the_readme_works() {
    two("custody", 9950);
    let test = dir().join("custody");
    let readme = fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let section = readme.split("\n## ").find(|section| section.starts_with("What arrived")).expect("the section");
    let blocks = section.split("```sh\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let mut script = blocks.collect::<Vec<_>>().concat();
    for (written, here) in [
        ("emit containerd", "emit containerd --to registry.example"),
        ("/media/usb/november", "b"),
        ("/media/usb/december", "december"),
        ("registry.example:5000/mirror", "oci:mirror"),
        ("quay.io/team/app:1.5", "oci:source"),
        ("release", "../k"),
        ("site", "desk"),
    ] {
        assert!(script.contains(written), "{written}: in {script}");
        script = script.replace(written, here);
    }
    packmule(&["key", "new", "-o", "custody/desk.pem", "--no-passphrase"], 0);
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_packmule")).parent().unwrap();
    let path = std::env::join_paths([bin, std::path::Path::new("/usr/bin"), std::path::Path::new("/bin")]).unwrap();
    let ended = std::process::Command::new("sh")
        .args(["-eu", "-c", &script])
        .current_dir(&test)
        .env_clear()
        .env("PATH", path)
        .env("PACKMULE_STATE", "state")
        .output()
        .expect("sh runs");
    let told = text(&ended.stdout) + &text(&ended.stderr);
    assert!(ended.status.success(), "{script}\n{told}");
    assert!(told.contains("ALL ARRIVED  2 of 2") && told.contains("the state knows the newest line"), "{told}");
    assert!(told.contains("left out"), "{told}");
    assert!(test.join("certs.d/example.org/hosts.toml").exists(), "{told}");
}
