//! Watchers of import pipelines, from outside: the built binary over directories, a container of Azure
//! and a bucket, with bundles that arrive by other programs.

mod arrivals;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::azurite::Emulated;
use super::containers::bundles;
use super::strace::injected;
use super::world::{command, dir, packmule, stride, text, var};

/// Longest time to wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder of a test, with a configuration of one import pipeline, a policy, and an empty directory
/// `in`.
struct Site {
    name: String,
}

impl Site {
    fn new(test: &str) -> Self {
        Self::of(test, "dir = \"in\"", "")
    }

    /// Makes a site whose pipeline has the keys `source`; `more` is further configuration.
    fn of(test: &str, source: &str, more: &str) -> Self {
        bundles();
        let site = Self { name: format!("watch/{test}") };
        drop(std::fs::remove_dir_all(site.path("")));
        std::fs::create_dir_all(site.path("in")).unwrap();
        let key = dir().join("k.pub.pem");
        let policy = format!(
            "[key]\nk = {{ public = \"{}\", holder = \"desk\", role = \"release\" }}\n[no_channel]\nkeys = [\"k\"]\n",
            key.display()
        );
        let config = format!(
            "[import.dark]\n{source}\nto = \"oci:site\"\npolicy = \"trust.toml\"\ninterval = \"1s\"\n\
             tag_conflict = \"move\"\nreceipt = {{ dir = \"receipts\" }}\n{more}"
        );
        site.write("trust.toml", &policy);
        site.write("packmule.toml", &config);
        std::fs::create_dir_all(site.path("receipts")).unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        dir().join(&self.name).join(name)
    }

    /// Writes a file that nobody else may read.
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn options(&self) -> [String; 4] {
        let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
        ["--config".to_owned(), path("packmule.toml"), "--state".to_owned(), path("state")]
    }

    fn run(&self, args: &[&str], code: i32) -> Value {
        let options = self.options();
        let args: Vec<&str> = args.iter().copied().chain(options.iter().map(String::as_str)).collect();
        packmule(&args, code).0
    }

    /// Makes one look and returns how many bundles were imported, failed, failed before, are incomplete
    /// and known.
    fn look(&self, code: i32) -> [u64; 5] {
        let document = self.run(&["pipeline", "watch", "--once"], code);
        let found = &document["result"]["pipelines"][0];
        ["imported", "failed", "failed_before", "incomplete", "known"].map(|name| found[name].as_u64().unwrap())
    }

    fn runs(&self) -> Vec<Value> {
        let state = self.path("state");
        let listed = packmule(&["runs", "list", "--state", state.to_str().unwrap()], 0).0;
        listed["result"]["runs"].as_array().unwrap().clone()
    }

    /// Checks that the site has exactly what the bundle holds.
    fn holds(&self, bundle: &str) {
        let (bundle, place) = (format!("./{bundle}"), format!("oci:{}/site", self.name));
        packmule(&["diff", &bundle, &place, "--check"], 0);
    }

    /// Starts a watcher with a state of its own; returns it and the lines that it writes.
    fn watch(&self, state: &str) -> Watching {
        let (config, state) = (self.path("packmule.toml"), self.path(state));
        let mut started = command(&["pipeline", "watch", "dark", "--progress", "plain", "--listen", "127.0.0.1:0"]);
        started.arg("--config").arg(config).arg("--state").arg(state).env_remove("SOURCE_DATE_EPOCH");
        let mut child = started.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok();
        });
        let mut watching = Watching { child, lines, all: Vec::new(), host: String::new() };
        let line = watching.wait_for("status on http://");
        line.split("http://").nth(1).unwrap().trim_end_matches('/').clone_into(&mut watching.host);
        watching
    }
}

/// A running watcher.
struct Watching {
    child: Child,
    lines: Receiver<String>,
    all: Vec<String>,
    host: String,
}

