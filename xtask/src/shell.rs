//! Runs other programs, and defines the failure type of all tasks.
//!
//! Nothing here uses a shell, only programs with their arguments, output and exit status.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Reason why a task failed, in one or a few lines.
#[derive(Debug)]
pub struct Failed(String);

impl Failed {
    /// Creates a failure with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl From<std::io::Error> for Failed {
    fn from(e: std::io::Error) -> Self {
        Self(e.to_string())
    }
}

impl From<serde_json::Error> for Failed {
    fn from(e: serde_json::Error) -> Self {
        Self(e.to_string())
    }
}

/// Returns the root of the workspace.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Returns the build directory: `CARGO_TARGET_DIR`, otherwise `target` in the workspace.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}

/// Returns a command for a program, without standard input.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

/// Runs to the end with the caller's output. Any exit code other than 0 is a failure that names the
/// program.
pub fn run(command: &mut Command) -> Result<(), Failed> {
    let status = command.status().map_err(|e| Failed(format!("{}: {e}", name(command))))?;
    if status.success() { Ok(()) } else { Err(Failed(format!("{}: {status}", line(command)))) }
}

/// Runs to the end and captures the output. A failure shows the end of it.
pub fn quiet(command: &mut Command) -> Result<(), Failed> {
    output(command).map(drop)
}

/// Runs to the end and returns its standard output. A failure shows the end of its standard error.
pub fn output(command: &mut Command) -> Result<String, Failed> {
    let out = command.output().map_err(|e| Failed(format!("{}: {e}", name(command))))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let text = [String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)].concat();
    let tail: Vec<&str> = text.lines().rev().take(15).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    Err(Failed(format!("{}: {}\n{}", line(command), out.status, tail.join("\n"))))
}

/// Reports on standard error how long a stage took.
pub fn stage<T>(what: &str, body: impl FnOnce() -> Result<T, Failed>) -> Result<T, Failed> {
    let begin = Instant::now();
    eprintln!("== {what}");
    let result = body();
    let verdict = if result.is_ok() { "done" } else { "failed" };
    eprintln!("== {what}: {verdict} in {:.1} s", begin.elapsed().as_secs_f64());
    result
}

/// Returns the first file of that name in the search path or in the folders where Debian installs
/// daemons.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn line(command: &Command) -> String {
    let args = command.get_args().map(std::ffi::OsStr::to_string_lossy);
    std::iter::once(command.get_program().to_string_lossy()).chain(args).collect::<Vec<_>>().join(" ")
}
