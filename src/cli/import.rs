//! `import`: a bundle's artifacts into a registry or a layout, under their names there.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use super::Session;
use super::arrival::Arrival;
use super::bundle::authenticated;
use super::delta;
use super::gate::BundleGate;
use super::order::Side;
use super::report::Outcome;
use super::trust::Trust;
use crate::content::Destination;
use crate::fault::Fault;
use crate::import::{Request, Sides};

/// `import BUNDLE TRUST --to PLACE`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// DIR/NAME, NAME.json, or a directory with one bundle
    bundle: String,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    arrival: Arrival,
    /// Where the list of lacking base content goes, for `export --wanted`; empty if nothing lacks
    #[arg(long, value_name = "FILE")]
    wanted_out: Option<PathBuf>,
    #[cfg(feature = "online")]
    #[command(flatten)]
    network: super::network::Network,
}

impl Args {
    /// # Errors
    /// As `verify` for the bundle; class policy for what stands in the way; class destination.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let (typed, maps) = self.arrival.parse(session)?;
        let mut trust = self.trust.clone();
        let keeper = trust.stand(Side::import(&typed, self.arrival.dry_run, session), session);
        let bundle = authenticated(&self.bundle, &trust, session)?;
        let order = keeper.told();
        let gate = BundleGate::open(&bundle, &session.flow)?;
        let opened = Arrival::open(typed, session, |session| self.registries(session))?;
        let manifest = bundle.manifest();
        let route = self.arrival.route(opened.place, maps);
        let lacking = Mutex::new(Vec::new());
        let request = Request {
            artifacts: &manifest.artifacts,
            absent: &manifest.absent,
            route: &route,
            tag_conflict: self.arrival.tag_conflict(),
            keep_going: self.arrival.keep_going,
            dry_run: self.arrival.dry_run,
            sides: Sides { destination: opened.side, ..Sides::BUNDLE },
            siblings: None,
            wanted: Some(&lacking),
        };
        let done = crate::import::run(&session.flow, &bundle, &*opened.destination, &gate, &request);
        if let Some(path) = &self.wanted_out {
            let list =
                delta::wanted(&manifest.artifacts, &lacking.into_inner().unwrap_or_else(PoisonError::into_inner));
            if let Err(fault) = delta::write(path, &list, session) {
                return Err(Fault::from_list(done.err().into_iter().chain([fault.clone()]).collect()).unwrap_or(fault));
            }
        }
        let done = done?;
        let id = bundle.id();
        let mut more = json!({ "id": id });
        let mut last = format!("bundle id  {id}\n");
        if !order.json.is_null() {
            last.push_str(&format!("order      {}\n", order.line));
            more["order"] = order.json;
        }
        Ok(self.arrival.told(&done, ("import", "imported"), more, &last))
    }

    #[cfg(feature = "online")]
    fn registries(&self, session: &Session<'_>) -> Result<Box<dyn Destination>, Fault> {
        Ok(Box::new(super::registries::open(&self.network, session)?))
    }

    #[cfg(not(feature = "online"))]
    #[allow(clippy::unused_self, reason = "with `online` it is used")]
    fn registries(&self, _: &Session<'_>) -> Result<Box<dyn Destination>, Fault> {
        Err(Fault::new(crate::fault::Class::Usage, "--to: this build has no network").help("name oci:DIR"))
    }
}
