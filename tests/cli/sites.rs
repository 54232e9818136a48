//! A folder of a test with a layout, a bundle and a configuration, and the secrets that no output may
//! show; and the runs over it that every kind of container must pass.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::containers::suite::content;
use super::shelf::Image;
use super::world::{command, dir, layout, text};

/// Longest time to wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of a test.
pub struct Site {
    name: String,
    env: Vec<(&'static str, String)>,
    secrets: Mutex<Vec<String>>,
}

/// A running process, ended on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Site {
    /// Makes the folder; its layout has an image of `size` bytes that nothing makes smaller.
    pub fn new(test: &str, size: usize, env: Vec<(&'static str, String)>) -> Self {
        let name = format!("sites/{test}");
        drop(std::fs::remove_dir_all(dir().join(&name)));
        std::fs::create_dir_all(dir().join(&name)).unwrap();
        layout(&format!("{name}/layout"), &[Image::new(vec![content(size, 77)])]);
        Self { name, env, secrets: Mutex::default() }
    }

    /// Returns the path of a file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        dir().join(&self.name).join(name)
    }

    /// Returns a file of the folder as an argument.
    pub fn arg(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    /// Writes a file that only its owner can read.
    pub fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Notes a secret that no later output may show.
    pub fn hide(&self, secret: &str) {
        self.secrets.lock().unwrap().push(secret.to_owned());
    }

    /// Prepares a run with the configuration and a state of its own, and the real time.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = command(args);
        command.args(["--config", &self.arg("packmule.toml"), "--state", &self.arg("state")]);
        command.env_remove("SOURCE_DATE_EPOCH").envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    fn is_silent(&self, what: &[&str], told: &str) {
        for secret in self.secrets.lock().unwrap().iter() {
            assert!(!told.contains(secret), "{what:?}: a secret shows\n{told}");
        }
    }

    /// Runs packmule, expects `code` and no secret in any output, and returns all output.
    pub fn run(&self, args: &[&str], code: i32) -> String {
        let output = self.command(args).output().unwrap();
        let all = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{all}");
        self.is_silent(args, &all);
        all
    }

    /// Like `run`, with `--json`; returns the result.
    pub fn json(&self, args: &[&str], code: i32) -> Value {
        let output = self.command(&[args, &["--json", "-vv"]].concat()).output().unwrap();
        let (out, told) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}{told}");
        self.is_silent(args, &(out.clone() + &told));
        let document: Value = serde_json::from_str(&out).unwrap();
        document["result"].clone()
    }

