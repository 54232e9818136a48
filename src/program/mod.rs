//! Other programs, run without a shell: credential helpers, commands that print a secret, scanners.
//!
//! One runner: [`start`] gives the program, to be watched and ended ([`Running`]), and its pipes ([`Pipes`]), which
//! another thread may use. What comes back is capped in size, the whole run in time. Environment and directory are
//! the caller's, never this process' own. It judges nothing that a program says.

#[cfg(not(unix))]
mod elsewhere;
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

/// How often a program whose pipes are still is looked at.
#[cfg(any(feature = "online", test))]
const PAUSE: Duration = Duration::from_millis(10);

/// What programs are started in.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// Their environment; PATH is where they are looked for.
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

/// Runs `program` with `words` behind it and `input` on its standard input, and gives its standard
/// output. Its standard error goes nowhere: it may hold anything.
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
    // It has answered when it has ended and nobody can say more; the deadline is for both.
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
