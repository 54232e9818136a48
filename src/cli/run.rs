//! The run of one command line: the grammar, the call of the command, and the end of the run.
//!
//! Parse errors are faults of class usage like all others, so that `--json` applies to them too.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::help::{overview, planned, screens};
use super::output::{Outcome, Report};
use super::progress::{self, Progress};
use super::reach::Reach;
use super::report_files::Sheets;
use super::session::{Globals, Session};
use super::world::World;
use super::{audit, commands, environment};
use crate::base::fault::{Class, Fault, differs};
use crate::base::redact::Secrets;
use crate::flow::Flow;
use crate::outfile;

#[derive(Parser, Debug)]
#[command(name = "packmule", version, about, max_term_width = 100, infer_long_args = false)]
struct Line {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// The commands, grouped by the features that they need.
#[derive(Subcommand, Debug)]
enum Command {
    #[command(flatten)]
    Read(commands::read::Command),
    #[cfg(feature = "carry")]
    #[command(flatten)]
    Carry(commands::carry::Command),
    #[cfg(feature = "online")]
    #[command(flatten)]
    Online(commands::online::Command),
}

fn dispatch(command: Command, session: &mut Session<'_>) -> Result<Outcome, Fault> {
    match command {
        Command::Read(command) => command.run(session),
        #[cfg(feature = "carry")]
        Command::Carry(command) => command.run(session),
        #[cfg(feature = "online")]
        Command::Online(command) => command.run(session),
    }
}

/// Returns the grammar of all commands, with its help.
fn grammar() -> clap::Command {
    screens::apply(Line::command())
}

/// Returns the grammar for manual pages and completions: nothing is left out of it.
fn pages() -> clap::Command {
    screens::with_examples(Line::command())
}

/// Runs another command line in a running session.
fn run_line(session: &mut Session<'_>, words: &[&str]) -> Result<Outcome, Fault> {
    let words = std::iter::once("packmule").chain(words.iter().copied());
    match Line::try_parse_from(words) {
        Ok(line) => dispatch(line.command, session),
        Err(error) => not_a_command(&error, "demo"),
    }
}

/// Runs the command that `world.args` names and returns the exit code. A panic, here or in a thread
/// that is joined here, is an internal error (1).
pub fn run(world: &mut World) -> u8 {
    let panicked = world.watch_panics();
    let mut told = Told::default();
    let ended = catch_unwind(AssertUnwindSafe(|| start(world, &mut told)));
    let ended = ended.unwrap_or_else(|_| {
        let place = panicked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
        let help = "this is a bug in packmule; please report it with the command and this line";
        Err(Fault::new(Class::Bug, format!("internal error{place}")).help(help))
    });
    if let Some(progress) = &told.progress {
        progress.close();
    }
    let ended = clean(ended, &told.secrets);
    let ended = match &told.audit {
        Some(audit) => audit.end(ended, world.caught_signal()),
        None => ended,
    };
    let report = Report { json: told.json, command: &told.words, signal: world.caught_signal() };
    let log = told.audit.as_ref().and_then(|audit| audit.newest().ok().flatten());
    let ended = report.write(ended, &told.sheets, &*world.clock, log.map(|newest| newest.digest));
    report.finish(clean(ended, &told.secrets), &mut world.stdout, &world.stderr.clone())
}

/// Facts that the end of a run needs, however it ends.
#[derive(Default)]
struct Told {
    json: bool,
    words: String,
    progress: Option<Arc<Progress>>,
    audit: Option<Arc<audit::Run>>,
    sheets: Sheets,
    secrets: Arc<Secrets>,
}

/// Removes the secrets of the command line from everything shown and written at the end of a run.
fn clean(ended: Result<Outcome, Fault>, secrets: &Secrets) -> Result<Outcome, Fault> {
    let Outcome { text, mut result, fault, is_stopped, page } = ended.map_err(|fault| secrets.clean(fault))?;
    secrets.clean_json(&mut result);
    Ok(Outcome { text: secrets.hide(&text), result, fault: fault.map(|fault| secrets.clean(fault)), is_stopped, page })
}

fn start(world: &mut World, told: &mut Told) -> Result<Outcome, Fault> {
    let kept = world.keep_memory();
    let grammar = grammar();
    let typed = environment::read(&grammar, &world.args, &world.env);
    told.json = typed.json;
    told.words = typed.words.join(" ");
    let secrets = Arc::new(Secrets::of(&typed.args));
    told.secrets = Arc::clone(&secrets);
    world.stderr = world.stderr.clone().hiding(Arc::clone(&secrets));
    if let Some(fault) = typed.fault {
        return Err(fault);
    }
    let parsed = grammar
        .try_get_matches_from(&typed.args)
        .and_then(|matches| Line::from_arg_matches(&matches).map(|line| (line, audit::subject(&matches, &secrets))));
    let (Line { globals, command }, subject) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return not_a_command(&error, &told.words),
    };
    let mode = if globals.quiet { progress::Mode::None } else { globals.progress };
    let progress = Arc::new(Progress::new(
        mode,
        world.terminal.stderr,
        globals.verbose > 0,
        world.stderr.clone(),
        Arc::clone(&world.clock),
    ));
    told.progress = Some(Arc::clone(&progress));
    let report = Report { json: told.json, command: &told.words, signal: None };
    let (stdout, stderr) = report.last_words();
    world.watch_memory(stdout, stderr);
    let jobs = world.affordable(usize::from(globals.jobs));
    let flow = Flow::new(progress, Arc::clone(&world.clock), jobs, jobs.min(world.cores));
    if let Err(error) = kept {
        flow.warn(format!("memory: expected to exclude it from core dumps, found {error}"));
    }
    world
        .watch_signals(&flow.cancel_flag())
        .map_err(|error| Fault::new(Class::Io, differs("signals", "to handle HUP, INT and TERM", error)))?;
    for path in globals.reports.iter().chain(&globals.audit) {
        outfile::unmounted(&world.path(path)).into_iter().for_each(|warning| flow.warn(warning));
    }
    told.sheets = Sheets::open(&globals.reports, &told.words, world)?.hiding(Arc::clone(&secrets));
    let mut session = Session {
        world,
        flow,
        globals,
        audit: None,
        pipeline_run: None,
        reach: Reach::default(),
        run_line,
        grammar: pages,
    };
    session.audit = note_begin(&session, &told.words, subject)?.map(Arc::new);
    told.audit.clone_from(&session.audit);
    dispatch(command, &mut session)
}

