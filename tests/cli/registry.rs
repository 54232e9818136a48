//! What the tests with real registries stand on: their variables, a home of the test's own, strangers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Ended;

/// A variable of `cargo xtask services`; without it the test is skipped aloud, or fails where `CI` is set.
pub fn var(name: &str) -> Option<String> {
    let found = std::env::var(name).ok().filter(|value| !value.is_empty());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is not set: run `cargo xtask test`");
        eprintln!("SKIP: {name} is not set; run `cargo xtask test`");
    }
    found
}

/// A home with nothing in it but what the test puts there.
pub struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    /// Empty, but for a folder `bin` that is on PATH.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        Self { dir }
    }

    /// A path below it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, for its owner alone.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A file's text.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// A program on PATH. Another process writes it, so that none of ours holds it open.
    pub fn program(&self, name: &str, text: &str) {
        let source = self.write(&format!("{name}.text"), text);
        let target = self.path("bin").join(name);
        assert!(Command::new("install").args(["-m", "755"]).arg(source).arg(target).status().unwrap().success());
    }

    /// Runs packmule there, with `input` on its standard input.
    pub fn run(&self, args: &[&str], input: &str) -> Ended {
        self.run_with(args, input, &[])
    }

    /// The same with variables.
    pub fn run_with(&self, args: &[&str], input: &str, env: &[(&str, &str)]) -> Ended {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        let mut command = super::command(self.dir.path(), args);
        command.env("HOME", self.dir.path()).env("PATH", path).envs(env.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that refuses its arguments reads nothing.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
        child.wait_with_output().unwrap().into()
    }

    /// Runs a stranger's program with this home's docker configuration; gives its output if it succeeds.
    pub fn stranger(&self, program: &str, args: &[&str], input: &str) -> Option<String> {
        let mut child = Command::new(program)
            .args(args)
            .env("HOME", self.dir.path())
            .env("DOCKER_CONFIG", self.path(".docker"))
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }
}

/// A file's mode.
pub fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Nothing that a run said holds the word.
pub fn silent_about(ended: &Ended, word: &str) {
    assert!(!ended.stdout.contains(word) && !ended.stderr.contains(word), "{}{}", ended.stdout, ended.stderr);
}
