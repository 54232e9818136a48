//! The session: what every command receives. It knows no command and no grammar.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::audit;
use super::output::Outcome;
use super::progress;
use super::reach::Reach;
use super::world::World;
use crate::base::fault::Fault;
use crate::flow::{Event, Flow};
use crate::state::Store;

/// Options of every command.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Everywhere")]
pub struct Globals {
    /// Write one JSON document to stdout, whether the command succeeds or fails
    #[arg(long, global = true)]
    pub json: bool,
    /// Progress display on stderr
    #[arg(long, global = true, value_enum, default_value_t, value_name = "HOW")]
    pub progress: progress::Mode,
    /// Show no progress, only warnings and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Show more details
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Number of transfers at once; CPU work uses at most one job per core
    #[arg(short, long, global = true, value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Directory for the state: the bundles last accepted and exported [default: packmule in
    /// $XDG_STATE_HOME; for root /var/lib/packmule]
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Record the run in this hash-chained log, before and after its work
    #[arg(long, global = true, value_name = "FILE")]
    pub audit: Option<PathBuf>,
    /// Write a report of the run to this file, as HTML or JSON, however the run ends; repeatable
    #[arg(long = "report", global = true, value_name = "FILE.html|.json")]
    pub reports: Vec<PathBuf>,
}

/// Parses another command line and runs it in this session.
pub type RunLine = fn(&mut Session<'_>, &[&str]) -> Result<Outcome, Fault>;

/// The world, the flow for operations, and the options of all commands.
pub struct Session<'a> {
    /// The process.
    pub world: &'a mut World,
    /// Cancel flag, events, clock and jobs for operations.
    pub flow: Flow,
    /// Options of every command.
    pub globals: Globals,
    /// Audit log, if there is one.
    pub audit: Option<Arc<audit::Run>>,
    /// Id of the pipeline's run that this session works for, if it does. It goes into receipts.
    pub pipeline_run: Option<String>,
    /// How containers are reached; set by commands that have options for it.
    pub reach: Reach,
    /// Runs another command line; a function pointer because the grammar lies above this file.
    pub run_line: RunLine,
    /// Returns the grammar of all commands, which lies above this file too.
    pub grammar: fn() -> clap::Command,
}

impl Session<'_> {
    /// Runs another command line in this session, as `demo` does.
    ///
    /// # Errors
    /// Those of the command.
    pub fn again(&mut self, words: &[&str]) -> Result<Outcome, Fault> {
        self.world.expect_more_commands();
        (self.run_line)(self, words)
    }

    /// Marks everything that is shown and written from now on with the id of a pipeline's run, or with
    /// none.
    pub fn mark(&mut self, run: Option<&str>) {
        self.pipeline_run = run.map(ToOwned::to_owned);
        self.flow.event(Event::Run(self.pipeline_run.clone()));
    }

    /// Returns whether a report was requested.
    pub const fn reports(&self) -> bool {
        !self.globals.reports.is_empty()
    }

    /// Resolves a path as typed.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.world.path(path)
    }

    /// Resolves a path as typed, with links resolved as far as it exists.
    pub fn full_path(&self, path: &Path) -> PathBuf {
        without_links(&self.path(path))
    }

    /// Returns the store for the states of this run; `None` if neither an option nor the
    /// environment names a directory.
    pub fn store(&self) -> Option<Store> {
        let dir = self.globals.state.as_ref().map(|dir| self.path(dir)).or_else(|| self.world.states())?;
        Some(Store::new(dir, self.world.machine()))
    }

    /// Returns the directory for the heads of audit logs, which `inspect` may read in addition to
    /// the log.
    pub fn heads(&self) -> Option<PathBuf> {
        self.store().map(|store| store.dir().join("audit"))
    }
}

fn without_links(path: &Path) -> PathBuf {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for above in full.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), full.strip_prefix(above)) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    full
}