/// Records in the audit log, if there is one, that a run begins.
fn note_begin(session: &Session<'_>, command: &str, subject: audit::Subject) -> Result<Option<audit::Run>, Fault> {
    let Some(typed) = &session.globals.audit else { return Ok(None) };
    let log = audit::Place { path: session.path(typed), full: session.full_path(typed), heads: session.heads() };
    let who = audit::Who { user: session.world.user, clock: Arc::clone(&session.world.clock) };
    audit::begin(log, who, command, subject, &session.flow).map(Some)
}

/// Turns help and version into results, and every other message of the parser into one line and its
/// advice.
fn not_a_command(error: &clap::Error, words: &str) -> Result<Outcome, Fault> {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let result = serde_json::json!({ "text": text });
            return Ok(Outcome::new(text, result));
        }
        // Without any word or option.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if words.is_empty() => {
            let text = overview::page(&Line::command());
            let result = serde_json::json!({ "text": text });
            return Ok(Outcome::new(text, result));
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let what = differs(format!("packmule {words}").trim_end(), "a command", "none");
            return Err(Fault::new(Class::Usage, what).help(help_for(words)));
        }
        _ => {}
    }
    if let Some(later) = later(error, words) {
        return Err(later);
    }
    let said = text.strip_prefix("error: ").unwrap_or(&text);
    let said = said.split("\n\nUsage:").next().unwrap_or(said);
    let said = said.split("\n\nFor more information").next().unwrap_or(said);
    let (what, tip) = said.split_once("\n\n").unwrap_or((said, ""));
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let tip = one_line(tip.trim().strip_prefix("tip: ").unwrap_or(tip.trim()));
    Err(Fault::new(Class::Usage, one_line(what)).help(if tip.is_empty() { help_for(words) } else { tip }))
}

/// Returns the fault for a command or an option that only a later version has.
fn later(error: &clap::Error, words: &str) -> Option<Fault> {
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(name)) => Some(name),
        _ => None,
    };
    let subject = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let name = named(ContextKind::InvalidSubcommand)?;
            planned::is_command(name).then(|| format!("command {name}"))?
        }
        ErrorKind::UnknownArgument => {
            let name = named(ContextKind::InvalidArg)?;
            planned::is_option(words, name).then(|| format!("{words} {name}"))?
        }
        _ => return None,
    };
    let what = differs(subject, "one of this version", "one that comes with a later version");
    Some(Fault::new(Class::Usage, what).help(help_for(words)))
}

fn help_for(words: &str) -> String {
    format!("see `packmule {words} --help`").replace("  ", " ")
}

#[cfg(test)]
mod tests;
