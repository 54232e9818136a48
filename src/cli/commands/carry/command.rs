//! The grammar of this folder's commands and their dispatch. The number is the position in
//! `--help`.

use clap::Subcommand;

use super::{completions, demo, diff, emit, export, import, key, ls, man, sign, unpack};
use crate::base::fault::Fault;
use crate::cli::output::Outcome;
use crate::cli::session::Session;

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Pack artifacts into a signed bundle
    #[command(display_order = 1)]
    Export(Box<export::Args>),
    /// Import a bundle's artifacts into a registry or an OCI layout
    #[command(display_order = 3)]
    Import(Box<import::Args>),
    /// Show what is new, gone or changed between two bundles or places
    #[command(display_order = 7)]
    Diff(diff::Args),
    /// Write a bundle's content as an OCI layout
    #[command(display_order = 8)]
    Unpack(unpack::Args),
    /// Add signatures to a bundle
    #[command(display_order = 9)]
    Sign(sign::Args),
    /// Make, show and check keys
    #[command(display_order = 10)]
    Key(key::Args),
    /// List repositories, tags, entries of a layout or bundles
    #[command(display_order = 11)]
    Ls(ls::Args),
    /// Write what a cluster needs to pull from the new registry
    #[command(display_order = 12)]
    Emit(emit::Args),
    /// Print the script with which a shell completes command lines
    #[command(display_order = 15)]
    Completions(completions::Args),
    /// Print or write the manual pages
    #[command(display_order = 15)]
    Man(man::Args),
    /// Run export, verify and import on made-up artifacts
    #[command(display_order = 16)]
    Demo(demo::Args),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        match self {
            Self::Export(args) => args.run(session),
            Self::Import(args) => args.run(session),
            Self::Diff(args) => args.run(session),
            Self::Unpack(args) => args.run(session),
            Self::Sign(args) => args.run(session),
            Self::Key(args) => args.run(session),
            Self::Ls(args) => args.run(session),
            Self::Emit(args) => args.run(session),
            Self::Completions(args) => args.run(session),
            Self::Man(args) => args.run(session),
            Self::Demo(args) => args.run(session),
        }
    }
}
