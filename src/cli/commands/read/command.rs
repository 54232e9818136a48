//! The grammar of this folder's commands and their dispatch. The number is the position in
//! `--help`.

use clap::Subcommand;

use super::{cat, inspect, verify};
use crate::base::fault::Fault;
use crate::cli::output::Outcome;
use crate::cli::session::Session;

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Check a bundle and print PASS or REFUSED
    #[command(display_order = 2)]
    Verify(Box<verify::Args>),
    /// Show the content of a bundle, a receipt or an audit log
    #[command(display_order = 5)]
    Inspect(inspect::Args),
    /// Write a bundle to standard output as a stream
    #[command(display_order = 6)]
    Cat(cat::Args),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        match self {
            Self::Verify(args) => args.run(session),
            Self::Inspect(args) => args.run(session),
            Self::Cat(args) => args.run(session),
        }
    }
}
