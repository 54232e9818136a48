//! Files of `emit`, read by those they are for: containerd, skopeo, podman, the loader of K3s and
//! RKE2, kustomize, helm and crane pull or accept the old names, and nothing asks the old registry.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::hosts::address;
use super::serve_clients::says;
use super::serve_runtimes::Containerd;
use super::served::Site;

/// A registry of old names that counts who connects, and answers nobody.
struct Old {
    host: String,
    asked: Arc<AtomicUsize>,
}

impl Old {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        Self { host, asked }
    }
}

/// A site whose images came from docker.io and from an old registry, imported below a prefix.
struct Imported {
    site: Site,
    old: Old,
    /// Old names of the image, without a tag.
    names: [String; 2],
    /// Digest of the image.
    digest: String,
}

/// Imports the demo's image under two old names into `host`, below `prefix`, with a receipt.
fn imported(host: &str, prefix: &str) -> Imported {
    let (site, old) = (Site::new(), Old::start());
    let run = |words: &[&str]| {
        let (code, told) = site.run(words);
        assert_eq!(code, 0, "{words:?}: {told}");
        told
    };
    run(&["demo", "d"]);
    let names = [format!("{}/org/tide", old.host), "docker.io/library/tide".to_owned()];
    let renamed = format!("oci:d/source:tide:1.4,as={}:1.4", names[0]);
    run(&["export", "oci:d/source:tide:1.4", &renamed, "-o", "b", "--sign", "d/keys/anna.pem", "--state", "state"]);
    let to = format!("{host}/t{}/{prefix}", std::process::id());
    run(&["import", "./b", "--key", "d/keys/anna.pub.pem", "--to", &to, "--receipt", "r.json", "--state", "state"]);
    let receipt: serde_json::Value =
        serde_json::from_slice(&std::fs::read(site.dir.path().join("r.json")).unwrap()).unwrap();
    let tagged = |one: &&serde_json::Value| one["tags"].as_array().is_some_and(|tags| !tags.is_empty());
    let digest = receipt["artifacts"].as_array().unwrap().iter().find(tagged).unwrap()["digest"].as_str().unwrap();
    Imported { digest: digest.to_owned(), site, old, names }
}

impl Imported {
    fn dir(&self) -> &Path {
        self.site.dir.path()
    }

    /// Writes the files of a kind into `to`, and returns their folder.
    fn emit(&self, kind: &str, to: &str) -> PathBuf {
        let (code, told) = self.site.run(&["emit", kind, "r.json", "-o", to]);
        assert_eq!(code, 0, "{told}");
        self.dir().join(to)
    }

    /// Old names with the tag.
    fn tagged(&self) -> [String; 2] {
        self.names.clone().map(|name| format!("{name}:1.4"))
    }

    fn asked(&self) -> usize {
        self.old.asked.load(Ordering::SeqCst)
    }
}

#[test]
fn containerd_pulls_old_names_from_the_new_registry_only() {
    let (Some(containerd), Some(ctr)) = (address("PACKMULE_TEST_CONTAINERD"), address("PACKMULE_TEST_CTR")) else {
        return;
    };
    let Some(host) = address("PACKMULE_TEST_DISTRIBUTION") else { return };
    let it = imported(&host, "containerd");
    it.emit("containerd", "certs.d");
    assert!(it.dir().join("certs.d/docker.io/hosts.toml").exists());
    let _running = Containerd::start(&containerd, it.dir());
    let pull = ["-a", "s", "images", "pull", "--snapshotter", "native", "--hosts-dir", "certs.d"];
    for name in it.tagged() {
        says(&ctr, &[&pull[..], &[&name]].concat(), it.dir());
    }
    let listed = says(&ctr, &["-a", "s", "images", "list"], it.dir());
    assert_eq!(listed.matches(&it.digest).count(), 2, "{listed}");
    // The registry has no such tag, and the old one is not asked for it.
    let missing = format!("{}:none", it.names[0]);
    let ended = Command::new(&ctr).args(pull).arg(&missing).current_dir(it.dir()).output().unwrap();
    assert!(!ended.status.success());
    assert_eq!(it.asked(), 0);
}

