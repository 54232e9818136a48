//! `--audit FILE`: records every run before and after its work; also how `inspect` shows such a
//! log.
//!
//! The commands know nothing of it: entries are made from their outcomes. Words of a command line
//! are recorded only if they name a bundle or a place, and never if they may hold a secret.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::ArgMatches;
use serde_json::{Value, json};

use super::exit;
use super::output::Outcome;
use crate::audit::head::place;
use crate::audit::{Entry, Event, Head, Line, Log, Newest, Snapshot, check};
use crate::base::fault::{Class, Fault, escape, expects};
use crate::base::product::TOOL;
use crate::base::redact::{Secrets, redact_argument};
use crate::base::time::Moment;
use crate::flow::{Clock, Flow};
use crate::oci::Digest;

/// A run that is recorded.
pub struct Run {
    log: Log,
    begin: u64,
    command: String,
    user: u32,
    clock: Arc<dyn Clock>,
}

/// The subject of a command line: the bundle or the output, and the destination.
#[derive(Debug, Default)]
pub struct Subject {
    subject: Option<String>,
    to: Option<String>,
}

/// Finds the subject by the names of the arguments. Hides `secrets` and anything that looks like
/// one.
pub fn subject(matches: &ArgMatches, secrets: &Secrets) -> Subject {
    let mut inner = matches;
    while let Some((_, below)) = inner.subcommand() {
        inner = below;
    }
    // Text with a scheme may hold a password or a token.
    let shown = |text: &str| (!text.contains("://")).then(|| escape(&secrets.hide(&redact_argument(text))));
    let text = |name| inner.try_get_one::<String>(name).ok().flatten().and_then(|text| shown(text));
    let bundle = inner.try_get_one::<OsString>("bundle").ok().flatten();
    let bundle = bundle.and_then(|bundle| shown(&bundle.to_string_lossy()));
    let path = |name| {
        let path = inner.try_get_one::<PathBuf>(name).ok().flatten();
        path.and_then(|path| shown(&path.to_string_lossy()))
    };
    Subject { subject: bundle.or_else(|| path("output")), to: text("to") }
}

/// Returns the time of a clock.
///
/// # Errors
/// Class usage for a year outside 0 to 9999.
pub fn now(clock: &dyn Clock) -> Result<Moment, Fault> {
    Moment::from_unix(clock.unix())
        .ok_or_else(|| Fault::usage(expects("clock", "a year from 0 to 9999"), "set the clock"))
}

/// Location of a log.
pub struct Place {
    /// Absolute path as typed.
    pub path: PathBuf,
    /// Path with links resolved.
    pub full: PathBuf,
    /// Directory of the heads, if the run has a state directory.
    pub heads: Option<PathBuf>,
}

/// User and clock of the run.
pub struct Who {
    /// User id.
    pub user: u32,
    /// Clock of the run.
    pub clock: Arc<dyn Clock>,
}

/// Records that a run begins, before any work.
///
/// # Errors
/// Class io if the log cannot be written or does not end as the state says; class lock.
pub fn begin(log: Place, who: Who, command: &str, subject: Subject, flow: &Flow) -> Result<Run, Fault> {
    // A link is found and refused when the log is opened.
    if log.heads.is_none() {
        let shown = log.full.display();
        flow.warn(format!(
            "audit log {shown}: no state directory (--state): lines cut off its end would not be noticed"
        ));
    }
    let log = Log::open(&log.path, log.heads.map(|dir| place(&dir, &log.full)).as_deref())?;
    let (Who { user, clock }, command) = (who, command.to_owned());
    let Subject { subject, to } = subject;
    let entry = Entry { command: command.clone(), subject, to, tool: TOOL.to_owned(), user, ..Entry::default() };
    let begin = log.append(now(&*clock)?, entry)?.number;
    Ok(Run { log, begin, command, user, clock })
}

impl Run {
    /// Returns the current newest line of the log.
    ///
    /// # Errors
    /// Class io, lock.
    pub fn newest(&self) -> Result<Option<Newest>, Fault> {
        self.log.newest()
    }

