//! Runs the test programs that cargo built, one after the other, and records the duration of each
//! test.
//!
//! `cargo test` on a stable compiler does not show durations. The test programs can measure them if
//! unstable options are enabled. Lines of passed tests are omitted; everything else is printed
//! unchanged.

use crate::shell::{self, Failed};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

/// Tests that take longer than this many seconds need a documented reason.
const LONG: f64 = 10.0;

/// Number of slowest tests to show.
const SHOWN: usize = 20;

/// A test program: its file, and its working directory.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    file: PathBuf,
    dir: PathBuf,
}

/// Builds the test programs that `words` (after `cargo test`) select, and returns them in cargo's
/// order.
pub fn build(root: &Path, words: &[&str]) -> Result<Vec<Program>, Failed> {
    let mut cargo = shell::command("cargo");
    cargo
        .current_dir(root)
        .args(["test", "--quiet", "--no-run", "--message-format=json-render-diagnostics"])
        .args(words);
    cargo.stderr(Stdio::inherit());
    Ok(shell::output(&mut cargo)?.lines().filter_map(program).collect())
}

/// Returns the test program in one of cargo's messages, if any.
fn program(line: &str) -> Option<Program> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let is_test = message["profile"]["test"].as_bool()?;
    let file = message["executable"].as_str().filter(|_| is_test)?;
    let dir = Path::new(message["manifest_path"].as_str()?).parent()?;
    Some(Program { file: file.into(), dir: dir.into() })
}

/// Results of running all programs.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    failed: usize,
    /// Seconds and name of each test.
    times: Vec<(f64, String)>,
}

/// Runs all programs with `args` and the variables. A failure states how many tests failed. The
/// last line on standard output counts all tests.
pub fn run(programs: &[Program], args: &[&str], vars: &[(String, String)]) -> Result<(), Failed> {
    let mut tally = Tally::default();
    let mut broken = Vec::new();
    for program in programs {
        let name = program.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = name.rsplit_once('-').map_or(name.as_str(), |(name, _)| name).to_owned();
        let begin = Instant::now();
        let mut command = shell::command(&program.file);
        command.current_dir(&program.dir).args(["-Zunstable-options", "--report-time"]).args(args);
        command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_MANIFEST_DIR", &program.dir);
        command.envs(vars.iter().map(|(name, value)| (name, value))).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let failed = tally.failed;
        if let Some(out) = child.stdout.take() {
            for line in BufReader::new(out).split(b'\n') {
                let line = line?;
                let text = String::from_utf8_lossy(&line);
                if !tally.note(&name, &text) {
                    std::io::stdout().write_all(&[&line[..], b"\n"].concat())?;
                }
            }
        }
        let status = child.wait()?;
        if !status.success() {
            broken.push(format!("{name}: {status}"));
            // A program that fails without reporting a failed test counts as one failure.
            tally.failed += usize::from(tally.failed == failed);
        }
        eprintln!("== tests of {name}: {:.1} s", begin.elapsed().as_secs_f64());
    }
    tally.show();
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if broken.is_empty() { Ok(()) } else { Err(Failed::new(format!("tests failed: {}", broken.join("; ")))) }
}

impl Tally {
    /// Records the test result in a line. Returns whether the line reports a passed test and can be
    /// omitted.
    fn note(&mut self, program: &str, line: &str) -> bool {
        let Some((name, verdict)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) else {
            return false;
        };
        let passed = verdict.starts_with("ok");
        self.passed += usize::from(passed);
        self.failed += usize::from(verdict.starts_with("FAILED"));
        if let Some(seconds) = verdict.split_once('<').and_then(|(_, time)| time.trim_end().strip_suffix("s>")) {
            self.times.push((seconds.parse().unwrap_or(0.0), format!("{program}: {name}")));
        }
        passed
    }

    /// Shows the slowest tests on standard error.
    fn show(&mut self) {
        self.times.sort_by(|a, b| b.0.total_cmp(&a.0));
        let long = self.times.iter().filter(|(seconds, _)| *seconds > LONG).count();
        eprintln!("== the slowest of {} tests ({long} took over {LONG} s)", self.times.len());
        for (seconds, name) in self.times.iter().take(SHOWN) {
            eprintln!("{seconds:8.1} s  {name}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_tests_are_counted_and_timed() {
        let mut tally = Tally::default();
        assert!(tally.note("p", "test a::b ... ok <1.234s>"));
        assert!(tally.note("p", "test c ... ok"));
        assert!(!tally.note("p", "test d - should panic ... FAILED <0.5s>"));
        assert!(!tally.note("p", "test e ... ignored"));
        assert!(!tally.note("p", "running 3 tests"));
        assert_eq!((tally.passed, tally.failed), (2, 1));
        assert_eq!(tally.times[0], (1.234, "p: a::b".to_owned()));
    }

    #[test]
    fn programs_are_read_from_cargos_messages() {
        let message = |test: bool, file: &str| {
            format!(r#"{{"profile":{{"test":{test}}},"executable":{file},"manifest_path":"/w/x/Cargo.toml"}}"#)
        };
        let found = program(&message(true, r#""/t/a-1""#)).unwrap();
        assert_eq!(found, Program { file: "/t/a-1".into(), dir: "/w/x".into() });
        for none in [message(false, r#""/t/a-1""#), message(true, "null"), "x".into(), r#"{"reason":"x"}"#.into()] {
            assert_eq!(program(&none), None, "{none}");
        }
    }
}