/// A home for skopeo and podman with the drop-in of `emit`, and nothing else in it.
fn home(it: &Imported) {
    it.emit("registries-conf", "home/.config/containers/registries.conf.d");
    std::fs::write(it.dir().join("policy.json"), r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
    std::fs::write(it.dir().join("home/config.json"), "{}").unwrap();
}

#[test]
fn skopeo_reads_old_names_from_the_new_registry_only() {
    let (Some(skopeo), Some(host)) = (address("PACKMULE_TEST_SKOPEO"), address("PACKMULE_TEST_DISTRIBUTION")) else {
        return;
    };
    let it = imported(&host, "skopeo");
    home(&it);
    for name in it.tagged() {
        let raw = says(&skopeo, &["inspect", "--raw", &format!("docker://{name}")], it.dir());
        assert_eq!(packmule::oci::Digest::sha256(raw.as_bytes()).to_string(), it.digest, "{name}");
    }
    let missing = format!("docker://{}:none", it.names[0]);
    let mut command = Command::new(&skopeo);
    command.args(["inspect", "--raw", &missing]).env("HOME", it.dir().join("home"));
    let ended = command.output().unwrap();
    assert!(!ended.status.success());
    assert_eq!(it.asked(), 0, "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn podman_pulls_old_names_from_the_new_registry_only() {
    let (Some(podman), Some(host)) = (address("PACKMULE_TEST_PODMAN"), address("PACKMULE_TEST_DISTRIBUTION")) else {
        return;
    };
    let it = imported(&host, "podman");
    home(&it);
    let store = ["--root", "store", "--runroot", "run", "--storage-driver", "vfs"];
    for name in it.tagged() {
        says(&podman, &[&store[..], &["pull", "--signature-policy", "policy.json", &name]].concat(), it.dir());
    }
    let listed = says(&podman, &[&store[..], &["images", "--format", "{{.Repository}}:{{.Tag}}"]].concat(), it.dir());
    assert!(it.tagged().iter().all(|name| listed.contains(name.as_str())), "{listed}");
    assert_eq!(it.asked(), 0);
}

#[test]
fn k3s_and_rke2_load_old_names_from_the_new_registry() {
    let (Some(mirrors), Some(crane)) = (address("PACKMULE_TEST_K3S"), address("PACKMULE_TEST_CRANE")) else { return };
    let Some(host) = address("PACKMULE_TEST_DISTRIBUTION") else { return };
    let it = imported(&host, "k3s");
    let file = it.emit("k3s", "rancher").join("registries.yaml");
    let file = file.to_str().unwrap();
    // It loads the image of its own platform.
    let platform = ["digest", "--insecure", "--platform", "linux/amd64"];
    for (name, path) in it.tagged().iter().zip(["org/tide", "library/tide"]) {
        let there = format!("{host}/t{}/k3s/{path}:1.4", std::process::id());
        let expected = says(&crane, &[&platform[..], &[&there]].concat(), it.dir());
        assert_eq!(says(&mirrors, &[file, name], it.dir()), expected, "{name}");
    }
    assert_eq!(it.asked(), 0);
    // The reader is strict: it would refuse a field that its types do not have.
    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, text.replace("endpoint:", "endpoints:")).unwrap();
    let ended = Command::new(&mirrors).args([file, &it.tagged()[0]]).output().unwrap();
    assert!(String::from_utf8_lossy(&ended.stderr).contains("endpoints"), "{ended:?}");
}

/// A workload with one image, as manifests have it.
fn pod(image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: tide\nspec:\n  containers:\n    - name: tide\n      image: {image}\n"
    )
}

