//! `import`: a bundle's artifacts into a registry or a layout, under their names there.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use super::Session;
use super::arrival::Arrival;
use super::bundle::{asking, authenticated_any, can_ask};
use super::delta;
use super::gate::{BundleGate, PassingGate};
use super::order::Side;
use super::report::Outcome;
use super::trust::Trust;
use crate::bundle::arriving::{Arriving, arrive};
use crate::bundle::media::Media;
use crate::bundle::stream::Members;
use crate::fault::Fault;
use crate::import::{Request, Sides};

/// `import BUNDLE TRUST --to PLACE`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// DIR/NAME, NAME.json, a directory with one bundle, a stream file, or - (standard input)
    bundle: String,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    arrival: Arrival,
    /// Another directory that holds volumes; repeat it for more
    #[arg(long = "volume-dir", value_name = "DIR")]
    volume_dirs: Vec<PathBuf>,
    /// Where the list of lacking base content goes, for `export --wanted`; empty if nothing lacks
    #[arg(long, value_name = "FILE")]
    wanted_out: Option<PathBuf>,
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
        let (bundle, rest) = authenticated_any(&self.bundle, &self.volume_dirs, &trust, session)?;
        let order = keeper.told();
        let is_asked = rest.is_none() && bundle.lacks_any() && can_ask(session.world);
        // What lies there is looked at before the destination is opened.
        let gate = if rest.is_none() && !is_asked { Some(BundleGate::open(&bundle, &session.flow)?) } else { None };
        let opened = self.arrival.open(typed, session, |session| self.network.destination(session))?;
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
        let (flow, to) = (session.flow.clone(), &*opened.destination);
        let pass =
            |source: &Arriving<'_>| crate::import::run(&flow, source, to, &PassingGate(source, &bundle), &request);
        let done = match (gate, rest) {
            (Some(gate), _) => crate::import::run(&flow, &bundle, to, &gate, &request),
            (None, Some(rest)) => arrive(&bundle, &mut Members::new(&bundle, rest, flow.clone()), &flow, pass),
            (None, None) => {
                let mut ask = asking(session.world);
                arrive(&bundle, &mut Media::changed(&bundle, &mut ask), &flow, pass)
            }
        };
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
}
