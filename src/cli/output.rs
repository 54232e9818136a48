//! How a run ends: results on stdout, `error:` and `help:` on stderr, or one JSON document on
//! stdout.
//!
//! Untrusted text is escaped here, when it is written. A broken pipe on stdout prints no message,
//! but the run never counts as a success.

use std::collections::HashMap;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};

use super::exit;
use super::report_files::Sheets;
use super::world::{Stderr, Written};
use crate::base::fault::{Class, Fault, escape};
use crate::flow::Clock;
use crate::oci::Digest;
use crate::operate::report_data;
use crate::report::{Page, ascii};
use crate::system::memory::Exhausted;

/// The result of a command.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Text for people, on stdout; may have many lines. Whoever adds untrusted parts escapes them
    /// ([`escape`]), since only they know which line ends are their own.
    pub text: String,
    /// Value for programs: `result` in the JSON document.
    pub result: Value,
    /// Fault of a run that fails although it has a result (a verdict, a partial outcome).
    pub fault: Option<Fault>,
    /// Whether the run was to go on until a signal ended it: this is no fault, but the exit code is that
    /// of the signal.
    pub is_stopped: bool,
    /// Report page of a command that makes its own, if a report was requested.
    pub page: Option<Box<Page>>,
}

impl Outcome {
    /// Makes the outcome of a successful run.
    pub fn new(text: impl Into<String>, result: Value) -> Self {
        Self { text: text.into(), result, fault: None, is_stopped: false, page: None }
    }

    /// Marks this outcome as that of a run that was to go on until a signal, and ended well at one.
    #[must_use]
    pub const fn stopped(mut self) -> Self {
        self.is_stopped = true;
        self
    }

    /// Marks this outcome as that of a failed run.
    #[must_use]
    pub fn failed(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }
}

/// Where and how a run is reported.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Whether to write one JSON document instead of text.
    pub json: bool,
    /// Words of the command (`key new`); empty if the command line names none.
    pub command: &'a str,
    /// The signal that was caught, if any.
    pub signal: Option<u8>,
}