impl Watching {
    /// Waits for a line with this text.
    fn wait_for(&mut self, what: &str) -> String {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let Ok(line) = self.lines.recv_timeout(Duration::from_secs(1)) else { continue };
            self.all.push(line.clone());
            if line.contains(what) {
                return line;
            }
        }
        panic!("{what}: {:?}", self.all);
    }

    fn get(&self, path: &str) -> String {
        ask(&self.host, "GET", path)
    }

    /// Waits until a page has this text.
    fn wait_until(&self, path: &str, what: &str) {
        let begin = Instant::now();
        while !self.get(path).contains(what) {
            assert!(begin.elapsed() < PATIENCE, "{what}: {}", self.get(path));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends it by TERM.
    fn term(mut self) {
        let ended = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(ended.success());
        let code = self.child.wait().unwrap().code();
        assert_eq!(code, Some(143), "{:?}", self.all);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request and returns the whole answer.
fn ask(host: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    text(&answer)
}

/// Returns the files of a bundle.
fn files(bundle: &str) -> Vec<PathBuf> {
    let folder = dir().join(bundle).parent().unwrap().to_owned();
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn cp(files: &[PathBuf], to: &Path) {
    let copied = Command::new("cp").args(files).arg(to).status().unwrap();
    assert!(copied.success());
}

#[test]
fn t4_t9_t10_bundles_are_imported_as_they_arrive_each_once() {
    let site = Site::new("arrives");
    // Of one with fewer volumes, the surplus ones of the first would be left, and refused.
    let (large, small) = bundles();
    assert_eq!(site.look(0), [0, 0, 0, 0, 0]);
    // File by file, the manifest first and last.
    let (one, rest) = files(small).split_first().map(|(one, rest)| (one.clone(), rest.to_vec())).unwrap();
    cp(&rest, &site.path("in"));
    assert_eq!(site.look(0), [0, 0, 0, 1, 0]);
    cp(&[one], &site.path("in"));
    assert_eq!(site.look(0), [1, 0, 0, 0, 0]);
    site.holds(small);
    assert_eq!(site.look(0), [0, 0, 0, 0, 1]);
    let runs = site.runs();
    let id = packmule(&["inspect", small], 0).0["result"]["id"].clone();
    assert_eq!((runs.len(), &runs[0]["state"], &runs[0]["bundle"]), (1, &"done".into(), &id));
    assert_eq!((&runs[0]["pipeline"], &runs[0]["name"]), (&"import.dark".into(), &"b".into()));
    // Another bundle takes the name; then the first one comes back.
    cp(&files(large), &site.path("in"));
    assert_eq!(site.look(0), [1, 0, 0, 0, 0]);
    cp(&files(small), &site.path("in"));
    assert_eq!(site.look(0), [0, 0, 0, 0, 1]);
    assert_eq!(site.runs().len(), 2);
}

#[test]
fn t8_runs_are_listed_shown_deleted_and_cleaned() {
    let site = Site::new("runs");
    let (_, small) = bundles();
    let state = site.path("state");
    let runs =
        |args: &[&str], code: i32| packmule(&[&["runs"], args, &["--state", state.to_str().unwrap()]].concat(), code).0;
    assert_eq!(runs(&["list"], 0)["result"]["runs"], serde_json::json!([]));
    cp(&files(small), &site.path("in"));
    std::fs::write(site.path("in/b.sig.json"), "{}").unwrap();
    assert_eq!(site.look(10)[1], 1);
    let failed = site.runs()[0].clone();
    assert_eq!((&failed["state"], &failed["error"]["class"]), (&"failed".into(), &"format".into()));
    cp(&files(small), &site.path("in"));
    assert_eq!(site.look(0)[0], 1);
    let done = site.runs()[0].clone();
    assert!(done["bytes"].as_u64().unwrap() > 0 && done["counts"]["artifacts"] == 1, "{done}");
    assert!(done["started"].as_str() <= done["ended"].as_str() && done["receipt"].is_string(), "{done}");
    let (id, first) = (done["id"].as_str().unwrap(), failed["id"].as_str().unwrap());
    assert_eq!(runs(&["list", "--top", "1"], 0)["result"]["runs"], serde_json::json!([done]));
    assert_eq!(runs(&["show", id], 0)["result"], done);
    let shown = command(&["runs", "show", first, "--state", state.to_str().unwrap()]).output().unwrap();
    let shown = text(&shown.stdout);
    assert!(shown.contains("state      failed\n") && shown.contains("error      format: "), "{shown}");
    let named = runs(&["clean", "--dry-run"], 0);
    assert_eq!(named["result"]["runs"], serde_json::json!([failed]));
    assert_eq!(site.runs().len(), 2);
    assert_eq!(runs(&["clean"], 0)["result"]["runs"], serde_json::json!([failed]));
    assert_eq!(site.runs(), std::slice::from_ref(&done));
    // The record alone goes: what was imported is not imported again.
    let receipt = PathBuf::from(done["receipt"].as_str().unwrap());
    runs(&["delete", id], 0);
    assert!(site.runs().is_empty() && receipt.exists());
    assert_eq!(site.look(0), [0, 0, 0, 0, 1]);
    site.holds(small);
    for gone in ["delete", "show"] {
        assert!(runs(&[gone, id], 2)["error"]["message"].as_str().unwrap().contains("expected a record"), "{gone}");
    }
    runs(&["show", "../../k"], 2);
}

#[test]
fn t9_a_bundle_that_fails_is_put_aside_and_others_go_on() {
    let site = Site::new("aside");
    let (large, _) = bundles();
    cp(&files(large), &site.path("in"));
    // Complete by its sizes, and wrong.
    let volume = site.path("in/b.0001.tar.zst");
    let mut bytes = std::fs::read(&volume).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&volume, &bytes).unwrap();
    std::fs::create_dir_all(site.path("other")).unwrap();
    packmule(&["export", "oci:containers/small-layout", "-o", &format!("{}/other/c", site.name), "--sign", "k.pem"], 0);
    cp(&files(&format!("{}/other/c", site.name)), &site.path("in"));
    let document = site.run(&["pipeline", "watch", "--once"], 11);
    assert!(document["error"]["message"].as_str().unwrap().contains("bundle b: "), "{document}");
    site.holds(&format!("{}/other/c", site.name));
    let before = site.runs().len();
    assert_eq!(before, 2);
    // In time it is tried again; a file that changes makes it due at once.
    cp(&files(large), &site.path("in"));
    assert_eq!(site.look(0), [1, 0, 0, 0, 1]);
}

#[test]
fn t9_a_watcher_runs_until_term_and_shows_what_it_does() {
    let site = Site::new("runs-on");
    // Of one with fewer volumes, the surplus ones of the first would be left, and refused.
    let (large, small) = bundles();
    let mut watching = site.watch("state");
    assert!(watching.get("/healthz").ends_with("\r\n\r\nok\n"));
    cp(&files(small), &site.path("in"));
    watching.wait_for("imported b sha256:");
    watching.wait_until("/metrics", "packmule_watch_imports_total{pipeline=\"import.dark\"} 1\n");
    cp(&files(large), &site.path("in"));
    std::fs::write(site.path("in/b.sig.json"), "{}").unwrap();
    watching.wait_until("/metrics", "packmule_watch_bundles_failed{pipeline=\"import.dark\"} 1\n");
    let page = watching.get("/");
    for part in ["Content-Security-Policy", "<strong class=bad>format</strong>", "✕ failed", "✓ done", "import.dark"]
    {
        let found = page.to_lowercase().contains(&part.to_lowercase());
        assert!(found, "{part}: {page}");
    }
    assert!(!page.contains("<script"));
    assert!(ask(&watching.host, "POST", "/").starts_with("HTTP/1.1 405"));
    assert!(watching.get("/etc/passwd").starts_with("HTTP/1.1 404"));
    assert!(ask(&watching.host, "HEAD", "/").ends_with("\r\n\r\n"));
    cp(&files(large), &site.path("in"));
    watching.wait_for("imported b sha256:");
    watching.wait_until("/metrics", "packmule_watch_bundles_failed{pipeline=\"import.dark\"} 0\n");
    watching.term();
    site.holds(large);
    assert_eq!(site.look(0), [0, 0, 0, 0, 1], "the next process goes on where this one ended");
    assert!(site.runs().iter().all(|run| run["state"] == "done" || run["state"] == "failed"));
}

#[test]
fn t9_a_stick_appears_and_goes() {
    let site = Site::new("stick");
    let (_, small) = bundles();
    std::fs::remove_dir(site.path("in")).unwrap();
    let told = site.run(&["pipeline", "watch", "--once"], 22);
    assert_eq!(told["result"]["pipelines"][0]["absent"], true);
    let mut watching = site.watch("state");
    watching.wait_until("/metrics", "packmule_watch_source_present{pipeline=\"import.dark\"} 0\n");
    std::fs::create_dir(site.path("stick")).unwrap();
    cp(&files(small), &site.path("stick"));
    std::fs::rename(site.path("stick"), site.path("in")).unwrap();
    watching.wait_for("imported b sha256:");
    std::fs::rename(site.path("in"), site.path("stick")).unwrap();
    watching.wait_until("/metrics", "packmule_watch_source_present{pipeline=\"import.dark\"} 0\n");
    std::fs::rename(site.path("stick"), site.path("in")).unwrap();
    watching.wait_until("/metrics", "packmule_watch_bundles_settled{pipeline=\"import.dark\"} 1\n");
    watching.wait_until("/metrics", "packmule_watch_imports_total{pipeline=\"import.dark\"} 1\n");
    watching.term();
}

#[test]
fn t9_two_watchers_on_one_container_are_harmless() {
    let site = Site::new("two");
    let (large, small) = bundles();
    let (mut one, mut two) = (site.watch("state"), site.watch("state-two"));
    for bundle in [small, large] {
        cp(&files(bundle), &site.path("in"));
        for watching in [&mut one, &mut two] {
            watching.wait_for("imported b sha256:");
        }
    }
    // A third with the first one's state takes turns with it.
    let third = site.watch("state");
    third.wait_until("/metrics", "packmule_watch_bundles_settled{pipeline=\"import.dark\"} 1\n");
    third.wait_until("/metrics", "packmule_watch_imports_total{pipeline=\"import.dark\"} 0\n");
    [one, two, third].into_iter().for_each(Watching::term);
    site.holds(large);
    assert_eq!(site.runs().iter().filter(|run| run["state"] == "done").count(), 2);
}

/// Kills a look at every rename and fsync. The next one ends what was begun.
#[test]
fn t9_a_look_killed_at_any_call_goes_on() {
    let site = Site::new("killed");
    let (_, small) = bundles();
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    cp(&files(small), &site.path("in"));
    let options = site.options();
    let words = ["pipeline", "watch", "--once"].into_iter().chain(options.iter().map(String::as_str));
    let args: Vec<&str> = words.collect();
    let mut killed = 0;
    for call in ["/^rename", "fsync"] {
        for nth in (1..60).step_by(stride(3)) {
            for name in ["state", "site", "receipts"] {
                drop(std::fs::remove_dir_all(site.path(name)));
            }
            std::fs::create_dir_all(site.path("receipts")).unwrap();
            let (code, told) = injected(&strace, call, "signal=KILL", nth, &args);
            let place = format!("{call} {nth}: {told}");
            if code == Some(0) {
                break;
            }
            killed += 1;
            // A run that was killed in its work is shown as such.
            let runs = site.runs();
            assert!(runs.iter().all(|run| run["state"] == "killed" || run["state"] == "done"), "{place}: {runs:?}");
            let looked = site.look(0);
            assert!(looked == [1, 0, 0, 0, 0] || looked == [0, 0, 0, 0, 1], "{place}: {looked:?}");
            site.holds(small);
            assert_eq!(site.runs()[0]["state"], "done", "{place}");
        }
    }
    assert!(killed > 5, "only {killed} times");
}

#[test]
fn t4_only_pipelines_with_a_trigger_are_watched_unless_named() {
    let site = Site::of("trigger", "dir = \"in\"\ntrigger = false", "");
    let (_, small) = bundles();
    cp(&files(small), &site.path("in"));
    let told = site.run(&["pipeline", "watch", "--once"], 2);
    assert!(told["error"]["message"].as_str().unwrap().contains("trigger = true"), "{told}");
    let named = site.run(&["pipeline", "watch", "dark", "--once"], 0);
    assert_eq!(named["result"]["pipelines"][0]["imported"], 1);
    let told = site.run(&["pipeline", "watch", "light", "--once"], 2);
    assert!(told["error"]["help"].as_str().unwrap().contains("dark"), "{told}");
}

/// Writes files with Azure's SDK, in the order given.
const SDK: &str = r"
import os, sys
from azure.storage.blob import ContainerClient
client = ContainerClient.from_container_url(sys.argv[1], max_block_size=1 << 20, max_single_put_size=1 << 20)
for path in sys.argv[2:]:
    with open(path, 'rb') as data:
        client.upload_blob('dark/' + os.path.basename(path), data, overwrite=True)
";
