//! Other programs, run without a shell: credential helpers, commands that print a secret, scanners.
//!
//! One runner: [`start`] gives the program, to be watched and ended ([`Running`]), and its pipes ([`Pipes`]), which
//! another thread may use. What comes back is capped in size, the whole run in time. Environment and directory are
//! the caller's, never this process' own. A program is started by its absolute path, for which no relative entry of PATH is
//! searched. It judges nothing that a program says.

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

/// What programs are started in.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// Their environment; the absolute entries of PATH are where they are looked for.
    pub env: BTreeMap<OsString, OsString>,
    /// Their directory; empty: this process' own.
    pub dir: PathBuf,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Variables may hold secrets.
        f.debug_struct("Surroundings").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// What a program may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of its output that are kept.
    pub output: usize,
    /// Time until it must have ended.
    pub time: Duration,
}

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no such program.
    #[error("not found")]
    Absent,
    /// It could not be started, or its streams broke.
    #[error("{0}")]
    Broken(io::Error),
    /// It took too long, and was ended.
    #[error("expected an answer within {} s, found none", .0.as_secs())]
    Slow(Duration),
    /// It wrote too much, and was ended.
    #[error("expected at most {0} bytes, found more")]
    Long(usize),
    /// It says that it failed.
    #[error("{status}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// What it wrote; may hold a secret.
        output: Said,
    },
}

/// Output of a program; not shown in `Debug`.
pub struct Said(pub Zeroizing<Vec<u8>>);

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Said(redacted)")
    }
}

/// Whom a program belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kin {
    /// It stays in our process group, so that it can ask on the terminal. Its standard error goes nowhere: it may
    /// hold anything.
    Ours,
    /// A process group of its own, which ends with it. Its standard error is part of its output.
    Apart,
}

/// How a program that ran came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, or by a signal from elsewhere.
    Exited(ExitStatus),
    /// Its time was over, and it was ended.
    Slow,
}
