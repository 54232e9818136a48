//! The options of `verify` for shards, and what they mean.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::keys::Signing;
use super::read;
use super::write::TallyFile;
use crate::base::fault::Fault;
use crate::base::shard::Shard;
use crate::cli::Session;
use crate::cli::args::bundle::name_of;
use crate::cli::args::shard;
use crate::operate::tallies::File;

/// Options for shards.
#[derive(clap::Args, Debug)]
pub struct Sharding {
    /// Check only shard I of N, counted from 1, and write its tally to -o; with job/N, I comes from
    /// JOB_COMPLETION_INDEX
    #[arg(long, value_name = "I/N", requires = "output", conflicts_with_all = ["volumes", "record", "bases", "scan"])]
    shard: Option<String>,
    /// File for the shard's tally, with a name that ends in .json, or a directory for
    /// NAME.I-of-N.json
    #[arg(short, long, value_name = "FILE|DIR", requires = "shard")]
    output: Option<PathBuf>,
    #[command(flatten)]
    signing: Signing,
    /// Check no content, but that these tallies of shards, or those in a directory, are of every unit
    /// of the bundle
    #[arg(long, value_name = "FILE|DIR", num_args = 1.., conflicts_with_all = ["shard", "volumes", "scan"])]
    join: Vec<PathBuf>,
}

/// How the check of a bundle is split.
pub enum Split {
    /// Not at all.
    Whole,
    /// Only this shard is checked; its tally is written to the file.
    Shard(Shard, Box<TallyFile>),
    /// The shards were checked elsewhere.
    Join(Vec<File>),
}

impl Sharding {
    /// Opens the file of the tally, or reads those to join. `bundle` is the bundle as typed.
    ///
    /// # Errors
    /// Class usage for shards, names, files of others, and keys; class io; class lock.
    pub fn open(&self, bundle: &OsStr, session: &mut Session<'_>) -> Result<Split, Fault> {
        if let (Some(text), Some(output)) = (&self.shard, &self.output) {
            let shard = shard::parse(text, session.world)?;
            let keys = self.signing.load(session.world)?;
            let mut path = session.path(output);
            if path.is_dir() {
                path.push(super::file_name(&name_of(bundle, session)?, shard));
            }
            let file = TallyFile::open(&path, keys)?;
            return Ok(Split::Shard(shard, Box::new(file)));
        }
        if self.join.is_empty() {
            return Ok(Split::Whole);
        }
        read::read(&self.join, bundle, session).map(Split::Join)
    }
}

impl Split {
    /// Returns the only shard to check.
    pub const fn shard(&self) -> Option<Shard> {
        match self {
            Self::Shard(shard, _) => Some(*shard),
            Self::Whole | Self::Join(_) => None,
        }
    }

    /// Returns the tallies to join.
    pub fn tallies(&self) -> Option<&[File]> {
        match self {
            Self::Join(files) => Some(files),
            Self::Whole | Self::Shard(..) => None,
        }
    }
}
