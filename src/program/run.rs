//! Runs a program to its end and returns its output.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{End, Failure, Kin, Limits, Said, Surroundings, start};

/// How often a program whose pipes are silent is looked at.
const PAUSE: Duration = Duration::from_millis(10);

/// Runs `program` with the arguments `words` and `input` on its standard input, and returns its standard
/// output. Its standard error, which may contain anything, is discarded.
///
/// # Errors
/// [`Failure`].
pub fn to_end(
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
    use std::path::PathBuf;

    use super::*;

    fn shell(script: &str, input: &str) -> Result<Vec<u8>, Failure> {
        let limits = Limits { output: 100, time: Duration::from_secs(1) };
        let env = [("SAID".into(), "yes".into())].into();
        let surroundings = Surroundings { env, dir: PathBuf::new() };
        to_end("sh", &["-c".to_owned(), script.to_owned()], input.as_bytes(), &surroundings, limits)
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
        let absent = to_end("no-such-program-here", &[], b"", &Surroundings::default(), limits);
        assert!(matches!(absent, Err(Failure::Absent)));
    }
}
