//! Runs of the built binary in a directory of the test.
//!
//! It holds no tests.

use std::path::Path;
use std::process::{Command, Output};

/// Prepares a run of the binary in `dir`, without the test's own environment and with no terminal.
pub fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_packmule"));
    command.args(args).current_dir(dir).env_clear().stdin(std::process::Stdio::null());
    command
}

/// The outcome of a run.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Self {
            code: output.status.code().expect("an exit code"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

pub fn packmule(dir: &Path, args: &[&str]) -> Ended {
    command(dir, args).output().expect("packmule runs").into()
}

/// Checks a run that must fail with `code`, print exactly one `error:` line and one `help:` line,
/// and leave stdout empty.
pub fn refused(dir: &Path, args: &[&str], code: i32) -> String {
    let ended = packmule(dir, args);
    assert_eq!(ended.code, code, "{args:?}: {}", ended.stderr);
    assert_eq!(ended.stdout, "", "{args:?}");
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{args:?}: {}", ended.stderr);
    assert!(lines[0].starts_with("error: ") && lines[1].starts_with("help: "), "{args:?}: {}", ended.stderr);
    ended.stderr
}