impl Report<'_> {
    /// Writes the end of a run and returns its exit code.
    pub fn finish(&self, ended: Result<Outcome, Fault>, stdout: &mut dyn Write, stderr: &Stderr) -> u8 {
        let (text, result, fault, is_stopped) = match ended {
            Ok(outcome) => (outcome.text, outcome.result, outcome.fault, outcome.is_stopped),
            Err(fault) => (String::new(), Value::Null, Some(fault), false),
        };
        let code = self.code(fault.as_ref(), is_stopped);
        let text = if self.json {
            let mut text = ascii(&self.document(result, fault.as_ref(), is_stopped).to_string());
            text.push('\n');
            text
        } else {
            text
        };
        let written = write_text(stdout, &text);
        if let (Some(fault), false) = (&fault, self.json) {
            show(fault, stderr);
        }
        match written {
            Ok(()) => code,
            Err(error) => {
                if error.kind() != io::ErrorKind::BrokenPipe {
                    stderr.line(&format!("error: standard output: {error}"));
                    stderr.line("help: send the output to a place that has room for it");
                }
                if code == exit::OK { exit::code(Class::Io, None) } else { code }
            }
        }
    }

    /// Returns what to write to stdout and stderr if memory runs out: the end of a run with class
    /// io.
    pub fn last_words(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut stdout, stderr) = (Vec::new(), Written::default());
        let fault = Fault::new(Class::Io, Exhausted.to_string()).help(Exhausted::HELP);
        self.finish(Err(fault), &mut stdout, &Stderr::new(stderr.clone()));
        (stdout, stderr.text().into_bytes())
    }

    /// Writes the reports before the run's result is shown; a report that cannot be written is a
    /// fault of the run. `log` is the newest line of the run's audit log.
    ///
    /// # Errors
    /// Those of the run itself.
    pub fn write(
        &self,
        mut ended: Result<Outcome, Fault>,
        sheets: &Sheets,
        clock: &dyn Clock,
        log: Option<Digest>,
    ) -> Result<Outcome, Fault> {
        if sheets.is_empty() {
            return ended;
        }
        let filled = catch_unwind(AssertUnwindSafe(|| {
            sheets.fill(&Page { audit: log.map(|log| log.to_string()), ..self.page(&mut ended, clock) })
        }));
        let filled = filled.unwrap_or_else(|_| Err(Fault::new(Class::Bug, "internal error: cannot make the report")));
        let Err(fault) = filled else { return ended };
        let join = |first: Option<Fault>| Fault::from_list(first.into_iter().chain([fault]).collect());
        match ended {
            Ok(outcome) => Ok(Outcome { fault: join(outcome.fault), ..outcome }),
            Err(first) => Err(join(Some(first.clone())).unwrap_or(first)),
        }
    }

    /// Returns the command's own report, or else a plain one made from its outcome.
    fn page(&self, ended: &mut Result<Outcome, Fault>, clock: &dyn Clock) -> Page {
        let own = ended.as_mut().ok().and_then(|outcome| outcome.page.take());
        let is_stopped = ended.as_ref().is_ok_and(|outcome| outcome.is_stopped);
        let (outcome, fault) = match ended {
            Ok(outcome) => (Some(&*outcome), outcome.fault.as_ref()),
            Err(fault) => (None, Some(&*fault)),
        };
        let mut page = own.map_or_else(
            || Page {
                text: outcome.iter().flat_map(|outcome| outcome.text.lines()).map(ToOwned::to_owned).collect(),
                document: Some(self.document(
                    outcome.map_or(Value::Null, |outcome| outcome.result.clone()),
                    fault,
                    is_stopped,
                )),
                ..report_data::plain(self.command, fault)
            },
            |own| *own,
        );
        self.command.clone_into(&mut page.command);
        page.run = outcome.and_then(|outcome| outcome.result["run"].as_str().map(ToOwned::to_owned));
        page.exit = self.code(fault, is_stopped);
        page.ok = fault.is_none();
        report_data::finish(&mut page, fault, clock);
        page
    }

    fn code(&self, fault: Option<&Fault>, is_stopped: bool) -> u8 {
        match fault {
            Some(fault) => exit::code(fault.class, self.signal),
            None if is_stopped => exit::code(Class::Cancelled, self.signal),
            None => exit::OK,
        }
    }

    /// Returns the JSON document for `--json`.
    fn document(&self, result: Value, fault: Option<&Fault>, is_stopped: bool) -> Value {
        let code = self.code(fault, is_stopped);
        let name = if self.command.is_empty() { "error".to_owned() } else { self.command.replace(' ', "-") };
        let mut document = json!({
            "schema": format!("packmule.{name}.v1"),
            "ok": fault.is_none(),
            "exit": code,
            "retryable": fault.is_some_and(|fault| exit::is_retryable(fault.class)),
        });
        if let Some(fault) = fault {
            let mut error = as_json(fault);
            if !fault.others.is_empty() {
                error["others"] = fault.others.iter().map(as_json).collect();
            }
            document["error"] = error;
        }
        if !result.is_null() {
            document["result"] = result;
        }
        document
    }
}

