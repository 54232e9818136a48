//! Work that is split over processes: the built binary over a directory, an emulator of Azure and an S3
//! server, and an import that several processes send to a registry.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::azurite::Emulated;
use super::containers::{bundles, container};
use super::world::{command, dir, packmule, prefix, text, var};

/// A bundle `b` of two volumes at an address, and options that reach it.
struct Stored {
    bundle: String,
    options: Vec<String>,
    tallies: PathBuf,
}

impl Stored {
    /// Uploads the bundle; `options` are those of the configuration.
    fn upload(test: &str, container: &str, options: Vec<String>) -> Self {
        let (large, _) = bundles();
        let mut args = vec!["upload", large, container];
        args.extend(options.iter().map(String::as_str));
        packmule(&args, 0);
        Self { bundle: format!("{container}/b"), options, tallies: empty(test) }
    }

    fn verify(&self, more: &[&str]) -> Command {
        let mut run = command(&["verify", &self.bundle, "--key", "k.pub.pem", "--json"]);
        run.args(&self.options).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
        run
    }

    fn shard(&self, index: u32, count: u32) -> Command {
        self.verify(&["--shard", &format!("{index}/{count}"), "-o", self.tallies.to_str().unwrap()])
    }

    fn join(&self, code: i32) -> Value {
        let ended = self.verify(&["--join", self.tallies.to_str().unwrap()]).output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{}{}", text(&ended.stdout), text(&ended.stderr));
        serde_json::from_slice(&ended.stdout).unwrap()
    }

    fn tally(&self, index: u32, count: u32) -> PathBuf {
        self.tallies.join(format!("b.{index}-of-{count}.json"))
    }

    /// Runs all shards at once, and joins them.
    fn split(&self, count: u32) {
        let running: Vec<Child> = (1..=count).map(|index| self.shard(index, count).spawn().unwrap()).collect();
        for child in running {
            let ended = child.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}{}", text(&ended.stdout), text(&ended.stderr));
            let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
            assert_eq!(document["result"]["verdict"], "PART");
        }
        let (whole, _) = packmule(&["verify", bundles().0, "--key", "k.pub.pem"], 0);
        let joined = self.join(0);
        for member in ["verdict", "id", "blobs", "bytes", "frames"] {
            assert_eq!(joined["result"][member], whole["result"][member], "{member}");
        }
    }

    /// Kills a shard while it runs, sees that the join refuses, and runs it again.
    fn killed(&self, index: u32, count: u32) {
        let tally = self.tally(index, count);
        std::fs::remove_file(&tally).unwrap();
        assert!(message(&self.join(11)).contains(&format!("shard {index}/{count}: expected its tally, found none")));
        let mut child = self.shard(index, count).arg("-j1").spawn().unwrap();
        while !tally.exists() {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it began");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(std::fs::read(&tally).unwrap(), b"", "killed before its end");
        assert!(message(&self.join(10)).contains("found an empty file: its shard has not ended, or was refused"));
        let again = self.shard(index, count).output().unwrap();
        assert!(again.status.success(), "{}", text(&again.stderr));
        self.join(0);
    }
}

fn message(document: &Value) -> String {
    document["error"]["message"].as_str().unwrap().to_owned()
}

