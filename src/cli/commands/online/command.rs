//! The grammar of this folder's commands, and the call of each. The number is the place in the list of `--help`.

use clap::Subcommand;

use super::{copy, credential, login, logout, schema};
use crate::base::fault::Fault;
use crate::cli::output::Outcome;
use crate::cli::session::Session;

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Copy artifacts to a registry or a layout while both can be reached
    #[command(display_order = 4)]
    Copy(Box<copy::Args>),
    /// Keep a registry's login, after a try
    #[command(display_order = 12)]
    Login(login::Args),
    /// Forget a registry's login
    #[command(display_order = 13)]
    Logout(logout::Args),
    /// Keep credentials by name in the configuration, without their secrets
    #[command(display_order = 14)]
    Credential(credential::Args),
    /// Print the JSON Schema of a file
    #[command(display_order = 15)]
    Schema(schema::Args),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// The command's own.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        match self {
            Self::Copy(args) => args.run(session),
            Self::Login(args) => args.run(session),
            Self::Logout(args) => args.run(session),
            Self::Credential(args) => args.run(session),
            Self::Schema(args) => args.run(session),
        }
    }
}
