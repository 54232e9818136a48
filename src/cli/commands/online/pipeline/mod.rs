//! `pipeline`: makes, shows, checks and runs the export and import pipelines of packmule.toml.

mod set;
mod show;

use clap::Subcommand;

use crate::base::fault::Fault;
use crate::cli::Session;
use crate::cli::network::Network;
use crate::cli::network::config::ConfigFiles;
use crate::cli::output::Outcome;
use crate::cli::pipelines::find::{How, Pipeline, find};
use crate::cli::pipelines::{check, export, import};
use crate::cli::reach::Reach;

/// `pipeline …`
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Create a pipeline, or change the given keys; KEY= removes a key
    ///
    /// Keys of an export: artifacts=SELECTOR and artifacts.images_in=FILE (repeatable), storage= or dir=, name=
    /// or channel=, stage=, epoch=, expires=, base=, sign=, passphrase.file=, release.signatures=,
    /// release.repositories=, platforms=, index=, referrers=, foreign=, annotations.KEY=, volume_size=,
    /// overwrite=, allow_partial=.
    ///
    /// Keys of an import: storage= or dir=, to=, policy=, map=, keep_host=, tag_conflict=, keep_going=,
    /// delete_source=, trigger=, interval=, receipt.dir=, receipt.sign=, receipt.passphrase.file=,
    /// receipt.emit.KIND=.
    #[command(visible_aliases = ["create", "update"])]
    Set {
        /// Name of the pipeline, with its kind: export.N or import.N
        #[arg(value_name = "export.N|import.N")]
        name: String,
        /// Key to set or to remove; repeatable
        #[arg(value_name = "KEY=VALUE", required = true)]
        changes: Vec<String>,
        #[command(flatten)]
        config: ConfigFiles,
    },
    /// Show a pipeline
    Show {
        /// Name of the pipeline: N, export.N or import.N
        name: String,
        #[command(flatten)]
        config: ConfigFiles,
    },
    /// List all pipelines
    List {
        #[command(flatten)]
        config: ConfigFiles,
    },
    /// Delete a pipeline; its bundles, receipts and records stay
    Delete {
        /// Name of the pipeline: N, export.N or import.N
        name: String,
        #[command(flatten)]
        config: ConfigFiles,
    },
    /// Try everything that a run of a pipeline reaches, and list all that is missing
    Check {
        /// Name of the pipeline: N, export.N or import.N
        name: String,
        #[command(flatten)]
        network: Box<Network>,
    },
    /// Run a pipeline once
    Run {
        /// Name of the pipeline: N, export.N or import.N
        name: String,
        /// Export this instead of what the pipeline is set to take, or import only this of the bundle; repeatable
        #[arg(long = "artifact", value_name = "SELECTOR")]
        artifacts: Vec<String>,
        /// Bundle to import, or name of the bundle to export
        #[arg(long = "name", id = "bundle_name", value_name = "NAME")]
        bundle: Option<String>,
        /// Do again what was done: import a bundle that was imported, replace a bundle of this name
        #[arg(long)]
        again: bool,
        /// Start the state of the channel here, if there is none or it no longer counts
        #[arg(long)]
        init_state: bool,
        /// Only check, and show what would be done
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        network: Box<Network>,
    },
    /// Import bundles as they arrive, until a signal
    Watch(super::watch::Args),
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage; those of the run.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        match self.command {
            Command::Watch(args) => args.run(session),
            Command::Set { name, changes, config } => set::set(&name, &changes, &config, session),
            Command::Show { name, config } => {
                let config = config.load(session.world)?;
                let (text, result) = show::shown(find(&config, &name)?);
                Ok(Outcome::new(text, result))
            }
            Command::List { config } => Ok(show::list(&config.load(session.world)?)),
            Command::Delete { name, config } => set::delete(&name, &config, session),
            Command::Check { name, network } => {
                session.reach = Reach::of(&network);
                let config = network.config.load(session.world)?;
                check::check(find(&config, &name)?, &network, session)
            }
            Command::Run { name, artifacts, bundle, again, init_state, dry_run, network } => {
                session.reach = Reach::of(&network);
                let config = network.config.load(session.world)?;
                let how = How { artifacts, name: bundle, again, init_state, dry_run };
                match find(&config, &name)? {
                    Pipeline::Export(one) => export::run(one, &how, &network, session),
                    Pipeline::Import(one) => import::run(one, &how, &network, session),
                }
            }
        }
    }
}