fn empty(test: &str) -> PathBuf {
    let folder = dir().join("shards").join(test);
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes a configuration and the secret next to it; returns the options that name it.
fn config(test: &str, content: &str, secret: &str) -> Vec<String> {
    let folder = empty(&format!("{test}-config"));
    std::fs::write(folder.join("packmule.toml"), content).unwrap();
    std::fs::write(folder.join("secret"), format!("{secret}\n")).unwrap();
    std::fs::set_permissions(folder.join("secret"), std::fs::Permissions::from_mode(0o600)).unwrap();
    vec!["--config".to_owned(), folder.join("packmule.toml").to_str().unwrap().to_owned()]
}

#[test]
fn shards_in_processes_of_a_bundle_in_a_directory() {
    let (large, _) = bundles();
    let stored = Stored { bundle: large.to_owned(), options: Vec::new(), tallies: empty("files") };
    stored.split(3);
    stored.killed(2, 3);
}

#[test]
fn shards_in_processes_of_a_bundle_in_a_container() {
    let (_, address) = container("shards");
    let stored = Stored::upload("container", &address, Vec::new());
    stored.split(3);
    stored.killed(3, 3);
    // As a Kubernetes Indexed Job runs it.
    for index in ["0", "1", "2", "3"] {
        let mut run = stored.verify(&["-o", stored.tallies.to_str().unwrap()]);
        run.env("PACKMULE_SHARD", "job/4").env("JOB_COMPLETION_INDEX", index);
        let ended = run.output().unwrap();
        assert!(ended.status.success(), "{}", text(&ended.stderr));
    }
    assert!(message(&stored.join(11)).contains("expected a shard of 3"), "two splits in one directory");
    for index in 1..=3 {
        std::fs::remove_file(stored.tally(index, 3)).unwrap();
    }
    assert_eq!(stored.join(0)["result"]["tallies"].as_array().unwrap().len(), 4);
    let mut beyond = stored.verify(&["--shard", "job/4", "-o", stored.tallies.to_str().unwrap()]);
    assert_eq!(beyond.env("JOB_COMPLETION_INDEX", "4").output().unwrap().status.code(), Some(2));
}

#[test]
fn shards_in_processes_of_a_bundle_in_azure() {
    let Some(emulated) = Emulated::new(var) else { return };
    let url = emulated.address();
    let text = format!("[storage.low]\nurl = \"{url}\"\nsas = {{ file = \"secret\" }}\n");
    let stored = Stored::upload("azure", "storage:low/apps", config("azure", &text, &emulated.sas("rwla")));
    stored.split(3);
    stored.killed(1, 3);
}

#[test]
fn shards_in_processes_of_a_bundle_in_a_bucket() {
    let (Some(host), Some(bucket), Some(secret)) =
        (var("PACKMULE_TEST_S3"), var("PACKMULE_TEST_S3_BUCKET"), var("PACKMULE_TEST_S3_SECRET"))
    else {
        return;
    };
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let text = format!(
        "[storage.low]\nurl = \"s3://{bucket}/shards-{nanos}\"\nendpoint = \"http://{host}\"\npath_style = true\n\
         credential = \"keys\"\n[credential.keys]\naccess_key_id = \"mule\"\nsecret_access_key = {{ file = \"secret\" }}\n"
    );
    let stored = Stored::upload("bucket", "storage:low/apps", config("bucket", &text, &secret));
    stored.split(3);
    stored.killed(2, 3);
}

#[test]
fn a_shard_is_confined_and_another_process_reads_the_container() {
    let (_, address) = container("shards-confined");
    let stored = Stored::upload("confined", &address, Vec::new());
    let ended = stored.shard(1, 2).arg("-v").output().unwrap();
    let told = text(&ended.stderr);
    assert!(ended.status.success() && told.contains("confined by seccomp: no sockets"), "{told}");
    assert!(Path::new(&stored.tally(1, 2)).exists());
}

#[test]
fn blobs_that_several_processes_sent_are_found_by_the_import() {
    let Some(host) = var("PACKMULE_TEST_DISTRIBUTION") else { return };
    let (large, _) = bundles();
    let to = format!("{host}/{}", prefix("blobs-only"));
    let args = ["import", large, "--key", "k.pub.pem", "--to", &to, "--json"];
    let send = |index: u32| {
        let mut run = command(&[&args[..], &["--blobs-only", "--shard", "job/2"]].concat());
        run.env("JOB_COMPLETION_INDEX", index.to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
        run.spawn().unwrap()
    };
    let pushed = |child: Child| -> u64 {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}{}", text(&ended.stdout), text(&ended.stderr));
        let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!(document["result"]["blobs_only"], true);
        document["result"]["blobs"]["pushed"].as_u64().unwrap()
    };
    let running: Vec<Child> = (0..2).map(send).collect();
    let counts: Vec<u64> = running.into_iter().map(pushed).collect();
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(counts.iter().sum::<u64>(), 3, "a config and two layers");
    assert_eq!(pushed(send(1)), 0, "sent already");
    let repository = format!("{to}/a/b");
    assert_ne!(command(&["ls", &repository]).output().unwrap().status.code(), Some(0), "no tag yet");
    let (done, _) = packmule(&args[..6], 0);
    assert_eq!(done["result"]["blobs"], serde_json::json!({ "pushed": 0, "mounted": 0, "present": 3 }));
    packmule(&["diff", &format!("./{large}"), &to, "--check", "--content"], 0);
    let told = command(&[&args[..6], &["--shard", "1/2"]].concat()).output().unwrap();
    assert!(told.status.code() == Some(2) && text(&told.stderr).contains("--blobs-only"), "{}", text(&told.stderr));
    let told = command(&[&args[..6], &["--blobs-only", "--receipt", "r.json"]].concat()).output().unwrap();
    assert!(
        told.status.code() == Some(2) && text(&told.stderr).contains("cannot be used with"),
        "{}",
        text(&told.stderr)
    );
}
