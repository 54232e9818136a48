//! The grammar of this folder's commands and their dispatch. The number is the position in
//! `--help`.

use clap::Subcommand;

use super::{
    container_reader, copy, credential, download, login, logout, pipeline, rm, rule, runs, schema, serve, upload,
};
use crate::base::fault::Fault;
use crate::cli::output::Outcome;
use crate::cli::session::Session;

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Copy artifacts between places that can both be reached
    #[command(display_order = 4)]
    Copy(Box<copy::Args>),
    /// Serve bundles and OCI layouts as a read-only registry
    #[command(display_order = 5)]
    Serve(Box<serve::Args>),
    /// Copy a bundle into a container of a blob store
    #[command(display_order = 11)]
    Upload(upload::Args),
    /// Copy a bundle from a container into a directory
    #[command(display_order = 11)]
    Download(download::Args),
    /// Remove a bundle, or unfinished uploads, from a container
    #[command(display_order = 11)]
    Rm(rm::Args),
    /// Read a container for a confined process
    #[command(hide = true)]
    ContainerReader(container_reader::Args),
    /// Try a registry's login and save it
    #[command(display_order = 12)]
    Login(login::Args),
    /// Remove a registry's saved login
    #[command(display_order = 13)]
    Logout(logout::Args),
    /// Manage named credentials, whose secrets lie elsewhere
    #[command(display_order = 14)]
    Credential(credential::Args),
    /// Manage the rules of the artifact cache in the configuration
    #[command(display_order = 14)]
    Rule(rule::Args),
    /// Manage, check and run the export and import pipelines in the configuration
    #[command(display_order = 14)]
    Pipeline(pipeline::Args),
    /// List, show and delete the records of pipeline runs
    #[command(display_order = 14)]
    Runs(runs::Args),
    /// Print the JSON Schema of a file
    #[command(display_order = 15)]
    Schema(schema::Args),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        match self {
            Self::Copy(args) => args.run(session),
            Self::Serve(args) => args.run(session),
            Self::Upload(args) => args.run(session),
            Self::Download(args) => args.run(session),
            Self::Rm(args) => args.run(session),
            Self::ContainerReader(args) => args.run(session),
            Self::Login(args) => args.run(session),
            Self::Logout(args) => args.run(session),
            Self::Credential(args) => args.run(session),
            Self::Rule(args) => args.run(session),
            Self::Pipeline(args) => args.run(session),
            Self::Runs(args) => args.run(session),
            Self::Schema(args) => args.run(session),
        }
    }
}
