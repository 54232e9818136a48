//! A second process of this program, which answers over two pipes what the first one must not do
//! itself.
//!
//! It has the environment of this process and writes messages to the same standard error. It ends by
//! itself when its input ends.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

/// Size of the pipe that answers come through, in bytes: the most that Linux gives to everyone.
#[cfg(target_os = "linux")]
const PIPE: usize = 1 << 20;

/// Pipes to and from a companion.
#[derive(Debug)]
pub struct Companion {
    /// Its standard input.
    pub to: File,
    /// Its standard output.
    pub from: File,
}

/// Starts `program` with `words` as arguments.
///
/// # Errors
/// Those of the system.
pub fn start(program: &Path, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> io::Result<Companion> {
    let mut child = Command::new(program).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    // Only a wish: fewer turns between the two processes.
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(&from, PIPE);
    // Not waited for: this process may not be able to, and the child ends when its input does.
    drop(child);
    Ok(Companion { to: OwnedFd::from(to).into(), from: OwnedFd::from(from).into() })
}
