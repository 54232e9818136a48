//! Other programs, run without a shell: credential helpers, commands that print a secret.
//!
//! What comes back is capped in size and time. Environment and directory are the caller's, never this
//! process' own. The program stays in our process group, so that it can ask on the terminal.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use zeroize::Zeroizing;

/// How often a program that has closed its output is looked at.
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
    /// Bytes on its standard output.
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

/// Runs `program` with `words` behind it and `input` on its standard input, and gives its standard
/// output. Its standard error goes nowhere: it may hold anything.
///
/// # Errors
/// [`Failure`].
pub fn run(
    program: &str,
    words: &[String],
    input: &[u8],
    surroundings: &Surroundings,
    limits: Limits,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut command = Command::new(program);
    command.args(words).env_clear().envs(&surroundings.env);
    if !surroundings.dir.as_os_str().is_empty() {
        command.current_dir(&surroundings.dir);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::Absent,
        _ => Failure::Broken(error),
    })?;
    let result = converse(&mut child, input, limits);
    if result.is_err() {
        // Both fail only where it has ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
    let (status, output) = result?;
    if status.success() { Ok(output) } else { Err(Failure::Failed { status, output: Said(output) }) }
}

fn converse(child: &mut Child, input: &[u8], limits: Limits) -> Result<(ExitStatus, Zeroizing<Vec<u8>>), Failure> {
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Failure::Broken(io::ErrorKind::BrokenPipe.into()));
    };
    let (sender, receiver) = mpsc::channel();
    let input = Zeroizing::new(input.to_vec());
    // Threads of their own: a grandchild may hold the pipes open for longer than we wait.
    std::thread::spawn(move || {
        // A program need not read what it is told.
        let _ = stdin.write_all(&input);
    });
    std::thread::spawn(move || {
        let mut output = Zeroizing::new(Vec::with_capacity(limits.output + 1));
        let read = stdout.take(limits.output as u64 + 1).read_to_end(&mut output);
        let _ = sender.send(read.map(|_| output));
    });
    let output = receiver.recv_timeout(limits.time).map_err(|_| Failure::Slow(limits.time))?;
    let output = output.map_err(Failure::Broken)?;
    if output.len() > limits.output {
        return Err(Failure::Long(limits.output));
    }
    let mut waited = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait().map_err(Failure::Broken)? {
            return Ok((status, output));
        }
        if waited >= limits.time {
            return Err(Failure::Slow(limits.time));
        }
        std::thread::sleep(PAUSE);
        waited += PAUSE;
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