    /// Records how the run ended. If that fails, the run is not a success: an unrecorded verdict
    /// does not count.
    pub fn end(&self, ended: Result<Outcome, Fault>, signal: Option<u8>) -> Result<Outcome, Fault> {
        let noted = now(&*self.clock).and_then(|at| self.log.append(at, self.entry(&ended, signal)));
        let Err(fault) = noted else { return ended };
        let with = |other: Option<Fault>| {
            Fault::from_list(other.into_iter().chain([fault.clone()]).collect()).unwrap_or_else(|| fault.clone())
        };
        match ended {
            Ok(outcome) if outcome.fault.is_none() && !outcome.result["verdict"].is_null() => Err(fault),
            Ok(outcome) => {
                let all = with(outcome.fault.clone());
                Ok(outcome.failed(all))
            }
            Err(other) => Err(with(Some(other))),
        }
    }

    fn entry(&self, ended: &Result<Outcome, Fault>, signal: Option<u8>) -> Entry {
        let (result, fault) = match ended {
            Ok(outcome) => (&outcome.result, outcome.fault.as_ref()),
            Err(fault) => (&Value::Null, Some(fault)),
        };
        let text = |name: &str| result[name].as_str().map(escape);
        let strings = |value: &Value| -> Vec<String> {
            let list = value.as_array().into_iter().flatten();
            list.filter_map(|one| one.as_str().map(escape)).collect()
        };
        let own = [&result["keyids"], &result["receipt"]["keyids"]].map(strings).concat();
        let class = fault.map_or("ok", |fault| fault.class.name());
        Entry {
            begin: Some(self.begin),
            bundle: text("id"),
            command: self.command.clone(),
            exit: Some(match (fault, ended) {
                (Some(fault), _) => exit::code(fault.class, signal),
                (None, Ok(outcome)) if outcome.is_stopped => exit::code(Class::Cancelled, signal),
                (None, _) => exit::OK,
            }),
            keyids: own,
            name: text("name"),
            run: text("run"),
            outcome: Some(text("verdict").unwrap_or_else(|| class.to_owned())),
            signers: strings(&result["signed"]),
            receipt: result["receipt"]["digest"].as_str().and_then(|text| text.parse::<Digest>().ok()),
            tool: TOOL.to_owned(),
            user: self.user,
            ..Entry::default()
        }
    }
}

/// A log to show.
pub struct Shown {
    /// Path as typed.
    pub path: PathBuf,
    /// Path with links resolved.
    pub full: PathBuf,
    /// The open file.
    pub file: File,
    /// Directory of the heads.
    pub heads: Option<PathBuf>,
}

/// Shows a log; with `checks` its end is compared with its head.
///
/// # Errors
/// Class io.
pub fn show(log: Shown, checks: bool) -> Result<Outcome, Fault> {
    let Shown { path, full, file, heads } = log;
    let shown = escape(&path.to_string_lossy());
    let io = |error: std::io::Error| {
        Fault::new(Class::Io, format!("audit log {shown}: {error}"))
            .help("check that the file can be read, and run the command again")
    };
    let dir = heads.filter(|_| checks);
    let unreadable = RefCell::new(None);
    let find = |first: Option<Digest>| {
        let Some(dir) = &dir else { return Ok(None) };
        Ok(Head::look(&place(dir, &full), first).unwrap_or_else(|error| {
            unreadable.replace(Some(error.to_string()));
            None
        }))
    };
    let Snapshot { length, known } = Snapshot::take(&file, &full, find).map_err(io)?;
    let report = check(BufReader::new((&file).take(length)), known.as_ref()).map_err(io)?;
    let newest = known.and_then(|known| known.held).map(|held| held.newest.number);
    let head = match (checks, newest, unreadable.into_inner()) {
        (false, ..) => "not compared (--check)".to_owned(),
        (true, Some(known), _) if report.lines < known => format!("the state knows {known} lines"),
        (true, Some(known), _) => match (report.lines - known, report.unheld) {
            (0, _) => "the state knows the newest line".to_owned(),
            (more, 0) => format!("the state knows line {known}; the {more} after it are not recorded there"),
            (more, own) => format!("the state knows line {known}, and not the {more} after it, its own: {own}"),
        },
        (true, None, Some(error)) => format!("not compared, cannot be read: {}", escape(&error)),
        (true, None, None) => "not compared, the state has none: lines cut off the end would not be noticed".to_owned(),
    };
    let mut text = format!("audit log  {shown}\n");
    if report.recent.len() as u64 != report.lines {
        text.push_str(&format!("shown      the last {} of {} lines\n", report.recent.len(), report.lines));
    }
    for line in &report.recent {
        text.push_str(&row(line));
    }
    text.push_str(&format!("lines      {}, runs without an end: {}\n", report.lines, report.open.len()));
    if let Some(Newest { digest, number }) = report.newest {
        text.push_str(&format!("newest     line {number}, {digest}\n"));
    }
    text.push_str(&format!("head       {head}\n"));
    let count = report.faults.len() as u64 + report.more;
    let verdict = match (checks, count) {
        (true, 0) => "every line follows the one before it\n".to_owned(),
        (false, 0) => "nothing is wrong with the chain; --check compares its end\n".to_owned(),
        (_, 1) => "1 fault, listed on standard error\n".to_owned(),
        _ => format!("{count} faults, listed on standard error\n"),
    };
    text.push_str(&format!("checked    {verdict}"));
    let open: Vec<u64> = report.open.keys().copied().collect();
    let result = json!({
        "log": shown, "lines": report.lines, "newest": report.newest.map(|newest| json!({ "number": newest.number, "digest": newest.digest })),
        "head": if newest.is_some() { "compared" } else { "not compared" }, "open": open, "faults": count, "recent": report.recent,
    });
    let outcome = Outcome::new(text, result);
    let mut faults: Vec<Fault> = report.faults.iter().map(|what| Fault::new(Class::Integrity, what.clone())).collect();
    if report.more > 0 {
        faults.push(Fault::new(Class::Integrity, format!("and {} more", report.more)));
    }
    if let Some(first) = faults.first_mut() {
        first.help = Some("keep the log as it is and find out who changed it".to_owned());
    }
    Ok(match Fault::from_list(faults) {
        Some(fault) => outcome.failed(fault),
        None => outcome,
    })
}

