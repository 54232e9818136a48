//! `rm`: removes a bundle from a container, or what runs that did not end left there.

use std::ffi::OsString;

use serde_json::json;

use crate::base::fault::{Fault, escape};
use crate::cli::Session;
use crate::cli::args::container::Address;
use crate::cli::network::Network;
use crate::cli::network::containers::open;
use crate::cli::output::Outcome;
use crate::cli::progress::size as show;
use crate::cli::reach::Reach;
use crate::operate::transfer::remove::{self, Removed};

/// Maximum number of names that are shown to people.
const SHOWN: usize = 20;

/// `rm CONTAINER/NAME | CONTAINER --incomplete [--dry-run]`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Bundle in a container; with --incomplete a container
    #[arg(value_name = "CONTAINER/NAME|CONTAINER")]
    place: OsString,
    /// Remove uploads that were not completed, and files of bundles without a manifest; no other
    /// run may be writing there
    #[arg(long)]
    incomplete: bool,
    /// Show what would be removed, and remove nothing
    #[arg(long, requires = "incomplete")]
    dry_run: bool,
    #[command(flatten)]
    network: Network,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage; class destination if there is no such bundle, or the container refuses.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        session.reach = Reach::of(&self.network);
        let (removed, place) = if self.incomplete {
            let address = Address::parse(&self.place)?;
            let container = open(&self.network, &address, session)?;
            (remove::incomplete(&session.flow, &*container, self.dry_run)?, address.to_string())
        } else {
            let (address, name) = Address::parse_bundle(&self.place)?;
            let container = open(&self.network, &address, session)?;
            (remove::bundle(&session.flow, &*container, &name)?, format!("{address}/{name}"))
        };
        Ok(self.told(&removed, &place))
    }

    fn told(&self, removed: &Removed, place: &str) -> Outcome {
        let word = if self.dry_run { "would go" } else { "removed" };
        let mut text = String::new();
        let parts = removed.parts.iter().map(|part| (&part.name, part.size, "  parts of an upload"));
        let objects = removed.objects.iter().map(|(name, size)| (name, Some(*size), ""));
        for (name, size, about) in objects.chain(parts).take(SHOWN) {
            let size = size.map(|size| format!("  {}", show(size))).unwrap_or_default();
            text.push_str(&format!("{word:9}  {}{size}{about}\n", escape(name)));
        }
        let count = removed.objects.len() + removed.parts.len();
        if count > SHOWN {
            text.push_str(&format!("and        {} more\n", count - SHOWN));
        }
        text.push_str(&format!(
            "{word:9}  {} files and {} unfinished uploads, {}, in {place}\n",
            removed.objects.len(),
            removed.parts.len(),
            show(removed.bytes())
        ));
        let objects: Vec<_> =
            removed.objects.iter().map(|(name, size)| json!({ "name": name, "size": size })).collect();
        let parts: Vec<_> =
            removed.parts.iter().map(|part| json!({ "name": part.name, "id": part.id, "size": part.size })).collect();
        let result = json!({
            "place": place, "dry_run": self.dry_run, "objects": objects, "uploads": parts, "bytes": removed.bytes(),
        });
        Outcome::new(text, result)
    }
}