    /// Exports the layout into a directory and returns the bundle.
    pub fn exported(&self) -> String {
        std::fs::create_dir_all(self.path("out")).unwrap();
        let (layout, out) = (format!("oci:{}", self.arg("layout")), self.arg("out/b"));
        let output = command(&["export", &layout, "-o", &out, "--sign", "k.pem"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        out
    }

    /// Returns the arguments of an export into the container.
    pub fn export(&self, more: &[&str]) -> Vec<String> {
        std::fs::create_dir_all(self.path("stage")).unwrap();
        let (layout, stage) = (format!("oci:{}", self.arg("layout")), self.arg("stage"));
        let args = ["export", &layout, "-o", "storage:low/e", "--stage", &stage, "--sign", "k.pem"];
        args.iter().chain(more).map(|arg| (*arg).to_owned()).collect()
    }

    /// Starts a run, waits until `begun`, and kills it.
    pub fn killed(&self, args: &[&str], begun: impl Fn() -> bool) {
        let mut run = self.command(args);
        let mut child = Running(run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let start = Instant::now();
        while !begun() {
            assert!(child.0.try_wait().unwrap().is_none(), "{args:?}: it ended before anything was there");
            assert!(start.elapsed() < PATIENCE, "{args:?}: nothing is there");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts a run, and returns its first line on standard error that has `part` in it. Ends the run.
    pub fn first_line(&self, args: &[&str], part: &str) -> String {
        self.while_running(args, part, str::to_owned)
    }

    /// Starts a run, waits for a line on standard error that has `part` in it, and calls `then` with
    /// this line. Ends the run afterwards.
    pub fn while_running<T>(&self, args: &[&str], part: &str, then: impl FnOnce(&str) -> T) -> T {
        let mut run = self.command(args);
        let mut child = Running(run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        let mut told = BufReader::new(child.0.stderr.take().unwrap());
        let (mut all, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            assert!(told.read_line(&mut line).unwrap() > 0, "{args:?}: expected {part}: {all}");
            all += &line;
            if line.contains(part) {
                break;
            }
        }
        self.is_silent(args, &all);
        // What it says further must not stop it.
        std::thread::spawn(move || drop(told.read_to_end(&mut Vec::new())));
        then(line.trim_end())
    }

    /// Checks that two folders of the site have the same files.
    pub fn same_files(&self, one: &str, other: &str) {
        let names = |folder: &str| {
            let entries = std::fs::read_dir(self.path(folder)).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(one), names(other));
        for name in names(one) {
            let of = |folder: &str| std::fs::read(self.path(folder).join(&name)).unwrap();
            assert!(of(one) == of(other), "{}", name.display());
        }
    }
}

/// Every command that reads a bundle in the container `storage:low`, which has `b`.
pub fn reads(site: &Site) {
    let listed = site.json(&["ls", "storage:low"], 0);
    assert_eq!(listed["bundles"][0]["complete"], true, "{listed}");
    let id = &site.json(&["verify", "storage:low/b", "--key", "k.pub.pem"], 0)["id"];
    let shown = site.json(&["inspect", "storage:low/b", "--check"], 0);
    assert_eq!((&shown["id"], &shown["checked"]), (id, &true.into()));
    let into = format!("oci:{}", site.arg("site"));
    site.run(&["import", "storage:low/b", "--key", "k.pub.pem", "--to", &into, "-vv"], 0);
    assert_eq!(site.json(&["diff", "storage:low/b", &into, "--content", "--check"], 0)["same"], true);
    site.run(&["diff", &format!("./{}", site.arg("out/b")), "storage:low/b", "--check", "-vv"], 0);
    let down = site.arg("down");
    std::fs::create_dir_all(site.path("down")).unwrap();
    site.run(&["download", "storage:low/b", &down, "-vv"], 0);
    site.same_files("out", "down");
    // As a source of copy and export, and served.
    let copy = format!("oci:{}", site.arg("copy"));
    site.run(&["copy", "bundle:storage:low/b", "--key", "k.pub.pem", "--to", &copy, "-vv"], 0);
    site.run(&["copy", "bundle:storage:low/b:example.org/a/b:1", "--key", "k.pub.pem", "--to", &copy, "-vv"], 0);
    let refused = site.run(&["copy", "bundle:storage:low/b", "--to", &copy, "-vv"], 2);
    assert!(refused.contains("--key"), "{refused}");
    let serve = ["serve", "storage:low/b", "--key", "k.pub.pem", "--listen", "127.0.0.1:0", "-vv"];
    site.while_running(&serve, " tags on ", |line| {
        let (_, host) = line.rsplit_once("://").unwrap();
        let pulled = format!("oci:{}", site.arg("pulled"));
        site.run(&["copy", &format!("{host}/a/b:1"), "--to", &pulled, "-vv"], 0);
    });
    for folder in ["copy", "pulled"] {
        assert_eq!(blobs(&site.path(folder)), blobs(&site.path("site")), "{folder}");
    }
}

fn blobs(layout: &Path) -> Vec<(std::ffi::OsString, u64)> {
    let entries = std::fs::read_dir(layout.join("blobs/sha256")).unwrap().map(Result::unwrap);
    let mut blobs: Vec<_> = entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().len())).collect();
    blobs.sort();
    blobs
}

/// Every command that writes: the container `storage:low` is empty before, and has `b` and `e`
/// afterwards.
pub fn writes(site: &Site) {
    let bundle = site.exported();
    let sent = site.json(&["upload", &bundle, "storage:low"], 0);
    assert_eq!((&sent["sent"], &sent["was_there"]), (&sent["bytes"], &false.into()));
    let again = site.json(&["upload", &bundle, "storage:low"], 0);
    assert_eq!((&again["sent"], &again["was_there"]), (&0.into(), &true.into()));
    site.run(&["upload", &bundle, "storage:low", "--overwrite", "-vv"], 0);
    let export = site.export(&["-vv"]);
    site.run(&export.iter().map(String::as_str).collect::<Vec<_>>(), 0);
    assert_eq!(std::fs::read_dir(site.path("stage")).unwrap().count(), 0, "everything has left the stage");
    site.run(&["verify", "storage:low/e", "--key", "k.pub.pem", "-vv"], 0);
}

/// Removes both bundles.
pub fn removes(site: &Site) {
    let removed = site.json(&["rm", "storage:low/b"], 0);
    assert!(removed["objects"][0]["name"].as_str().unwrap().ends_with("b.json"), "{removed}");
    site.run(&["rm", "storage:low/e", "-vv"], 0);
    assert_eq!(site.json(&["ls", "storage:low"], 0)["bundles"], serde_json::json!([]));
}