/// Returns a line of the log as text.
fn row(line: &Line) -> String {
    let mut text = format!("  {:>5}  {}  {} ", line.number, line.at, escape(&line.command));
    match (line.event, line.begin) {
        (Event::Begin, _) => {
            text.push_str("begins");
            for (word, value) in [("", &line.subject), (" to", &line.to)] {
                if let Some(value) = value {
                    text.push_str(&format!("{word} {}", escape(value)));
                }
            }
            text.push_str(&format!(", user {}", line.user));
        }
        (Event::End, begin) => {
            let outcome = line.outcome.as_deref().unwrap_or("?");
            text.push_str(&format!("of {} ended: {}", begin.unwrap_or_default(), escape(outcome)));
            text.push_str(&line.exit.map(|exit| format!(" ({exit})")).unwrap_or_default());
            for value in line
                .run
                .iter()
                .map(|run| format!("run {run}"))
                .collect::<Vec<_>>()
                .iter()
                .chain(&line.name)
                .chain(&line.bundle)
            {
                text.push_str(&format!("  {}", escape(value)));
            }
            for (word, list) in [("let in by", &line.signers), ("signed by", &line.keyids)] {
                list.iter().for_each(|keyid| text.push_str(&format!("\n         {word} {}", escape(keyid))));
            }
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use crate::cli::run;
    use crate::cli::world::World;

    #[test]
    fn without_a_place_for_a_state_it_is_told_and_the_chain_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        for number in 1..=2 {
            let (mut world, _, stderr) = World::for_test(&["inspect", "nothing", "--audit", "log"], dir.path());
            world.user = 1000;
            assert_ne!(run(&mut world), 0);
            assert!(stderr.text().contains("lines cut off its end would not be noticed"), "{}", stderr.text());
            let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
            assert_eq!(log.lines().count(), 2 * number);
        }
        let (mut world, stdout, _) = World::for_test(&["inspect", "log", "--check"], dir.path());
        world.user = 1000;
        assert_eq!(run(&mut world), 0, "{}", stdout.text());
        assert!(stdout.text().contains("the state has none"), "{}", stdout.text());
        assert!(stdout.text().contains("inspect begins nothing, user 1000"), "{}", stdout.text());
    }

    #[test]
    fn g8_the_log_and_the_exit_code_agree() {
        let dir = tempfile::tempdir().unwrap();
        for (args, code) in [(vec!["inspect", "none"], 22), (vec!["inspect", "a.b"], 2)] {
            let words = [&args[..], &["--audit", "log"]].concat();
            let (mut world, ..) = World::for_test(&words, dir.path());
            assert_eq!(run(&mut world), code, "{args:?}");
            let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
            assert!(log.lines().last().unwrap().contains(&format!("\"exit\":{code},")), "{log}");
        }
    }
}
