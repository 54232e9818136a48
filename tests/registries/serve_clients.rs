//! `packmule serve` as a process, and strangers that pull from it: crane, oras, regctl, skopeo, the
//! conformance suite; plain, with TLS by a private CA, with logins.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use super::hosts::address;
use super::served::Site;

/// A running `packmule serve`, killed on drop.
pub struct Process {
    child: Child,
    stderr: BufReader<ChildStderr>,
    pub host: String,
}

impl Process {
    /// Starts it in the site's directory, on a port of its own.
    pub fn start(site: &Site, args: &[&str]) -> Self {
        let mut child = command(site, args).args(["--listen", "127.0.0.1:0"]).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let host = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended: {said}");
            if let Some((_, host)) = line.trim_end().rsplit_once("://") {
                break host.split('"').next().unwrap().to_owned();
            }
            said += &line;
        };
        Self { child, stderr, host }
    }

    /// Peak of its memory in bytes.
    pub fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
    }

    /// Sends a signal and returns the exit code and the rest of stderr.
    pub fn end(mut self, signal: &str) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(site: &Site, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_packmule"));
    command.arg("serve").args(args).current_dir(site.dir.path()).env_clear().env("HOME", site.dir.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Returns the output of a program in a home of its own.
pub fn says(program: &str, words: &[&str], dir: &Path) -> String {
    let home = dir.join("home");
    std::fs::create_dir_all(&home).unwrap();
    let mut command = Command::new(program);
    command.args(words).current_dir(dir).env("HOME", &home).env("DOCKER_CONFIG", &home);
    command.env("SSL_CERT_FILE", dir.join("ca.pem"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn signals_end_it_with_their_codes() {
    let site = Site::new();
    for (signal, code) in [("-TERM", 143), ("-INT", 130), ("-HUP", 129)] {
        let process = Process::start(&site, &["oci:layout"]);
        let (found, said) = process.end(signal);
        assert!(
            found == Some(code) && !said.contains("error:") && !said.contains("help:"),
            "{signal}: {found:?} {said}"
        );
    }
}

#[test]
fn the_access_log_is_lines_or_json_or_nothing() {
    let site = Site::new();
    let ask = |process: &Process| {
        let got = Command::new("curl")
            .args(["-s", &format!("http://{}/v2/org/app/manifests/v1?x=canary", process.host)])
            .output()
            .unwrap();
        assert!(got.stdout == site.app.raw(), "{got:?}");
    };
    let process = Process::start(&site, &["oci:layout"]);
    ask(&process);
    let (_, said) = process.end("-TERM");
    let length = site.app.size();
    assert!(said.contains(&format!(" - \"GET /v2/org/app/manifests/v1 HTTP/1.1\" 200 {length} 0.")), "{said}");
    let process = Process::start(&site, &["oci:layout", "--progress", "json"]);
    ask(&process);
    let (_, said) = process.end("-TERM");
    let line = said.lines().find(|line| line.contains("\"request\"")).unwrap();
    let event: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((&event["status"], &event["bytes"], &event["complete"]), (&200.into(), &length.into(), &true.into()));
    assert_eq!((&event["method"], &event["path"]), (&"GET".into(), &"/v2/org/app/manifests/v1".into()));
    assert!(!said.contains("canary"));
}

#[test]
fn what_cannot_be_served_is_refused_before_the_port_is_taken() {
    let site = Site::new();
    site.bundle("b", &[]);
    std::fs::write(site.dir.path().join("users"), "mule:$apr1$canary").unwrap();
    std::fs::write(site.dir.path().join("junk.pem"), "junk").unwrap();
    for (args, code, part) in [
        (&["oci:layout", "--listen", "0.0.0.0:0"][..], 2, "no login is asked for"),
        (&["oci:layout", "--listen", "[::]:0"], 2, "--anonymous"),
        (&["oci:layout", "--listen", "nowhere"], 2, "--listen nowhere"),
        (&["oci:layout", "--listen", "127.0.0.1:0", "--htpasswd", "users"], 2, "line 1: expected a bcrypt hash"),
        (&["oci:layout", "--listen", "127.0.0.1:0", "--htpasswd", "users", "--anonymous"], 2, "cannot be used with"),
        (&["oci:layout", "--listen", "127.0.0.1:0", "--tls-cert", "junk.pem"], 2, "--tls-key"),
        (
            &["oci:layout", "--listen", "127.0.0.1:0", "--tls-cert", "junk.pem", "--tls-key", "junk.pem"],
            2,
            "--tls-cert: expected a certificate",
        ),
        (&["./b", "--listen", "127.0.0.1:0"], 2, "no trust given"),
        (&["oci:nowhere", "--listen", "127.0.0.1:0"], 20, "layout nowhere"),
        (&["127.0.0.1:1", "--listen", "127.0.0.1:0", "--retries", "0"], 20, "127.0.0.1:1"),
        (&["Registry/", "--listen", "127.0.0.1:0"], 2, "HOST or HOST/PREFIX for a registry"),
        (&["oci:layout", "--listen", "192.0.2.1:5000", "--anonymous"], 22, "listen on 192.0.2.1:5000"),
        (&[], 2, "required"),
    ] {
        let output = command(&site, args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(code) && said.contains(part) && !said.contains("canary"),
            "{args:?}: {said}"
        );
    }
}

#[test]
fn strangers_pull_from_a_layout_and_a_bundle() {
    let (Some(crane), Some(regctl), Some(oras), Some(skopeo)) = (
        address("PACKMULE_TEST_CRANE"),
        address("PACKMULE_TEST_REGCTL"),
        address("PACKMULE_TEST_ORAS"),
        address("PACKMULE_TEST_SKOPEO"),
    ) else {
        return;
    };
    let site = Site::new();
    site.bundle("b", &[]);
    for places in [&["oci:layout"][..], &["./b", "--key", "key.pub.pem"]] {
        let process = Process::start(&site, places);
        let (host, dir) = (&process.host, tempfile::tempdir().unwrap());
        let name = format!("{host}/org/app:v1");
        let digest = site.app.digest().to_string();
        assert_eq!(says(&crane, &["digest", "--insecure", &name], dir.path()).trim(), digest);
        assert_eq!(says(&crane, &["ls", "--insecure", &format!("{host}/org/app")], dir.path()), "v1\nv2\n");
        assert_eq!(says(&crane, &["catalog", "--insecure", host], dir.path()), "library/base\norg/app\n");
        let shown = says(&oras, &["discover", "--plain-http", "--format", "json", &name], dir.path());
        assert!(shown.contains(&site.sbom.digest().to_string()), "oras: {shown}");
        says(&oras, &["copy", "--from-plain-http", "--to-oci-layout", "-r", &name, "oras:v1"], dir.path());
        let tls = format!("reg={host},tls=disabled");
        says(&regctl, &["--host", &tls, "image", "copy", "--referrers", &name, "ocidir://regctl:v1"], dir.path());
        says(&skopeo, &["copy", "--src-tls-verify=false", &format!("docker://{name}"), "oci:skopeo:v1"], dir.path());
        let layer = site.layer.descriptor().digest.hex();
        for copy in ["oras", "regctl", "skopeo"] {
            let path = dir.path().join(copy).join("blobs/sha256").join(&layer);
            assert!(std::fs::read(&path).unwrap() == site.layer.0, "{copy}");
        }
        for copy in ["oras", "regctl"] {
            let path = dir.path().join(copy).join("blobs/sha256").join(site.sbom.digest().hex());
            assert!(std::fs::read(&path).unwrap() == site.sbom.raw(), "{copy}");
        }
        let (_, said) = process.end("-TERM");
        assert!(!said.contains(" 500 "), "{said}");
    }
}

#[test]
fn strangers_log_in_through_tls_by_a_private_ca() {
    let (Some(crane), Some(oras), Some(skopeo), Some(certificates)) = (
        address("PACKMULE_TEST_CRANE"),
        address("PACKMULE_TEST_ORAS"),
        address("PACKMULE_TEST_SKOPEO"),
        address("PACKMULE_TEST_CERTIFICATES"),
    ) else {
        return;
    };
    let site = Site::new();
    let users = format!("mule:{}\n", bcrypt::hash("oats", 4).unwrap().replacen("$2b$", "$2y$", 1));
    std::fs::write(site.dir.path().join("users"), users).unwrap();
    let dir = site.dir.path();
    for name in ["ca.pem", "server.pem", "server.key"] {
        std::fs::copy(Path::new(&certificates).join(name), dir.join(name)).unwrap();
    }
    let args = ["oci:layout", "--tls-cert", "server.pem", "--tls-key", "server.key", "--htpasswd", "users"];
    let process = Process::start(&site, &args);
    let (host, name) = (&process.host, format!("{}/org/app:v1", process.host));
    let digest = site.app.digest().to_string();
    says(&crane, &["auth", "login", host, "-u", "mule", "-p", "oats"], dir);
    assert_eq!(says(&crane, &["digest", &name], dir).trim(), digest);
    says(
        &oras,
        &["copy", "--from-username", "mule", "--from-password", "oats", "--to-oci-layout", &name, "oras:v1"],
        dir,
    );
    std::fs::create_dir_all(dir.join("certs")).unwrap();
    std::fs::copy(dir.join("ca.pem"), dir.join("certs/ca.crt")).unwrap();
    let image = format!("docker://{name}");
    let words = ["copy", "--src-cert-dir", "certs", "--src-creds", "mule:oats", &image, "oci:skopeo:v1"];
    says(&skopeo, &words, dir);
    for copy in ["oras", "skopeo"] {
        let path = dir.join(copy).join("blobs/sha256").join(site.layer.descriptor().digest.hex());
        assert!(std::fs::read(&path).unwrap() == site.layer.0, "{copy}");
    }
    // Our own client, over HTTP/2.
    let (code, told) = site.run(&["ls", host, "--ca", "ca.pem"]);
    assert!(code == 20 && told.contains("401"), "{told}");
    let auth = serde_json::json!({ "auths": { host: { "auth": "bXVsZTpvYXRz" } } });
    std::fs::write(dir.join("auth.json"), auth.to_string()).unwrap();
    let from = &["copy", &*name, "--to", "oci:ours", "--ca", "ca.pem", "--authfile", "auth.json"];
    let (code, told) = site.run(from);
    assert_eq!(code, 0, "{told}");
    let wrong = Command::new(&crane)
        .args(["digest", &name])
        .env_clear()
        .env("SSL_CERT_FILE", dir.join("ca.pem"))
        .env("HOME", "/")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("UNAUTHORIZED"));
    let (_, said) = process.end("-TERM");
    assert!(said.contains("HTTP/2.0") && said.contains(" mule \"GET /v2/org/app/") && !said.contains("oats"), "{said}");
}

#[test]
fn the_conformance_suite_passes_pull_and_content_discovery() {
    let Some(program) = address("PACKMULE_TEST_CONFORMANCE") else { return };
    let site = Site::new();
    site.bundle("b", &[]);
    for places in [&["oci:layout"][..], &["./b", "--key", "key.pub.pem"]] {
        let process = Process::start(&site, places);
        let dir = tempfile::tempdir().unwrap();
        let (app, sbom) = (site.app.digest().to_string(), site.sbom.digest().to_string());
        let output = Command::new(&program)
            .current_dir(dir.path())
            .env_clear()
            .env("HOME", dir.path())
            .envs([("OCI_REGISTRY", &*process.host), ("OCI_TLS", "disabled"), ("OCI_REPO1", "org/app")])
            .envs([("OCI_API_PUSH", "false"), ("OCI_API_BLOBS_DELETE", "false")])
            .envs([("OCI_API_MANIFESTS_DELETE", "false"), ("OCI_API_TAGS_DELETE", "false")])
            .envs([("OCI_RO_DATA_TAGS", "v1 v2"), ("OCI_RO_DATA_REFERRERS", &app)])
            .env("OCI_RO_DATA_MANIFESTS", format!("{app} {sbom}"))
            .env("OCI_RO_DATA_BLOBS", site.layer.descriptor().digest.to_string())
            .output()
            .unwrap();
        // Without push the suite ends in a panic after its report, so the report is judged.
        let report = String::from_utf8(output.stdout).unwrap();
        let result = |name: &str| {
            let line = report
                .lines()
                .find(|line| line.trim_start().starts_with(name))
                .unwrap_or_else(|| panic!("{name}: {report}"));
            line.rsplit([' ', '.']).next().unwrap().to_owned()
        };
        assert!(report.contains("OCI Conformance Result: Pass"), "{report}");
        for name in ["FAIL", "Error", "Skip"] {
            assert_eq!(result(&format!("{name}.")), "0", "{report}");
        }
        for name in [
            "Tag listing",
            "Blob get.",
            "Blob head",
            "Manifest get by digest",
            "Manifest get by tag",
            "Manifest head by digest",
            "Manifest head by tag",
            "Referrers",
            "Ping",
            "Read Only Inputs",
        ] {
            assert_eq!(result(name), "Pass", "{name}: {report}");
        }
    }
}
