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
pub fn demo() -> Site {
    let site = Site::new();
    let (code, told) = site.run(&["demo", "d"]);
    assert_eq!(code, 0, "{told}");
    site
}

/// The bundle of [`demo`] as arguments.
pub const BUNDLE: [&str; 5] = ["./d/usb/tide", "--key", "d/keys/anna.pub.pem", "--key", "d/keys/ben.pub.pem"];

/// Pulls an image by podman or buildah into a store of its own. Returns the image's id, which is the
/// digest of its config.
pub fn engine(program: &str, name: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("policy.json"), r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
    // podman wants the file that DOCKER_CONFIG promises.
    std::fs::create_dir(dir.path().join("home")).unwrap();
    std::fs::write(dir.path().join("home/config.json"), "{}").unwrap();
    let store = ["--root", "store", "--runroot", "run", "--storage-driver", "vfs", "pull"];
    let pull = [&store[..], &["--signature-policy", "policy.json", "--tls-verify=false", name]].concat();
    says(program, &pull, dir.path()).trim().to_owned()
}

/// Whether an image of [`demo`] has this id.
pub fn is_of_demo(site: &Site, id: &str) -> bool {
    site.dir.path().join("d/source/blobs/sha256").join(id).exists()
}

#[test]
fn podman_and_buildah_pull() {
    let site = demo();
    for variable in ["PACKMULE_TEST_PODMAN", "PACKMULE_TEST_BUILDAH"] {
        let Some(program) = address(variable) else { continue };
        let process = Process::start(&site, &BUNDLE);
        let id = engine(&program, &format!("{}/library/tide:1.4", process.host));
        assert!(is_of_demo(&site, &id), "{variable}: {id}");
    }
}

/// Makes docker.io's mirror for containerd, in `hosts` below `dir`.
pub fn mirror(dir: &Path, host: &str) {
    let hosts = dir.join("hosts/docker.io");
    std::fs::create_dir_all(&hosts).unwrap();
    let host = format!("http://{host}");
    let text = format!("server = \"{host}\"\n[host.\"{host}\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
    std::fs::write(hosts.join("hosts.toml"), text).unwrap();
}

/// Words of `ctr` that pull with the configuration of mirrors.
pub const MIRRORED: [&str; 8] = ["-a", "s", "images", "pull", "--snapshotter", "native", "--hosts-dir", "hosts"];

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
    mirror(dir.path(), &process.host);
    says(&ctr, &[&MIRRORED[..], &["docker.io/library/tide:1.4"]].concat(), dir.path());
    let listed = says(&ctr, &["-a", "s", "images", "list"], dir.path());
    assert!(listed.contains(&name) && listed.contains("docker.io/library/tide:1.4"), "{listed}");
}

/// Puts a chart that helm makes in `dir` into the site's layout, as `charts/tide:0.1.0`.
pub fn chart(site: &Site, helm: &str, dir: &Path) -> Bytes {
    says(helm, &["create", "tide"], dir);
    says(helm, &["package", "tide"], dir);
    let chart = Bytes(std::fs::read(dir.join("tide-0.1.0.tgz")).unwrap());
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
    chart
}

/// Pulls the chart `tide` of version 0.1.0 by helm.
pub fn pull_chart(helm: &str, name: &str, dir: &Path) -> Vec<u8> {
    let out = dir.join("out");
    std::fs::create_dir_all(&out).unwrap();
    says(helm, &["pull", &format!("oci://{name}"), "--version", "0.1.0", "--plain-http", "-d", "out"], dir);
    std::fs::read(out.join("tide-0.1.0.tgz")).unwrap()
}

#[test]
fn helm_pulls_a_chart() {
    let Some(helm) = address("PACKMULE_TEST_HELM") else { return };
    let (site, dir) = (Site::new(), tempfile::tempdir().unwrap());
    let chart = chart(&site, &helm, dir.path());
    let process = Process::start(&site, &["oci:layout"]);
    assert!(pull_chart(&helm, &format!("{}/charts/tide", process.host), dir.path()) == chart.0);
}
