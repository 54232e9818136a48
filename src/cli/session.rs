//! The session: what every command is given. It knows no command and no grammar.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::audit;
use super::output::Outcome;
use super::progress;
use super::world::World;
use crate::base::fault::Fault;
use crate::flow::Flow;
use crate::state::Store;

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

/// Parses one more command line and runs it in this session.
pub type RunLine = fn(&mut Session<'_>, &[&str]) -> Result<Outcome, Fault>;

/// The world, the flow for operations, and the options that all commands have.
pub struct Session<'a> {
    /// The process.
    pub world: &'a mut World,
    /// For operations: cancel flag, events, clock, jobs.
    pub flow: Flow,
    /// The options of all commands.
    pub globals: Globals,
    /// The audit log, where one is kept.
    pub audit: Option<Arc<audit::Run>>,
    /// Runs another command line: the grammar lies above this file.
    pub run_line: RunLine,
}

impl Session<'_> {
    /// Runs another command line in this session, as `demo` does.
    ///
    /// # Errors
    /// The command's own.
    pub fn again(&mut self, words: &[&str]) -> Result<Outcome, Fault> {
        self.world.expect_more_commands();
        (self.run_line)(self, words)
    }

    /// Returns whether a report is asked for.
    pub const fn reports(&self) -> bool {
        !self.globals.reports.is_empty()
    }

    /// Returns where a path as typed leads.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.world.path(path)
    }

    /// Returns where a path as typed leads, without links as far as it exists.
    pub fn full_path(&self, path: &Path) -> PathBuf {
        without_links(&self.path(path))
    }

    /// Returns where the states of this run lie; `None` where neither an option nor the environment says so.
    pub fn store(&self) -> Option<Store> {
        let dir = self.globals.state.as_ref().map(|dir| self.path(dir)).or_else(|| self.world.states())?;
        Some(Store::new(dir, self.world.machine()))
    }

    /// Returns where the heads of audit logs lie: the directory that `inspect` may read next to the log.
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
