//! Runs other programs without a shell: credential helpers, commands that print a secret, scanners.
//!
//! [`start`] returns the program, to be watched and ended ([`Running`]), and its pipes ([`Pipes`]),
//! which another thread may use. The output is limited in size, and the whole run in time. The
//! caller gives the environment, and optionally the directory. A program is
//! started by its absolute path, and relative entries of PATH are not searched. Does not interpret
//! the output of programs.

#[cfg(not(unix))]
mod elsewhere;
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

/// Interval at which a program with inactive pipes is checked.
#[cfg(any(feature = "online", test))]
const PAUSE: Duration = Duration::from_millis(10);

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

/// Runs `program` with the arguments `words` and `input` on its standard input, and returns its
/// standard output. Discards its standard error, which may contain anything.
///
/// # Errors
/// [`Failure`].
#[cfg(any(feature = "online", test))]
pub fn run(
    program: &str,
    words: &[String],
    input: &[u8],
    surroundings: &Surroundings,
    limits: Limits,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let (mut running, mut pipes) = start(program, words, surroundings, limits, Kin::Ours)?;
    let mut at = 0;
    let mut ended = None;
    // Done when the program has ended and its output is closed; the deadline applies to both.
    while ended.is_none() || pipes.is_speaking() {
        if at == input.len() {
            pipes.close();
        }
        at += pipes.step(&input[at..], PAUSE).map_err(Failure::Broken)?;
        if pipes.is_long() {
            return Err(Failure::Long(limits.output));
        }
        if ended.is_none() {
            ended = running.look().map_err(Failure::Broken)?;
        } else if running.is_late() {
            return Err(Failure::Slow(limits.time));
        }
    }
    match ended {
        Some(End::Exited(status)) if status.success() => Ok(pipes.into_said()),
        Some(End::Exited(status)) => Err(Failure::Failed { status, output: Said(pipes.into_said()) }),
        Some(End::Slow) | None => Err(Failure::Slow(limits.time)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: &str) -> Result<Vec<u8>, Failure> {
        let limits = Limits { output: 100, time: Duration::from_secs(1) };
        let env = [("SAID".into(), "yes".into())].into();
        let surroundings = Surroundings { env, dir: PathBuf::new() };
        run("sh", &["-c".to_owned(), script.to_owned()], input.as_bytes(), &surroundings, limits)
            .map(|output| output.to_vec())
    }

    #[test]
    fn input_environment_and_output_go_through() {
        assert_eq!(shell("printf %s-%s \"$(cat)\" \"$SAID\"", "in").unwrap(), b"in-yes");
        assert_eq!(shell("true", &"x".repeat(1 << 20)).unwrap(), b"");
        assert_eq!(shell("echo ${HOME-none}", "").unwrap(), b"none\n");
    }

    #[test]
    fn failures_are_told_apart_and_show_no_output() {
        let failed = shell("echo canary; exit 3", "").unwrap_err();
        assert!(matches!(&failed, Failure::Failed { output, .. } if **output.0 == *b"canary\n"));
        assert!(!format!("{failed:?} {failed}").contains("canary"));
        assert!(matches!(shell("head -c 101 /dev/zero", ""), Err(Failure::Long(100))));
        assert!(matches!(shell("sleep 5", ""), Err(Failure::Slow(_))));
        assert!(matches!(shell("exec >&-; sleep 5", ""), Err(Failure::Slow(_))));
        let limits = Limits { output: 1, time: Duration::from_secs(1) };
        let absent = run("no-such-program-here", &[], b"", &Surroundings::default(), limits);
        assert!(matches!(absent, Err(Failure::Absent)));
    }
}
