//! The basis of the tests with real registries: their variables, a home for the test, other
//! programs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Ended;

/// Returns a variable of `cargo xtask services`; without it the test prints that it is skipped, or
/// fails if `CI` is set.
pub fn var(name: &str) -> Option<String> {
    let found = std::env::var(name).ok().filter(|value| !value.is_empty());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is not set: run `cargo xtask test`");
        eprintln!("SKIP: {name} is not set; run `cargo xtask test`");
    }
    found
}

/// A home that contains only what the test puts there.
pub struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    /// Creates it, empty except for a folder `bin` that is on PATH.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        Self { dir }
    }

    /// Returns a path below it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file that only its owner can read.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Reads a file's text.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Writes a program on PATH, from another process so that none of ours holds it open.
    pub fn program(&self, name: &str, text: &str) {
        let source = self.write(&format!("{name}.text"), text);
        let target = self.path("bin").join(name);
        assert!(Command::new("install").args(["-m", "755"]).arg(source).arg(target).status().unwrap().success());
    }

    /// Runs packmule there, with `input` on its standard input.
    pub fn run(&self, args: &[&str], input: &str) -> Ended {
        self.run_with(args, input, &[])
    }

    /// Like `run`, with variables.
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

    /// Runs another program with this home's docker configuration; returns its output if it
    /// succeeds.
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

/// Returns a file's mode.
pub fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Checks that no output of a run contains the word.
pub fn silent_about(ended: &Ended, word: &str) {
    assert!(!ended.stdout.contains(word) && !ended.stderr.contains(word), "{}{}", ended.stdout, ended.stderr);
}
