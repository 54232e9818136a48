//! `copy`: copies artifacts from registries and layouts to another one, when both can be reached.

use serde_json::json;

use crate::base::fault::{Class, Fault, differs};
use crate::cli::Session;
use crate::cli::args::carry::destination::{Arrival, check_maps};
use crate::cli::args::carry::selectors::{Selected, Selecting, has_bundle, without_bundle};
use crate::cli::args::place::Destination as Typed;
use crate::cli::network::Network;
use crate::cli::network::registries;
use crate::cli::output::Outcome;
use crate::cli::reach::Reach;
use crate::decide::maps::Map;
use crate::decide::select::Wanted;
use crate::decide::selector::Source as From;
use crate::oci::reference::ReferenceError;
use crate::oci::{Repository, Tag};
use crate::operate::copy::Request;
use crate::operate::import::{Sides, TagConflict};

/// `copy SELECTOR... --to PLACE`
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    selecting: Selecting,
    // The heading of the options before ends here.
    #[command(flatten, next_help_heading = None::<&'static str>)]
    arrival: Arrival,
    /// Name below PLACE for the single selected artifact; without TAG it gets no tag; repeatable
    #[arg(long = "as", value_name = "REPO[:TAG]", conflicts_with_all = ["maps", "keep_host"])]
    names: Vec<String>,
    /// Credential for the source, by its name in the configuration
    #[arg(long, value_name = "NAME")]
    from_credential: Option<String>,
    /// Credential for the destination, by its name in the configuration
    #[arg(long, value_name = "NAME")]
    to_credential: Option<String>,
    /// Start the state of a source bundle's channel here, if there is none or it no longer counts
    #[arg(long)]
    init_state: bool,
    #[command(flatten)]
    network: Network,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage before any work; class source, destination; class policy for conflicts.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let selectors = self.selecting.parse(true, session)?;
        session.reach = Reach::of(&self.network);
        let names = self.names.iter().map(|text| name(text)).collect::<Result<Vec<_>, _>>()?;
        let to = self.arrival.resolve(session)?;
        if to.tag_conflict == TagConflict::Advance {
            let what =
                differs("--tag-conflict advance", "an import of a bundle with a channel", "a copy, which has none");
            return Err(Fault::usage(what, "use fail, keep or move"));
        }
        let is_one_place = match &to.place {
            Typed::Registry { host, .. } => selectors.iter().all(|one| match &one.source {
                From::Registry(reference) => reference.repository.host() == host,
                From::Tags { repository, .. } => repository.host() == host,
                From::Repositories { host: from, .. } => from == host,
                _ => false,
            }),
            Typed::Layout(_) => false,
        };
        let registries = registries::Sides::new(&self.network);
        if self.init_state && !has_bundle(&selectors) {
            return Err(without_bundle("--init-state"));
        }
        let options = self.selecting.options()?;
        let Selected { source, wanted, bundles, .. } =
            options.source(&selectors, Vec::new(), self.init_state, session, |session| {
                Ok(Box::new(registries.open(session, self.from_credential.as_deref())?))
            })?;
        check_maps(&to.names.maps, wanted.iter().map(Wanted::repository), session)?;
        let maps = to.maps(wanted.iter().map(Wanted::repository), || self.network.rules(session))?;
        // Names that were typed are below PLACE as they are.
        let maps = if names.is_empty() {
            maps
        } else {
            names.iter().map(|(repository, _)| Map::exact(repository, repository.path())).collect()
        };
        let opened =
            to.open(session, |session| Ok(Box::new(registries.open(session, self.to_credential.as_deref())?)))?;
        let route = to.route(opened.place, maps);
        let request = Request {
            selection: options.selection(wanted, false),
            names,
            route: &route,
            is_one_place,
            tag_conflict: to.tag_conflict,
            keep_going: to.keep_going,
            dry_run: to.dry_run,
            sides: Sides { destination: opened.side, ..Sides::PLACES },
        };
        let mut more = json!({});
        if !bundles.is_empty() {
            more["from"] = json!(bundles);
        }
        let last: String = bundles.iter().map(|id| format!("from bundle {id}\n")).collect();
        let done = crate::operate::copy::run(&session.flow, &*source, &*opened.destination, &request)?;
        Ok(to.told(&done, ("copy", "copied"), more, &last))
    }
}

/// Parses `REPO[:TAG]`, a name below the destination.
fn name(text: &str) -> Result<(Repository, Option<Tag>), Fault> {
    let wrong = |error: ReferenceError| {
        Fault::new(Class::Usage, format!("--as {text}: {error}")).help("write REPO:TAG, or REPO for no tag")
    };
    let (path, tag) = match text.split_once(':') {
        Some((path, tag)) => (path, Some(Tag::new(tag).map_err(wrong)?)),
        None => (text, None),
    };
    Ok((Repository::new("localhost", path).map_err(wrong)?, tag))
}
