//! Runs packmule under strace, which kills it or makes a system call fail.
//!
//! It holds no tests.

use std::process::{Command, Stdio};

use super::world::{dir, text};

/// Runs packmule under strace, which does this to the `nth` call of `call` in a thread; returns
/// exit code (`None`: killed) and output.
pub fn injected(strace: &str, call: &str, what: &str, nth: usize, args: &[&str]) -> (Option<i32>, String) {
    let ended = Command::new(strace)
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:{what}:when={nth}"), env!("CARGO_BIN_EXE_packmule")])
        .args(args)
        .env_clear()
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .current_dir(dir())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (ended.status.code(), text(&ended.stderr))
}
