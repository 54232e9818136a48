//! `import`: carries a bundle's artifacts into a registry or a layout, under their names there.

use crate::base::lock::{into_inner, lock};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::json;

use crate::base::fault::Fault;
use crate::bundle::Trusted;
use crate::bundle::stream::Bytes;
use crate::cli::Session;
use crate::cli::args::bundle::{asking, can_ask, open_any};
use crate::cli::args::carry::delta::{self, WantedOut};
use crate::cli::args::carry::destination::{Arrival, check_maps, names};
use crate::cli::args::carry::selectors::which;
use crate::cli::args::place::Destination as Typed;
use crate::cli::args::scan::{self, Scan};
use crate::cli::args::trust::Trust;
use crate::cli::output::Outcome;
use crate::cli::reach::Reach;
use crate::cli::writing::receipt_write::Receipting;
use crate::decide::maps::Map;
use crate::decide::route::Route;
use crate::decide::select::Referrers;
use crate::operate::freshness::Side;
use crate::operate::import::from_bundle::Ready;
use crate::operate::import::receipt_data::{Allowed, Facts};
use crate::operate::import::{Ledger, MissingBase, NoCheck, Request, Sides};
use crate::operate::report_data;
use crate::scan::{Scanner, Summary};

/// Records of a running import.
#[derive(Default)]
struct Books {
    /// Missing base content.
    lacking: Mutex<Vec<MissingBase>>,
    /// Record of the content sent, if a receipt was requested.
    account: Option<Mutex<Ledger>>,
    /// Route to the names, once the destination is open.
    route: Option<Route>,
    /// Summary of the scan, if a scanner was used.
    scanned: Option<Summary>,
}

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
    /// Referrers to import: all, none, or artifact types; repeatable for types
    #[arg(long, value_name = "all|none|TYPE", default_value = "all")]
    referrers: Vec<String>,
    /// File for the list of missing base content, for `export --wanted`; empty if nothing is
    /// missing
    #[arg(long, value_name = "FILE")]
    wanted_out: Option<PathBuf>,
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
        session.reach = Reach::of(&self.network);
        let scanner = self.scan.before_a_push(&self.bundle, session)?;
        let (typed, maps) = self.arrival.parse(session)?;
        let referrers = which("--referrers", &self.referrers)?;
        let slip = self.receipting.open(session)?;
        let wanted_out = self.wanted_out.as_ref().map(|path| WantedOut::open(path, session)).transpose()?;
        let trust =
            self.trust.read(Side::import(self.arrival.state_name(&typed, session), self.arrival.dry_run), session)?;
        let bundle = open_any(&self.bundle, &self.volume_dirs, None, session);
        let (bundle, rest) = trust.authenticate(bundle, session)?;
        let mut books = Books { account: slip.as_ref().map(|_| Mutex::default()), ..Books::default() };
        // From here on there is a bundle to report on, however the import ends.
        let done = self.carry((typed, maps), &referrers, (&bundle, rest), scanner.as_ref(), &mut books, session);
        let done = list_wanted(wanted_out, &bundle, &books, done, session);
        let order = trust.order();
        let id = bundle.id();
        let mut more = json!({ "id": id, "name": bundle.manifest().name, "signed": bundle.judgement().good });
        let mut last = format!("bundle id  {id}\n");
        if !order.json.is_null() {
            last.push_str(&format!("order      {}\n", order.line));
            more["order"] = order.json.clone();
        }
        scan::tell(books.scanned.as_ref(), &mut last, &mut more);
        let mut unwritten = None;
        if let Some(slip) = slip {
            let partial = done.as_ref().ok().and_then(crate::operate::import::Imported::fault);
            let facts = Facts {
                bundle: &bundle,
                order: &order,
                allowed: Allowed { stale: self.trust.whom.allow_stale, init: self.trust.init_state },
                to: &self.arrival.to,
                route: books.route.as_ref(),
                account: books.account.map(into_inner).unwrap_or_default(),
                fault: done.as_ref().err().or(partial.as_ref()),
                scan: books.scanned.as_ref(),
            };
            match slip.write(facts, session) {
                Ok(written) => {
                    last.push_str(&written.line);
                    more["receipt"] = written.json;
                }
                Err(fault) => unwritten = Some(fault),
            }
        }
        let outcome = match done {
            Ok(done) => {
                let mut outcome = self.arrival.told(&done, ("import", "imported"), more, &last);
                if session.reports() {
                    let how = (&*self.arrival.to, order, self.arrival.dry_run);
                    let scan = books.scanned.as_ref().map(scan::check);
                    outcome.page =
                        Some(report_data::carried::imported(&bundle, &done, how, scan, outcome.fault.as_ref()));
                }
                outcome
            }
            Err(fault) => {
                let text = if more["receipt"].is_null() && books.scanned.is_none() { String::new() } else { last };
                Outcome::new(text, more).failed(fault)
            }
        };
        Ok(match unwritten {
            None => outcome,
            Some(fault) => {
                let all = outcome.fault.clone().into_iter().chain([fault.clone()]).collect();
                outcome.failed(Fault::from_list(all).unwrap_or(fault))
            }
        })
    }

    /// Imports the artifacts.
    fn carry(
        &self,
        (typed, maps): (Typed, Vec<Map>),
        referrers: &Referrers,
        (bundle, rest): (&Trusted, Option<Bytes>),
        scanner: Option<&Scanner>,
        books: &mut Books,
        session: &mut Session<'_>,
    ) -> Result<crate::operate::import::Imported, Fault> {
        let flow = session.flow.clone();
        // The bundle is checked before the destination is opened.
        let ready = Ready::check(bundle, rest, can_ask(session.world), scanner, &flow)?;
        let manifest = bundle.manifest();
        check_maps(&maps, names(manifest), session)?;
        let maps = self.arrival.with_rules(maps, names(manifest), || self.network.rules(session))?;
        let opened = self.arrival.open(typed, session, |session| self.network.destination(session))?;
        let route = &*books.route.insert(self.arrival.route(opened.place, maps));
        let request = Request {
            source: bundle,
            destination: &*opened.destination,
            check: &NoCheck,
            artifacts: &manifest.artifacts,
            absent: &manifest.absent,
            route,
            tag_conflict: self.arrival.tag_conflict(),
            keep_going: self.arrival.keep_going,
            dry_run: self.arrival.dry_run,
            sides: Sides { destination: opened.side, ..Sides::BUNDLE },
            referrers,
            siblings: None,
            wanted: Some(&books.lacking),
            ledger: books.account.as_ref(),
        };
        let (done, summary) = ready.run(&flow, &request, &mut asking(session.world));
        books.scanned = summary;
        done
    }
}

/// Writes the list of missing base content, if it was requested.
fn list_wanted(
    out: Option<WantedOut>,
    bundle: &Trusted,
    books: &Books,
    done: Result<crate::operate::import::Imported, Fault>,
    session: &Session<'_>,
) -> Result<crate::operate::import::Imported, Fault> {
    let Some(out) = out else { return done };
    let lacking = lock(&books.lacking);
    let Err(fault) = out.write(&delta::wanted(&bundle.manifest().artifacts, &lacking), session) else {
        return done;
    };
    Err(Fault::from_list(done.err().into_iter().chain([fault.clone()]).collect()).unwrap_or(fault))
}
