//! `import`: carries a bundle's artifacts into a registry or a layout, under their names there.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::base::fault::Fault;
use crate::cli::Session;
use crate::cli::args::carry::delta::WantedOut;
use crate::cli::args::carry::destination::Arrival;
use crate::cli::args::place::Bundle;
use crate::cli::args::scan::Scan;
use crate::cli::args::shard;
use crate::cli::args::trust::Trust;
use crate::cli::importing::Importing;
use crate::cli::output::Outcome;
use crate::cli::reach::Reach;
use crate::cli::writing::receipt_write::Receipting;
use crate::decide::part::Pick;
use crate::decide::select::Referrers;
use crate::operate::freshness::Side;
use crate::operate::import::receipt_data::Allowed;

/// `import BUNDLE TRUST --to PLACE`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Bundle: DIR/NAME, NAME.json, a directory with one bundle, a stream file, - (standard input),
    /// or CONTAINER/NAME
    bundle: OsString,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    arrival: Arrival,
    /// Further directory to look for volumes in; repeatable
    #[arg(long = "volume-dir", value_name = "DIR")]
    volume_dirs: Vec<PathBuf>,
    /// Import only what this names, with its referrers: HOST/REPO:TAG, HOST/REPO:GLOB,
    /// HOST/NAMESPACE/*, HOST/REPO@DIGEST or DIGEST; repeatable. Needs only the volumes that hold it
    #[arg(long, value_name = "SELECTOR")]
    select: Vec<String>,
    /// Referrers to import: all, none, or artifact types; repeatable for types
    #[arg(long, value_name = "all|none|TYPE", default_value = "all")]
    referrers: Vec<String>,
    /// File for the list of missing base content, for `export --wanted`; empty if nothing is
    /// missing
    #[arg(long, value_name = "FILE")]
    wanted_out: Option<PathBuf>,
    /// Send only blobs, without manifests and tags; the import without this option does the rest
    #[arg(long, conflicts_with = "receipt")]
    blobs_only: bool,
    /// Send only the blobs of part I of N, counted from 1; with job/N, I comes from
    /// JOB_COMPLETION_INDEX
    #[arg(long, value_name = "I/N", requires = "blobs_only")]
    shard: Option<String>,
    #[command(flatten)]
    receipting: Receipting,
    #[command(flatten)]
    scan: Scan,
    #[command(flatten)]
    network: crate::cli::network::Network,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of `verify` for the bundle; class policy for conflicts; class destination.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        Ok(self.request(session)?.run(session)?.outcome)
    }

    /// Returns what the arguments mean. Opens the files that will be written, before any work.
    ///
    /// # Errors
    /// Class usage; class io, lock.
    fn request(self, session: &mut Session<'_>) -> Result<Importing, Fault> {
        session.reach = Reach::of(&self.network);
        let scanner = self.scan.before_a_push(&self.bundle, session)?;
        let to = self.arrival.resolve(session)?;
        let select = self.select.iter().map(|text| Pick::parse(text)).collect::<Result<_, _>>()?;
        let shard = self.shard.as_ref().map(|text| shard::parse(text, session.world)).transpose()?;
        let referrers = Referrers::parse("--referrers", &self.referrers)?;
        let slip = self.receipting.open(session)?;
        let wanted_out = self.wanted_out.as_ref().map(|path| WantedOut::open(path, session)).transpose()?;
        let believed = self.trust.read(Side::import(to.state_name(session), to.dry_run || self.blobs_only), session)?;
        let bundle = Bundle::parse(&self.bundle, |path| session.path(path)).map_err(|fault| believed.before(fault))?;
        Ok(Importing {
            bundle,
            volume_dirs: self.volume_dirs,
            scanner,
            believed,
            allowed: Allowed { stale: self.trust.whom.allow_stale, init: self.trust.init_state },
            to,
            select,
            referrers,
            blobs_only: self.blobs_only,
            shard,
            slip,
            wanted_out,
            network: self.network,
        })
    }
}
