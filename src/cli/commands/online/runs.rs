//! `runs`: lists, shows and deletes the records of pipeline runs.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::base::fault::{Class, Fault, differs, escape};
use crate::base::size;
use crate::cli::Session;
use crate::cli::output::Outcome;
use crate::state::runs::{Id, Run, Runs};

/// `runs …`
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List runs, the newest first
    List {
        /// Number of runs to list
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        top: u32,
    },
    /// Show the record of a run
    Show {
        /// Id of the run
        #[arg(value_parser = id)]
        id: Id,
    },
    /// Delete the record of a run; bundles, receipts and what was imported stay
    Delete {
        /// Id of the run
        #[arg(value_parser = id)]
        id: Id,
    },
    /// Delete the records of all runs that failed or were killed
    Clean {
        /// Only name them
        #[arg(long)]
        dry_run: bool,
    },
}

fn id(text: &str) -> Result<Id, String> {
    Id::parse(text).ok_or_else(|| "expected an id such as 20260131-120000-0a1b2c3d".to_owned())
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage; class lock for a run that works; class io.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let runs = store(session)?;
        match self.command {
            Command::List { top } => list(&runs, usize::try_from(top).unwrap_or(usize::MAX), session),
            Command::Show { id } => {
                let run = runs.show(&id)?.ok_or_else(|| {
                    Fault::usage(differs(format_args!("run {id}"), "a record", "none"), "see `packmule runs list`")
                })?;
                Ok(Outcome::new(shown(&run), as_json(&run)?))
            }
            Command::Delete { id } => {
                runs.delete(&id)?;
                Ok(Outcome::new(format!("deleted    {id}\n"), json!({ "deleted": id })))
            }
            Command::Clean { dry_run } => {
                let cleaned = runs.clean(dry_run)?;
                let word = if dry_run { "would delete" } else { "deleted" };
                let text = cleaned.iter().map(|run| format!("{word}    {}\n", line(run))).collect::<String>();
                let all = cleaned.iter().map(as_json).collect::<Result<Vec<_>, _>>()?;
                Ok(Outcome::new(text, json!({ "dry_run": dry_run, "runs": all })))
            }
        }
    }
}

fn store(session: &Session<'_>) -> Result<Runs, Fault> {
    let store = session.store().ok_or_else(|| {
        Fault::usage(differs("runs", "a directory for the state", "none"), "name one with --state DIR")
    })?;
    Ok(store.runs())
}

fn list(runs: &Runs, top: usize, session: &Session<'_>) -> Result<Outcome, Fault> {
    let listing = runs.list(top)?;
    for (id, why) in &listing.damaged {
        session.flow.warn(format!("run {id}: {why}"));
    }
    let text = listing.runs.iter().map(|run| line(run) + "\n").collect::<String>();
    let all = listing.runs.iter().map(as_json).collect::<Result<Vec<_>, _>>()?;
    let damaged: Vec<Value> = listing.damaged.iter().map(|(id, why)| json!({ "id": id, "error": why })).collect();
    Ok(Outcome::new(text, json!({ "runs": all, "damaged": damaged })))
}

/// Returns a run in one line.
fn line(run: &Run) -> String {
    let name = run.name.as_deref().map_or_else(|| "-".to_owned(), escape);
    let mut line = format!("{}  {:7}  {}  {}  {name}", run.id, run.state, run.started, escape(&run.pipeline));
    if let Some(error) = &run.error {
        let first = error.text.lines().next().unwrap_or_default();
        line.push_str(&format!("  {}: {}", escape(&error.class), escape(first)));
    }
    line
}

/// Returns everything that a record says.
fn shown(run: &Run) -> String {
    let mut text = String::new();
    let mut add = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("{key:10} {}\n", escape(&value)));
        }
    };
    let ended = run.ended.map(|at| at.to_string());
    add("run", Some(run.id.to_string()));
    add("pipeline", Some(run.pipeline.clone()));
    add("kind", Some(run.kind.name().to_owned()));
    add("state", Some(run.state.to_string()));
    add("started", Some(run.started.to_string()));
    add("ended", ended);
    add("again of", run.again_of.as_ref().map(ToString::to_string));
    add("bundle", run.name.clone());
    add("bundle id", run.bundle.map(|id| id.to_string()));
    add("channel", run.channel.clone());
    add("sequence", run.sequence.map(|number| number.to_string()));
    add("to", run.to.clone());
    let counts = &run.counts;
    let failed = if counts.failed > 0 { format!(", {} of them failed", counts.failed) } else { String::new() };
    add("artifacts", Some(format!("{}{failed}", counts.artifacts)));
    add("blobs", Some(format!("{} sent, {} present", counts.blobs, counts.present)));
    add("bytes", Some(size::show(run.bytes)));
    add("receipt", run.receipt.clone());
    add("to sign", run.sign.clone());
    if let Some(error) = &run.error {
        for line in error.text.lines() {
            add("error", Some(format!("{}: {line}", error.class)));
        }
    }
    for warning in &run.warnings {
        add("warning", Some(warning.clone()));
    }
    text
}

fn as_json(run: &Run) -> Result<Value, Fault> {
    serde_json::to_value(run).map_err(|error| Fault::new(Class::Bug, format!("run {}: {error}", run.id)))
}
