//! `export`: packs artifacts from registries, layouts and other sources into a bundle.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::base::fault::{Fault, differs, expects};
use crate::bundle::write::check_volume_size;
use crate::cli::Session;
use crate::cli::args::carry::channel::Channel;
use crate::cli::args::carry::delta::Delta;
use crate::cli::args::carry::lock::Lock;
use crate::cli::args::carry::selectors::{Selecting, has_bundle};
use crate::cli::args::carry::size;
use crate::cli::args::carry::target::OutputRequest;
use crate::cli::exporting::Exporting;
use crate::cli::output::Outcome;
use crate::cli::reach::Reach;
use crate::cli::writing::signers::load_signers;
use crate::operate::export;

/// `export SELECTOR... [--base last|BUNDLE|RECEIPT]... [--wanted FILE] -o DIR/NAME --sign KEY... | --unsigned`
#[derive(clap::Args, Debug)]
#[command(group(clap::ArgGroup::new("signed").required(true).args(["sign", "unsigned", "dry_run", "list"]).multiple(true)))]
pub struct Args {
    #[command(flatten)]
    selecting: Selecting,
    // The heading of the options before ends here.
    #[command(flatten, next_help_heading = None::<&'static str>)]
    delta: Delta,
    #[command(flatten)]
    channel: Channel,
    /// Directory or container of the new bundle, a slash, and its name. With --channel, the
    /// directory or the container is enough
    #[arg(short, long, value_name = "DIR/NAME", required_unless_present_any = ["dry_run", "list"])]
    output: Option<PathBuf>,
    /// Directory where volumes for a container are written; each leaves it once it was sent
    #[arg(long, value_name = "DIR")]
    stage: Option<PathBuf>,
    /// Private key that signs: a PEM file, or pkcs11:…; repeatable
    #[arg(long, value_name = "KEY", conflicts_with = "unsigned")]
    sign: Vec<PathBuf>,
    /// Write the bundle without signatures; `sign` can add them later
    #[arg(long)]
    unsigned: bool,
    /// File with the passphrase of a key, or systemd:NAME; repeat once per key, in the order of the
    /// keys [default: ask]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Vec<PathBuf>,
    /// Annotation for the signed manifest; repeatable
    #[arg(long = "annotation", value_name = "K=V")]
    annotations: Vec<String>,
    /// Maximum size of a volume: SIZE, none, dvd, bd or fat32
    #[arg(long, value_name = "SIZE", default_value = "fat32")]
    volume_size: String,
    /// Compression level; 0 stores everything uncompressed
    #[arg(long, value_name = "0-19", default_value_t = 9, value_parser = clap::value_parser!(i32).range(0..=19))]
    level: i32,
    /// Write plain files instead of volumes, for guards that refuse archives
    #[arg(long, conflicts_with_all = ["volume_size", "level"])]
    flat: bool,
    /// Skip reading the bundle back from its medium
    #[arg(long)]
    no_read_back: bool,
    /// Replace an existing bundle of this name
    #[arg(long)]
    overwrite: bool,
    /// Leave out content that cannot be fetched, and say so in the signed manifest
    #[arg(long)]
    allow_partial: bool,
    /// Show what would be exported, largest first; write only the --lock
    #[arg(long)]
    dry_run: bool,
    /// Show what selectors and lists mean, without a network, and write nothing
    #[arg(long, conflicts_with_all = ["dry_run", "lock"])]
    list: bool,
    /// File for what was resolved, with digests, as a list that -f reads
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    #[command(flatten)]
    network: crate::cli::network::Network,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage before any work; class source, policy, io, lock.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        if self.list {
            return self.selecting.listed(session);
        }
        Ok(self.request(session)?.run(session)?.outcome)
    }

    /// Returns what the arguments mean. Reads lists and keys, and does no other work.
    ///
    /// # Errors
    /// Class usage; class io for a file that cannot be read.
    fn request(self, session: &mut Session<'_>) -> Result<Exporting, Fault> {
        let volume_size = size::volume(&self.volume_size)?;
        check_volume_size(volume_size)?;
        let annotations = self.annotations()?;
        let list = self.delta.list(session)?;
        let selectors = self.selecting.parse(list.is_empty(), session)?;
        let channel = self.channel.resolve()?;
        if channel.starts() && !channel.is_given() && !has_bundle(&selectors) {
            let what = differs("--init-state", "--channel or a bundle: source", "neither");
            return Err(Fault::usage(what, "leave it out, or name the channel that starts"));
        }
        let options = self.selecting.options()?;
        session.reach = Reach::of(&self.network);
        let lock = self.lock.as_ref().map(|path| Lock::open(path, session)).transpose()?;
        let output = self.output(channel.is_given())?;
        let signers = load_signers(&self.sign, &self.passphrase_file, session.world)?;
        Ok(Exporting {
            selectors,
            options,
            bases: self.delta.bases(),
            list,
            channel,
            output,
            signers,
            annotations,
            volume_size,
            level: self.level,
            flat: self.flat,
            read_back: !self.no_read_back,
            overwrite: self.overwrite,
            allow_partial: self.allow_partial,
            dry_run: self.dry_run,
            lock,
            admit: None,
            network: self.network,
        })
    }

    /// Parses `-o` and `--stage`. `None` for a dry run without them.
    ///
    /// # Errors
    /// Those of [`OutputRequest::parse`]; class usage for plain files in a container.
    fn output(&self, by_channel: bool) -> Result<Option<OutputRequest>, Fault> {
        let Some(path) = self.output.as_ref().filter(|_| !(self.dry_run && by_channel)) else {
            return Ok(None);
        };
        let output = OutputRequest::parse(path, self.stage.as_deref(), by_channel)?;
        if let (true, OutputRequest::Container { address, .. }) = (self.flat, &output) {
            let what = differs("--flat", "-o with a directory", format_args!("the container {address}"));
            return Err(Fault::usage(what, "leave out --flat: a container takes volumes"));
        }
        Ok(Some(output))
    }

    fn annotations(&self) -> Result<BTreeMap<String, String>, Fault> {
        let mut map = BTreeMap::new();
        for text in &self.annotations {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                Fault::usage(
                    expects(format_args!("--annotation {text:?}"), "KEY=VALUE"),
                    "write for example ticket=CHG-1042",
                )
            })?;
            if crate::base::redact::has_secret(value) {
                let what = format!("--annotation {key}: a secret in an argument");
                return Err(Fault::usage(
                    what,
                    "leave it out, since anyone can read a manifest; change the secret, since others may have seen it",
                ));
            }
            if key.starts_with(export::RESERVED) {
                let what =
                    differs(format_args!("--annotation {key}"), "another name", "one that starts with packmule.");
                return Err(Fault::usage(what, "choose another name: export itself sets these"));
            }
            if map.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(Fault::usage(format!("--annotation {key}: given twice"), "give each key once"));
            }
        }
        Ok(map)
    }
}