fn write_text(stdout: &mut dyn Write, text: &str) -> io::Result<()> {
    stdout.write_all(text.as_bytes())?;
    if !text.is_empty() && !text.ends_with('\n') {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()
}

fn as_json(fault: &Fault) -> Value {
    json!({
        "class": fault.class.name(),
        "message": fault.what,
        "subject": fault.subject(),
        "expected": fault.expected(),
        "found": fault.found(),
        "help": fault.help.as_deref().unwrap_or(fault.class.advice()),
    })
}

/// Writes a fault's errors, its own first, then the advice of all of them, each only once.
fn show(fault: &Fault, stderr: &Stderr) {
    for line in lines(fault) {
        stderr.line(&format!("error: {}", escape(&line)));
    }
    let help = fault.help.iter().chain(fault.others.iter().filter_map(|other| other.help.as_ref()));
    let mut shown: Vec<&String> = Vec::new();
    for help in help {
        if !shown.contains(&help) {
            stderr.line(&format!("help: {}", escape(help)));
            shown.push(help);
        }
    }
    if shown.is_empty() {
        stderr.line(&format!("help: {}", fault.class.advice()));
    }
}

/// Number of things that a line about a shared cause lists.
const FEW: usize = 3;

/// Returns a line for each fault, and one for all faults that have the same cause.
fn lines(fault: &Fault) -> Vec<String> {
    let all: Vec<&Fault> = std::iter::once(fault).chain(&fault.others).collect();
    let mut causes: HashMap<&str, Vec<&str>> = HashMap::new();
    for cause in all.iter().filter_map(|fault| fault.cause.as_deref()) {
        causes.entry(&cause.what).or_default().push(&cause.of);
    }
    let mut lines = Vec::new();
    for fault in all {
        let of = fault.cause.as_deref().and_then(|cause| causes.get_mut(&*cause.what).map(|of| (&cause.what, of)));
        match of {
            Some((what, of)) if of.len() > 1 => lines.push(together(what, &std::mem::take(of))),
            // It was shown with the first one.
            Some((_, of)) if of.is_empty() => {}
            _ => lines.push(fault.what.clone()),
        }
    }
    lines
}

fn together(what: &str, of: &[&str]) -> String {
    let count = of.len();
    let listed: Vec<&str> = of.iter().filter(|of| !of.is_empty()).take(FEW).copied().collect();
    let rest = count - listed.len();
    let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{what}: {count} requests failed: {}{rest}", listed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fault::{differs, expects};

    #[test]
    fn faults_of_one_cause_are_one_line_with_their_number() {
        let down =
            |of: &str| Fault::new(Class::Source, format!("{of}: registry r: down")).caused_by("registry r: down", of);
        let mut fault = down("a");
        fault.others = vec![Fault::new(Class::Source, "other"), down("b"), down("c"), down("d"), down("e")];
        assert_eq!(lines(&fault), ["registry r: down: 5 requests failed: a, b, c and 2 more", "other"]);
        fault.others.truncate(1);
        assert_eq!(lines(&fault), ["a: registry r: down", "other"]);
        let within = down("b").within("x");
        assert_eq!(within.cause.unwrap().of, "x: b");
    }

    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    fn finish(json: bool, ended: Result<Outcome, Fault>) -> (u8, String, String) {
        let (mut stdout, stderr) = (Written::default(), Written::default());
        let report = Report { json, command: "key new", signal: None };
        let code = report.finish(ended, &mut stdout, &Stderr::new(stderr.clone()));
        (code, stdout.text(), stderr.text())
    }

    fn two_faults() -> Fault {
        let mut fault = Fault::new(Class::Source, "a\u{202e}\x1b[1m").help("do this");
        fault.others.push(Fault::new(Class::Io, "second\nline").help("do this"));
        fault
    }

    #[test]
    fn faults_are_lines_on_stderr_and_escaped() {
        let (code, stdout, stderr) = finish(false, Err(two_faults()));
        assert_eq!((code, stdout.as_str()), (20, ""));
        assert_eq!(stderr, "error: a\\u{202e}\\u{1b}[1m\nerror: second\\u{a}line\nhelp: do this\n");
    }

    #[test]
    fn g8_the_document_says_what_the_exit_code_says() {
        let (code, stdout, stderr) = finish(true, Err(two_faults()));
        assert!(stdout.is_ascii() && stderr.is_empty());
        let document: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(document["exit"], code);
        assert_eq!(document["schema"], "packmule.key-new.v1");
        assert_eq!((&document["ok"], &document["retryable"]), (&json!(false), &json!(true)));
        assert_eq!(document["error"]["message"], "a\u{202e}\x1b[1m");
        assert_eq!(document["error"]["others"][0]["class"], "io");
        for part in ["subject", "expected", "found"] {
            assert!(document["error"].as_object().unwrap()[part].is_null(), "{part}");
        }
        let mut wrong = Fault::usage(differs("--jobs", "1 or more", "0"), "leave it out");
        wrong.others.push(Fault::new(Class::Io, expects("", "a file")));
        let document: Value = serde_json::from_str(&finish(true, Err(wrong)).1).unwrap();
        let error = &document["error"];
        assert_eq!(error["message"], "--jobs: expected 1 or more, found 0");
        assert_eq!([&error["subject"], &error["expected"], &error["found"]], ["--jobs", "1 or more", "0"]);
        let other = &error["others"][0];
        assert_eq!(
            [&other["subject"], &other["expected"], &other["found"]],
            [&Value::Null, &json!("a file"), &Value::Null]
        );
        let verdict = Outcome::new("x", json!({"verdict": "REFUSED"})).failed(Fault::new(Class::Trust, "t"));
        let (code, stdout, _) = finish(true, Ok(verdict));
        let document: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!((code, &document["result"]["verdict"]), (13, &json!("REFUSED")));
    }

    #[test]
    fn a_broken_stdout_is_never_success() {
        let report = Report { json: false, command: "verify", signal: None };
        for (kind, said) in [(io::ErrorKind::BrokenPipe, false), (io::ErrorKind::StorageFull, true)] {
            let stderr = Written::default();
            let finish = |ended| report.finish(ended, &mut Broken(kind), &Stderr::new(stderr.clone()));
            assert_eq!(finish(Ok(Outcome::new("PASS", Value::Null))), 22);
            assert_eq!(!stderr.text().is_empty(), said);
            assert_eq!(finish(Err(Fault::new(Class::Integrity, "x"))), 11);
        }
    }
}
