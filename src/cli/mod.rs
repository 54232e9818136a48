//! The command line: reads the arguments, runs one command, reports how it ended.
//!
//! # One command, one file
//! `cli/commands/*/NAME.rs` holds a `pub struct Args` (derive [`clap::Args`]) and
//! ```text
//! impl Args { pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> }
//! ```
//! It turns what was typed into what it means ([`args`]), calls one operation with
//! `&session.flow`, and gives back an [`Outcome`]: text for people, a JSON value for programs. It prints
//! nothing, knows no exit code and reads neither environment nor clock but through `session.world`. Then it
//! gets a variant in `Command` and an arm in `dispatch`. `key` is the first example.
//!
//! Every failure is a [`Fault`]; [`exit`] alone turns its class into a code, [`output`] alone shows it.
//! Parsing errors are faults of class usage like all others, so that `--json` is kept there too.

pub mod args;
pub mod audit;
#[cfg(feature = "online")]
pub mod auth_file;
#[cfg(feature = "online")]
pub mod certificates;
pub mod commands;
#[cfg(feature = "online")]
pub mod config;
pub mod confine;
pub mod detect;
pub mod diff_text;
pub mod environment;
pub mod exit;
pub mod freshness;
#[cfg(feature = "online")]
pub mod logins;
#[cfg(feature = "carry")]
pub mod newfile;
#[cfg(all(feature = "carry", not(feature = "online")))]
pub mod offline;
pub mod output;
#[cfg(feature = "carry")]
pub mod passphrase;
pub mod pem;
pub mod progress;
pub mod receipt;
#[cfg(feature = "carry")]
pub mod receipt_write;
#[cfg(feature = "online")]
pub mod registries;
#[cfg(feature = "online")]
pub mod replace;
pub mod report_data;
pub mod report_files;
pub mod trusted_file;
pub mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::output::{Outcome, Report};
use self::progress::Progress;
use self::report_files::Sheets;
use self::world::World;
use crate::base::fault::{Class, Fault};
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

/// Options that every command has.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Everywhere")]
pub struct Globals {
    /// One JSON document on stdout, whatever happens
    #[arg(long, global = true)]
    pub json: bool,
    /// What is told on stderr while it works
    #[arg(long, global = true, value_enum, default_value_t, value_name = "HOW")]
    pub progress: progress::Mode,
    /// No progress: warnings and errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// More details
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Transfers at once; work for the processor takes at most the cores
    #[arg(short, long, global = true, value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Where is kept what was accepted and exported last [default: packmule in $XDG_STATE_HOME; of root /var/lib/packmule]
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Note the run in this hash-chained log, before its work and after it
    #[arg(long, global = true, value_name = "FILE")]
    pub audit: Option<PathBuf>,
    /// A page to approve from or file away, whatever the run ends in; repeat it for more
    #[arg(long = "report", global = true, value_name = "FILE.html|.json")]
    pub reports: Vec<PathBuf>,
}

/// The commands.
#[derive(Subcommand, Debug)]
enum Command {
    /// Pack artifacts into a signed bundle
    #[cfg(feature = "carry")]
    Export(Box<self::commands::carry::export::Args>),
    /// Check a bundle: PASS or REFUSED
    Verify(self::commands::read::verify::Args),
    /// Carry a bundle's artifacts into a registry or a layout
    #[cfg(feature = "carry")]
    Import(Box<self::commands::carry::import::Args>),
    /// Copy artifacts to a registry or a layout while both can be reached
    #[cfg(feature = "online")]
    Copy(Box<self::commands::online::copy::Args>),
    /// Show what a bundle, a receipt or an audit log says
    Inspect(self::commands::read::inspect::Args),
    /// Write a bundle as a stream to standard output
    Cat(self::commands::read::cat::Args),
    /// What is new, gone or changed between two bundles, layouts or registries
    #[cfg(feature = "carry")]
    Diff(self::commands::carry::diff::Args),
    /// Write a bundle's content as an OCI layout
    #[cfg(feature = "carry")]
    Unpack(self::commands::carry::unpack::Args),
    /// Add a signature to a bundle
    #[cfg(feature = "carry")]
    Sign(self::commands::carry::sign::Args),
    /// Make, show and check keys
    #[cfg(feature = "carry")]
    Key(self::commands::carry::key::Args),
    /// List a registry's repositories, a repository's tags, a layout's entries
    #[cfg(feature = "carry")]
    Ls(self::commands::online::ls::Args),
    /// Keep a registry's login, after a try
    #[cfg(feature = "online")]
    Login(self::commands::online::login::Args),
    /// Forget a registry's login
    #[cfg(feature = "online")]
    Logout(self::commands::online::logout::Args),
    /// Keep credentials by name in the configuration, without their secrets
    #[cfg(feature = "online")]
    Credential(self::commands::online::credential::Args),
    /// Print the JSON Schema of a file
    #[cfg(feature = "online")]
    Schema(self::commands::online::schema::Args),
    /// The main job on made-up artifacts, each command printed
    #[cfg(feature = "carry")]
    Demo(self::commands::carry::demo::Args),
}

