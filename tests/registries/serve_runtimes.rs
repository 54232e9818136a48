//! Container engines pull from `packmule serve`: podman, buildah, and containerd, also through its
//! configuration of mirrors; and helm. Each has its own store, state and socket.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use packmule::content::Destination as _;
use packmule::layout::Layout;
use packmule::oci::{Descriptor, Document, Repository, Tag, media_type};

use super::hosts::{Bytes, address};
use super::serve_clients::{Process, says};
use super::served::Site;

/// A containerd of the test's own, killed on drop.
pub struct Containerd(Child);

impl Containerd {
    /// Starts it with its folders, configuration and socket `s` in `dir`.
    pub fn start(program: &str, dir: &Path) -> Self {
        let shown = dir.display();
        let config = format!(
            "version = 2\nroot = \"{shown}/root\"\nstate = \"{shown}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{shown}/s\"\n"
        );
        std::fs::write(dir.join("config.toml"), config).unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(dir.join("config.toml")).stdout(Stdio::null()).stderr(log);
        let child = Self(command.spawn().unwrap());
        for _ in 0..300 {
            if std::os::unix::net::UnixStream::connect(dir.join("s")).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        child
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A site with the bundle of `demo`, whose images can be unpacked.
fn demo() -> Site {
    let site = Site::new();
    let (code, told) = site.run(&["demo", "d"]);
    assert_eq!(code, 0, "{told}");
    site
}

const BUNDLE: [&str; 5] = ["./d/usb/tide", "--key", "d/keys/anna.pub.pem", "--key", "d/keys/ben.pub.pem"];

#[test]
fn podman_and_buildah_pull() {
    let site = demo();
    for (variable, words) in [
        ("PACKMULE_TEST_PODMAN", ["--root", "store", "--runroot", "run", "--storage-driver", "vfs", "pull"]),
        ("PACKMULE_TEST_BUILDAH", ["--root", "store2", "--runroot", "run2", "--storage-driver", "vfs", "pull"]),
    ] {
        let Some(program) = address(variable) else { continue };
        let process = Process::start(&site, &BUNDLE);
        let name = format!("{}/library/tide:1.4", process.host);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("policy.json"), r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
        // podman wants the file that DOCKER_CONFIG promises.
        std::fs::create_dir(dir.path().join("home")).unwrap();
        std::fs::write(dir.path().join("home/config.json"), "{}").unwrap();
        let pull = [&words[..], &["--signature-policy", "policy.json", "--tls-verify=false", &name]].concat();
        let id = says(&program, &pull, dir.path());
        // The id of an image is the digest of its config.
        let layout = site.dir.path().join("d/source/blobs/sha256").join(id.trim());
        assert!(layout.exists(), "{variable}: {id}");
    }
}

#[test]
fn containerd_pulls_by_name_and_through_a_mirror() {
    let (Some(containerd), Some(ctr)) = (address("PACKMULE_TEST_CONTAINERD"), address("PACKMULE_TEST_CTR")) else {
        return;
    };
    let site = demo();
    let process = Process::start(&site, &BUNDLE);
    let dir = tempfile::tempdir().unwrap();
    let _running = Containerd::start(&containerd, dir.path());
    let name = format!("{}/library/tide:1.4", process.host);
    says(&ctr, &["-a", "s", "images", "pull", "--snapshotter", "native", "--plain-http", &name], dir.path());
    let hosts = dir.path().join("hosts/docker.io");
    std::fs::create_dir_all(&hosts).unwrap();
    let host = format!("http://{}", process.host);
    let text = format!("server = \"{host}\"\n[host.\"{host}\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
    std::fs::write(hosts.join("hosts.toml"), text).unwrap();
    let mirrored = ["-a", "s", "images", "pull", "--snapshotter", "native", "--hosts-dir", "hosts"];
    says(&ctr, &[&mirrored[..], &["docker.io/library/tide:1.4"]].concat(), dir.path());
    let listed = says(&ctr, &["-a", "s", "images", "list"], dir.path());
    assert!(listed.contains(&name) && listed.contains("docker.io/library/tide:1.4"), "{listed}");
}

#[test]
fn helm_pulls_a_chart() {
    let Some(helm) = address("PACKMULE_TEST_HELM") else { return };
    let site = Site::new();
    let dir = tempfile::tempdir().unwrap();
    says(&helm, &["create", "tide"], dir.path());
    says(&helm, &["package", "tide"], dir.path());
    let chart = Bytes(std::fs::read(dir.path().join("tide-0.1.0.tgz")).unwrap());
    let config = Bytes(br#"{"apiVersion":"v2","name":"tide","version":"0.1.0","type":"application"}"#.to_vec());
    let layout = Layout::create(&site.layout()).unwrap();
    let repository = Repository::exact("reg.example/charts/tide").unwrap();
    for blob in [&config, &chart] {
        layout.put_blob(&repository, &blob.descriptor(), blob).unwrap();
    }
    let of = |media_type: &str, blob: &Bytes| Descriptor { media_type: media_type.to_owned(), ..blob.descriptor() };
    let config = of("application/vnd.cncf.helm.config.v1+json", &config);
    let layer = of("application/vnd.cncf.helm.chart.content.v1.tar+gzip", &chart);
    let json = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": [layer],
    });
    let document = Document::parse(media_type::OCI_MANIFEST, json.to_string().into_bytes()).unwrap();
    layout.put_manifest(&repository, &document).unwrap();
    layout.set_tag(&repository, &Tag::new("0.1.0").unwrap(), &document).unwrap();
    layout.finish().unwrap();
    drop(layout);
    let process = Process::start(&site, &["oci:layout"]);
    let name = format!("oci://{}/charts/tide", process.host);
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    says(&helm, &["pull", &name, "--version", "0.1.0", "--plain-http", "-d", "out"], dir.path());
    assert!(std::fs::read(out.join("tide-0.1.0.tgz")).unwrap() == chart.0);
}