#[test]
fn kustomize_builds_with_the_component_and_the_names_can_be_pulled() {
    let (Some(kustomize), Some(crane)) = (address("PACKMULE_TEST_KUSTOMIZE"), address("PACKMULE_TEST_CRANE")) else {
        return;
    };
    let Some(host) = address("PACKMULE_TEST_DISTRIBUTION") else { return };
    let it = imported(&host, "kustomize");
    it.emit("kustomize", "k/mirror");
    let app = it.dir().join("k/app");
    std::fs::create_dir_all(&app).unwrap();
    std::fs::write(app.join("kustomization.yaml"), "resources:\n  - pod.yaml\ncomponents:\n  - ../mirror\n").unwrap();
    let [old, full] = it.tagged();
    for image in ["tide:1.4", "docker.io/tide:1.4", "library/tide:1.4", &full, &old] {
        std::fs::write(app.join("pod.yaml"), pod(image)).unwrap();
        let built = says(&kustomize, &["build", "k/app"], it.dir());
        let line = built.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix("image: ")).unwrap();
        assert!(line.starts_with(&host) && line.ends_with(":1.4"), "{image}: {built}");
        assert_eq!(says(&crane, &["digest", "--insecure", line], it.dir()).trim(), it.digest, "{image}");
    }
    std::fs::write(app.join("pod.yaml"), pod("other/tide:1.4")).unwrap();
    assert!(says(&kustomize, &["build", "k/app"], it.dir()).contains("image: other/tide:1.4"));
}

#[test]
fn helm_renders_new_names_by_the_registry_and_by_the_map() {
    let (Some(helm), Some(crane)) = (address("PACKMULE_TEST_HELM"), address("PACKMULE_TEST_CRANE")) else { return };
    let Some(host) = address("PACKMULE_TEST_DISTRIBUTION") else { return };
    let it = imported(&host, "helm");
    it.emit("helm-values", "values");
    let chart = it.dir().join("chart");
    std::fs::create_dir_all(chart.join("templates")).unwrap();
    std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: tide\nversion: 0.1.0\n").unwrap();
    let values = "image:\n  registry: docker.io\n  repository: library/tide\n  tag: \"1.4\"\nglobal: {}\n";
    std::fs::write(chart.join("values.yaml"), values).unwrap();
    // A chart that reads the registry for all charts, as many do, and one that looks a name up.
    let registry = "{{ default .Values.image.registry .Values.global.imageRegistry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}";
    let old = &it.tagged()[0];
    let map = format!(
        "{{{{ with index .Values.global.images \"{old}\" }}}}{{{{ .registry }}}}/{{{{ .repository }}}}@{{{{ .digest }}}}{{{{ end }}}}"
    );
    for image in [registry, &map] {
        std::fs::write(chart.join("templates/pod.yaml"), pod(image)).unwrap();
        let built = says(&helm, &["template", "t", "chart", "-f", "values/values.yaml"], it.dir());
        let line = built.lines().find_map(|line| line.trim().strip_prefix("image: ")).unwrap();
        assert!(line.starts_with(&host), "{built}");
        assert_eq!(says(&crane, &["digest", "--insecure", line], it.dir()).trim(), it.digest, "{image}");
    }
}

#[test]
fn every_new_name_of_the_list_is_there_under_its_digest() {
    let (Some(crane), Some(host)) = (address("PACKMULE_TEST_CRANE"), address("PACKMULE_TEST_DISTRIBUTION")) else {
        return;
    };
    let it = imported(&host, "list");
    let list = std::fs::read_to_string(it.emit("images", "list").join("images.txt")).unwrap();
    let lines: Vec<(&str, &str)> = list.lines().filter_map(|line| line.split_once('=')).collect();
    assert!(it.tagged().iter().all(|name| lines.iter().any(|(old, _)| old == name)), "{list}");
    for (_, new) in lines {
        let (_, digest) = new.split_once('@').unwrap();
        assert_eq!(says(&crane, &["digest", "--insecure", new], it.dir()).trim(), digest, "{new}");
    }
}
