//! The grammar of this folder's commands, and the call of each. The number is the place in the list of `--help`.

use clap::Subcommand;

use super::{cat, inspect, verify};
use crate::base::fault::Fault;
use crate::cli::output::Outcome;
use crate::cli::session::Session;

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Check a bundle: PASS or REFUSED
    #[command(display_order = 2)]
    Verify(verify::Args),
    /// Show what a bundle, a receipt or an audit log says
    #[command(display_order = 5)]
    Inspect(inspect::Args),
    /// Write a bundle as a stream to standard output
    #[command(display_order = 6)]
    Cat(cat::Args),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// The command's own.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        match self {
            Self::Verify(args) => args.run(session),
            Self::Inspect(args) => args.run(session),
            Self::Cat(args) => args.run(session),
        }
    }
}
