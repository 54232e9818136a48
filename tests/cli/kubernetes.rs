//! The manifests of `spec/kubernetes.md`: decoded strictly by the types of Kubernetes, and their commands
//! run on volumes that are laid out as Kubernetes mounts them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::shelf::Image;
use super::world::{command, dir, layout, packmule, sandbox, text, var};

/// Returns the text of every manifest of the page by its name.
fn manifests() -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/kubernetes.md")).unwrap();
    let blocks = page.split("\n```yaml manifest ").skip(1);
    let named = blocks.map(|block| {
        let (name, rest) = block.split_once('\n').unwrap();
        (name.to_owned(), rest.split("\n```").next().unwrap().to_owned())
    });
    let all: BTreeMap<_, _> = named.collect();
    let listed: Vec<&str> = all.keys().map(String::as_str).collect();
    assert_eq!(listed, ["blobs.yaml", "config.yaml", "import.yaml", "join.yaml", "verify.yaml", "watch.yaml"]);
    all
}

fn parsed(name: &str) -> Value {
    serde_saphyr::from_str(&manifests()[name]).unwrap()
}

#[test]
fn the_published_manifests_are_what_kubernetes_takes() {
    let Some(tools) = var("PACKMULE_TEST_TOOLS") else { return };
    let decode = |text: &str| -> Output {
        let mut child = Command::new(Path::new(&tools).join("manifests"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let all = manifests().into_values().collect::<Vec<_>>().join("\n---\n");
    let ended = decode(&all);
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let objects: Vec<Value> = text(&ended.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Job", "ConfigMap", "Job", "Job", "Job", "CronJob"]);
    // As the cluster reads the number, which YAML 1.1 takes for an octal one.
    let secrets = objects.iter().flat_map(|object| pod(object)["volumes"].as_array().cloned().unwrap_or_default());
    let modes: Vec<Value> =
        secrets.filter(|one| one["secret"].is_object()).map(|one| one["secret"]["defaultMode"].clone()).collect();
    assert_eq!(modes, vec![Value::from(0o440); 5]);
    for (from, to, said) in [
        ("completions: 4", "completion: 4", "unknown field \"spec.completion\""),
        ("fsGroup: 65532", "fsgroup: 65532", "fsgroup"),
        ("backoffLimit: 3", "backoffLimit: 3\n  backoffLimit: 4", "already set"),
        ("kind: CronJob", "kind: CronJobs", "no kind \"CronJobs\""),
    ] {
        let ended = decode(&all.replace(from, to));
        assert!(!ended.status.success() && text(&ended.stderr).contains(said), "{from}: {}", text(&ended.stderr));
    }
}

fn pod(object: &Value) -> &Value {
    let job = if object["kind"] == "CronJob" { &object["spec"]["jobTemplate"]["spec"] } else { &object["spec"] };
    &job["template"]["spec"]
}

/// Writes files as Kubernetes mounts them: links through `..data` into the directory of a version.
fn mounted(root: &Path, files: &BTreeMap<String, Vec<u8>>, mode: u32) {
    drop(std::fs::remove_dir_all(root));
    let version = root.join("..2026_11_30_22_45_00.1234567890");
    std::fs::create_dir_all(&version).unwrap();
    let permit = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    permit(&version, 0o755);
    symlink(version.file_name().unwrap(), root.join("..data")).unwrap();
    for (name, content) in files {
        std::fs::write(version.join(name), content).unwrap();
        permit(&version.join(name), mode);
        symlink(Path::new("..data").join(name), root.join(name)).unwrap();
    }
    permit(root, 0o1777);
}

/// Returns an octal number, which YAML 1.2 takes for a decimal one.
fn octal(number: &Value) -> u32 {
    let text = number.to_string();
    let digits = text.trim_matches('"').trim_end_matches(".0");
    u32::from_str_radix(digits, 8).unwrap_or_else(|_| panic!("{number}"))
}

/// A cluster of one test: what the volumes hold, and a container with the bundle `apps-7`.
struct Cluster {
    root: PathBuf,
}

impl Cluster {
    fn new(test: &str) -> Self {
        let root = dir().join("kubernetes").join(test);
        drop(std::fs::remove_dir_all(&root));
        std::fs::create_dir_all(root.join("container")).unwrap();
        let of = |name: &str| format!("kubernetes/{test}/{name}");
        let noise = |seed: u64| super::containers::suite::content(300_000, seed);
        layout(&of("layout"), &[Image::new(vec![noise(1), noise(2), noise(3)]), Image::new(vec![noise(2), noise(4)])]);
        let (source, bundle) = (format!("oci:{}", of("layout")), of("apps-7"));
        packmule(&["export", &source, "-o", &bundle, "--sign", "k.pem"], 0);
        packmule(&["upload", &bundle, &format!("file://{}", root.join("container").display())], 0);
        packmule(&["key", "new", "-o", &of("site.pem"), "--no-passphrase"], 0);
        Self { root }
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.root.join(name)).unwrap()
    }

    /// Replaces the names of the page by those of this machine.
    fn here(&self, text: &str, mounts: &BTreeMap<String, PathBuf>) -> String {
        let (container, site) = (self.root.join("container"), self.root.join("site"));
        let mut text = text
            .replace("https://darksa.blob.core.windows.net/transfer/apps", &format!("file://{}", container.display()))
            .replace("sas = { file = \"/keys/sas\" }\n", "")
            .replace("harbor.dark.example/mirror", &format!("oci:{}", site.display()));
        for (path, real) in mounts {
            text = text.replace(&format!("{path}/"), &format!("{}/", real.display()));
            text = text.replace(&format!("\"{path}\""), &format!("\"{}\"", real.display()));
            if text == *path {
                text = real.display().to_string();
            }
        }
        text
    }

    /// Lays out the volumes of a pod. Returns its mount paths with the directories.
    fn volumes(&self, pod: &Value, name: &str) -> BTreeMap<String, PathBuf> {
        let mut mounts = BTreeMap::new();
        for mount in pod["containers"][0]["volumeMounts"].as_array().unwrap() {
            let volume =
                pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == mount["name"]).unwrap();
            let root = match volume["persistentVolumeClaim"]["claimName"].as_str() {
                Some(claim) => self.root.join(claim),
                None => self.root.join(format!("{name}-{}", mount["name"].as_str().unwrap())),
            };
            mounts.insert(mount["mountPath"].as_str().unwrap().to_owned(), root);
        }
        for volume in pod["volumes"].as_array().unwrap() {
            let root = |name: &Value| {
                let all = pod["containers"][0]["volumeMounts"].as_array().unwrap();
                let path = all.iter().find(|mount| mount["name"] == *name).unwrap()["mountPath"].as_str().unwrap();
                mounts[path].clone()
            };
            let at = root(&volume["name"]);
            if volume["configMap"].is_object() {
                let config = parsed("config.yaml");
                assert_eq!(volume["configMap"]["name"], config["metadata"]["name"]);
                let data = config["data"].as_object().unwrap();
                let mut files: BTreeMap<String, Vec<u8>> = data
                    .iter()
                    .map(|(name, text)| (name.clone(), self.here(text.as_str().unwrap(), &mounts).into_bytes()))
                    .collect();
                for (name, key) in
                    [("release.pem", dir().join("k.pub.pem")), ("site.pub.pem", self.root.join("site.pub.pem"))]
                {
                    assert!(files.insert(name.to_owned(), std::fs::read(key).unwrap()).is_some(), "{name}");
                }
                mounted(&at, &files, 0o644);
            } else if volume["secret"].is_object() {
                let files = BTreeMap::from([
                    ("site.pem".to_owned(), self.bytes("site.pem")),
                    ("sas".to_owned(), b"canary\n".to_vec()),
                ]);
                mounted(&at, &files, octal(&volume["secret"]["defaultMode"]));
            } else {
                std::fs::create_dir_all(&at).unwrap();
            }
        }
        mounts
    }

    /// Prepares the command of a manifest, for the pod with this index.
    fn command(&self, name: &str, index: Option<u32>) -> Command {
        let object = parsed(name);
        let pod = pod(&object);
        let mounts = self.volumes(pod, name.trim_end_matches(".yaml"));
        let container = &pod["containers"][0];
        let words = |member: &str| -> Vec<String> {
            let list = container[member].as_array().unwrap().iter();
            list.map(|word| self.here(word.as_str().unwrap(), &mounts)).collect()
        };
        assert_eq!(words("command"), ["packmule"]);
        let args = words("args");
        let mut run = command(&args.iter().map(String::as_str).collect::<Vec<_>>());
        if let Some(index) = index {
            assert_eq!(object["spec"]["completionMode"], "Indexed");
            assert!(args.contains(&format!("job/{}", object["spec"]["completions"])), "{args:?}");
            run.env("JOB_COMPLETION_INDEX", index.to_string());
        }
        run
    }

    fn run(&self, name: &str, index: Option<u32>) -> String {
        let ended = self.command(name, index).output().unwrap();
        assert!(ended.status.success(), "{name}: {}{}", text(&ended.stdout), text(&ended.stderr));
        text(&ended.stdout)
    }
}

#[test]
fn the_published_commands_run_on_mounted_volumes() {
    let cluster = Cluster::new("jobs");
    for index in 0..4 {
        assert!(cluster.run("verify.yaml", Some(index)).starts_with("PART  apps-7\n"));
    }
    let joined = cluster.run("join.yaml", None);
    assert!(joined.starts_with("PASS  apps-7\n") && joined.contains("4 tallies, 4 signed"), "{joined}");
    assert!(cluster.root.join("packmule-tallies/apps-7.html").exists());
    for index in 0..4 {
        cluster.run("blobs.yaml", Some(index));
    }
    let entries = |site: &Path| -> usize {
        let index: Value = serde_json::from_slice(&std::fs::read(site.join("index.json")).unwrap()).unwrap();
        index["manifests"].as_array().unwrap().len()
    };
    let site = cluster.root.join("site");
    assert_eq!(entries(&site), 0, "blobs alone");
    let imported = cluster.run("import.yaml", None);
    assert!(imported.contains(": 0 blobs sent"), "{imported}");
    assert_eq!(entries(&site), 2);
    let receipt = cluster.root.join("packmule-state/apps-7.json");
    let shown =
        command(&["inspect", receipt.to_str().unwrap(), "--key", cluster.root.join("site.pub.pem").to_str().unwrap()]);
    let shown = { shown }.output().unwrap();
    assert!(text(&shown.stdout).starts_with("ALL ARRIVED"), "{}", text(&shown.stdout));
    let watched = cluster.run("watch.yaml", None);
    assert!(watched.contains("1 imported, 0 failed"), "{watched}");
    let watched = cluster.run("watch.yaml", None);
    assert!(watched.contains("0 imported, 0 failed"), "{watched}");
}

#[test]
fn a_key_that_others_can_read_is_refused_and_one_that_its_group_can_read_is_not() {
    let cluster = Cluster::new("shared-key");
    let mode = |mode: u32| {
        let mut run = cluster.command("verify.yaml", Some(0));
        let version = cluster.root.join("verify-keys/..2026_11_30_22_45_00.1234567890");
        std::fs::set_permissions(version.join("site.pem"), std::fs::Permissions::from_mode(mode)).unwrap();
        run.output().unwrap()
    };
    for good in [0o400, 0o600, 0o440, 0o640] {
        let ended = mode(good);
        assert!(ended.status.success(), "{good:o}: {}", text(&ended.stderr));
    }
    for wrong in [0o644, 0o444, 0o460, 0o404, 0o420] {
        let ended = mode(wrong);
        assert_eq!(ended.status.code(), Some(2), "{wrong:o}");
        assert!(text(&ended.stderr).contains(&format!("{wrong:04o}")), "{}", text(&ended.stderr));
    }
    // A key that its group can read counts only where nobody else can have put it.
    let mut run = cluster.command("verify.yaml", Some(0));
    std::fs::set_permissions(cluster.root.join("verify-keys"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let ended = run.output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(text(&ended.stderr).contains("that only its owner can write, found mode 0777"), "{}", text(&ended.stderr));
}

#[test]
fn a_configuration_that_anyone_could_exchange_is_refused() {
    let cluster = Cluster::new("exchange");
    let refused = |change: &dyn Fn(&Path), said: &str| {
        let mut run = cluster.command("join.yaml", None);
        change(&cluster.root.join("join-config"));
        let ended = run.output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{said}: {}", text(&ended.stderr));
        assert!(text(&ended.stderr).contains(said), "{said}: {}", text(&ended.stderr));
    };
    let permit =
        |path: PathBuf, mode: u32| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let version = "..2026_11_30_22_45_00.1234567890";
    refused(&|at| permit(at.to_owned(), 0o777), "only its owner can write, found mode 0777");
    refused(&|at| permit(at.join(version), 0o775), "only its owner can write, found mode 0775");
    refused(&|at| permit(at.join(version).join("trust.toml"), 0o664), "only its owner can write, found mode 0664");
    refused(&|at| permit(at.join(version).join("release.pem"), 0o646), "only its owner can write, found mode 0646");
    for name in ["trust.toml", "..data", version, "..data/trust.toml", "..data/release.pem"] {
        if std::os::unix::fs::lchown(cluster.root.join("container"), Some(0), None).is_err() {
            eprintln!("!! SKIPPED owners: only root gives files away");
            break;
        }
        let give = |at: &Path| std::os::unix::fs::lchown(at.join(name), Some(4242), None).unwrap();
        refused(&give, "owned by root or user");
    }
}

/// The root of a mounted volume can be written by everyone, but the volume is mounted read-only.
#[test]
fn a_volume_that_is_mounted_read_only_needs_no_modes() {
    let cluster = Cluster::new("mounted");
    let run = cluster.command("verify.yaml", Some(0));
    let args: Vec<String> = run.get_args().map(|word| word.to_str().unwrap().to_owned()).collect();
    let config = cluster.root.join("verify-config").display().to_string();
    // First as it is, then read-only.
    let script = "m=$1; shift; cp -a $m $m.kept; mount -t tmpfs -o mode=0777 none $m; cp -a $m.kept/. $m/; chmod 777 $m\n\
                  JOB_COMPLETION_INDEX=0 $P \"$@\" && exit 90; mount -o remount,ro $m; JOB_COMPLETION_INDEX=0 exec $P \"$@\"";
    let mut words = vec![config.as_str()];
    words.extend(args.iter().map(String::as_str));
    let Some(ended) = sandbox(script, &words) else { return };
    assert!(ended.status.success(), "{}{}", text(&ended.stdout), text(&ended.stderr));
    assert!(text(&ended.stderr).contains("found mode 0777"), "{}", text(&ended.stderr));
    assert!(text(&ended.stdout).starts_with("PART  apps-7\n"), "{}", text(&ended.stdout));
}