fn dispatch(command: Command, session: &mut Session<'_>) -> Result<Outcome, Fault> {
    match command {
        #[cfg(feature = "carry")]
        Command::Export(args) => args.run(session),
        Command::Verify(args) => args.run(session),
        #[cfg(feature = "carry")]
        Command::Import(args) => args.run(session),
        #[cfg(feature = "online")]
        Command::Copy(args) => args.run(session),
        Command::Inspect(args) => args.run(session),
        Command::Cat(args) => args.run(session),
        #[cfg(feature = "carry")]
        Command::Diff(args) => args.run(session),
        #[cfg(feature = "carry")]
        Command::Unpack(args) => args.run(session),
        #[cfg(feature = "carry")]
        Command::Sign(args) => args.run(session),
        #[cfg(feature = "carry")]
        Command::Key(args) => args.run(session),
        #[cfg(feature = "carry")]
        Command::Ls(args) => args.run(session),
        #[cfg(feature = "online")]
        Command::Login(args) => args.run(session),
        #[cfg(feature = "online")]
        Command::Logout(args) => args.run(session),
        #[cfg(feature = "online")]
        Command::Credential(args) => args.run(session),
        #[cfg(feature = "online")]
        Command::Schema(args) => args.run(session),
        #[cfg(feature = "carry")]
        Command::Demo(args) => args.run(session),
    }
}

/// What a command is given: the world, the flow for operations, and the options that all have.
pub struct Session<'a> {
    /// The process.
    pub world: &'a mut World,
    /// For operations: cancel flag, events, clock, jobs.
    pub flow: Flow,
    /// The options of all commands.
    pub globals: Globals,
    /// The audit log, where one is kept.
    pub audit: Option<Arc<audit::Run>>,
}

impl Session<'_> {
    /// Runs another command line in this session, as `demo` does.
    ///
    /// # Errors
    /// The command's own.
    pub fn again(&mut self, words: &[&str]) -> Result<Outcome, Fault> {
        self.world.expect_more_commands();
        let words = std::iter::once("packmule").chain(words.iter().copied());
        match Line::try_parse_from(words) {
            Ok(line) => dispatch(line.command, self),
            Err(error) => not_a_command(&error, "demo"),
        }
    }

    /// Whether a report is asked for.
    pub const fn reports(&self) -> bool {
        !self.globals.reports.is_empty()
    }

    /// Where a path as typed leads.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.world.path(path)
    }
}

/// Runs the command that `world.args` asks for and gives the exit code. A panic, here or in a thread that
/// is joined here, is an internal error (1).
pub fn run(world: &mut World) -> u8 {
    let panicked = world.watch_panics();
    let mut told = Told::default();
    let ended = catch_unwind(AssertUnwindSafe(|| start(world, &mut told)));
    let ended = ended.unwrap_or_else(|_| {
        let place = panicked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
        let help = "this is a defect of packmule; please report it with the command and this line";
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

/// What is known about a run by the time that it ends, however it ends.
#[derive(Default)]
struct Told {
    json: bool,
    words: String,
    progress: Option<Arc<Progress>>,
    audit: Option<Arc<audit::Run>>,
    sheets: Sheets,
    secrets: Arc<Secrets>,
}

/// What is shown and written of a run's end: no word of it is a secret of the command line.
fn clean(ended: Result<Outcome, Fault>, secrets: &Secrets) -> Result<Outcome, Fault> {
    let Outcome { text, mut result, fault, page } = ended.map_err(|fault| secrets.clean(fault))?;
    secrets.clean_json(&mut result);
    Ok(Outcome { text: secrets.hide(&text), result, fault: fault.map(|fault| secrets.clean(fault)), page })
}

fn start(world: &mut World, told: &mut Told) -> Result<Outcome, Fault> {
    let kept = world.keep_memory();
    let grammar = Line::command();
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
        flow.warn(format!("memory: expected to keep it out of core dumps, found {error}"));
    }
    world.watch_signals(&flow.cancel_flag()).map_err(|error| {
        Fault::new(Class::Io, format!("signals: expected to handle HUP, INT and TERM, found {error}"))
    })?;
    for path in globals.reports.iter().chain(&globals.audit) {
        outfile::unmounted(&world.path(path)).into_iter().for_each(|warning| flow.warn(warning));
    }
    told.sheets = Sheets::open(&globals.reports, &told.words, world)?.hiding(Arc::clone(&secrets));
    let mut session = Session { world, flow, globals, audit: None };
    session.audit = audit::begin(&session, &told.words, subject)?.map(Arc::new);
    told.audit.clone_from(&session.audit);
    dispatch(command, &mut session)
}

/// Help and version are results; all else that the parser says is one line and its advice.
fn not_a_command(error: &clap::Error, words: &str) -> Result<Outcome, Fault> {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let result = serde_json::json!({ "text": text });
            return Ok(Outcome::new(text, result));
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let what = format!("packmule {words}: expected a command, found none").replace(" :", ":");
            return Err(Fault::new(Class::Usage, what).help(help_for(words)));
        }
        _ => {}
    }
    let said = text.strip_prefix("error: ").unwrap_or(&text);
    let said = said.split("\n\nUsage:").next().unwrap_or(said);
    let said = said.split("\n\nFor more information").next().unwrap_or(said);
    let (what, tip) = said.split_once("\n\n").unwrap_or((said, ""));
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let tip = one_line(tip.trim().strip_prefix("tip: ").unwrap_or(tip.trim()));
    Err(Fault::new(Class::Usage, one_line(what)).help(if tip.is_empty() { help_for(words) } else { tip }))
}

fn help_for(words: &str) -> String {
    format!("see `packmule {words} --help`").replace("  ", " ")
}
