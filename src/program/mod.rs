//! Runs other programs without a shell: credential helpers, commands that print a secret, scanners.
//!
//! [`start`] returns the program, to be watched and ended ([`Running`]), and its pipes ([`Pipes`]),
//! which another thread may use. The output is limited in size, and the whole run in time. The
//! caller gives the environment, and optionally the directory. A program is
//! started by its absolute path, and relative entries of PATH are not searched. Does not interpret
//! the output of programs.

#[cfg(feature = "online")]
pub mod companion;
#[cfg(not(unix))]
mod elsewhere;
#[cfg(any(feature = "online", test))]
pub mod run;
#[cfg(unix)]
mod search;
#[cfg(unix)]
mod unix;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use zeroize::Zeroizing;

#[cfg(not(unix))]
pub use self::elsewhere::{Pipes, Running, signal, start};
#[cfg(unix)]
pub use self::unix::{Pipes, Running, signal, start};

/// Environment and directory for programs.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// Environment of the program. The program is searched in the absolute entries of its PATH.
    pub env: BTreeMap<OsString, OsString>,
    /// Working directory of the program; empty for that of this process.
    pub dir: PathBuf,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Variables may hold secrets.
        f.debug_struct("Surroundings").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Limits for a program.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum size of the output, in bytes.
    pub output: usize,
    /// Maximum run time.
    pub time: Duration,
}

/// Reason why a program gave no output.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The program does not exist.
    #[error("not found")]
    Absent,
    /// The program could not be started, or its pipes failed.
    #[error("{0}")]
    Broken(io::Error),
    /// The program took too long and was ended.
    #[error("expected an answer within {} s, found none", .0.as_secs())]
    Slow(Duration),
    /// The program wrote too much and was ended.
    #[error("expected at most {0} bytes, found more")]
    Long(usize),
    /// The program reported a failure.
    #[error("{status}")]
    Failed {
        /// Exit status.
        status: ExitStatus,
        /// Output, which may contain a secret.
        output: Said,
    },
}

/// Output of a program. `Debug` does not show it.
pub struct Said(pub Zeroizing<Vec<u8>>);

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Said(redacted)")
    }
}

/// Process group of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kin {
    /// Our process group, so that the program can prompt on the terminal. Its standard error is
    /// discarded, since it may contain anything.
    Ours,
    /// A separate process group, which is ended with the program. Its standard error is part of the
    /// output.
    Apart,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It exited, or a signal from elsewhere ended it.
    Exited(ExitStatus),
    /// It was ended because its time was over.
    Slow,
}
