//! `import`: a bundle's artifacts into a registry or a layout, under their names there.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use crate::base::fault::Fault;
use crate::bundle::Trusted;
use crate::bundle::frames::media::Media;
use crate::bundle::source::one_pass::{self, OnePassSource};
use crate::bundle::stream::{Bytes, Members};
use crate::cli::Session;
use crate::cli::args::bundle::{asking, can_ask, open_any};
use crate::cli::args::delta::{self, WantedOut};
use crate::cli::args::destination::Arrival;
use crate::cli::args::place::Destination as Typed;
use crate::cli::args::scan::{self, Scan};
use crate::cli::args::trust::Trust;
use crate::cli::freshness::Side;
use crate::cli::output::Outcome;
use crate::cli::receipt_write::{Receipting, Report};
use crate::cli::report_data;
use crate::decide::route::{Map, Route};
use crate::operate::import::checks::{BundleGate, PassingGate};
use crate::operate::import::{Account, Request, Sides, Wanted};
use crate::scan::{Scanner, Summary};

/// What is noted while an import runs.
#[derive(Default)]
struct Books {
    /// Base content that lacked.
    lacking: Mutex<Vec<Wanted>>,
    /// What was done, where a receipt is asked for.
    account: Option<Mutex<Account>>,
    /// The names, once the destination is open.
    route: Option<Route>,
    /// The scanner, if one is asked.
    scanner: Option<Scanner>,
    /// What it said.
    scanned: Option<Summary>,
}

/// `import BUNDLE TRUST --to PLACE`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// DIR/NAME, NAME.json, a directory with one bundle, a stream file, or - (standard input)
    bundle: OsString,
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
    receipting: Receipting,
    #[command(flatten)]
    scan: Scan,
    #[command(flatten)]
    network: crate::cli::args::network::Network,
}

impl Args {
    /// # Errors
    /// As `verify` for the bundle; class policy for what stands in the way; class destination.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let scanner = self.scan.before_a_push(&self.bundle, session)?;
        let (typed, maps) = self.arrival.parse(session)?;
        let slip = self.receipting.open(session)?;
        let wanted_out = self.wanted_out.as_ref().map(|path| WantedOut::open(path, session)).transpose()?;
        let trust = self.trust.read(Side::import(&typed, self.arrival.dry_run, session), session)?;
        let bundle = open_any(&self.bundle, &self.volume_dirs, None, session);
        let (bundle, rest) = trust.authenticate(bundle, session)?;
        let mut books = Books { account: slip.as_ref().map(|_| Mutex::default()), scanner, ..Books::default() };
        // From here on there is a bundle to tell of, whatever happens.
        let done = self.carry(typed, maps, &bundle, rest, &mut books, session);
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
            let partial = done.as_ref().ok().and_then(crate::operate::import::Outcome::fault);
            let report = Report {
                bundle: &bundle,
                order: &order,
                trust: &self.trust,
                to: &self.arrival.to,
                route: books.route.as_ref(),
                account: books
                    .account
                    .map(|account| account.into_inner().unwrap_or_else(PoisonError::into_inner))
                    .unwrap_or_default(),
                fault: done.as_ref().err().or(partial.as_ref()),
                scan: books.scanned.as_ref(),
            };
            match slip.write(report, session) {
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
                    outcome.page = Some(report_data::imported(&bundle, &done, how, scan, outcome.fault.as_ref()));
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

    /// Carries it over.
    fn carry(
        &self,
        typed: Typed,
        maps: Vec<Map>,
        bundle: &Trusted,
        rest: Option<Bytes>,
        books: &mut Books,
        session: &mut Session<'_>,
    ) -> Result<crate::operate::import::Outcome, Fault> {
        let is_asked = rest.is_none() && books.scanner.is_none() && bundle.lacks_any() && can_ask(session.world);
        // What lies there is looked at before the destination is opened.
        let gate = if rest.is_none() && !is_asked { Some(BundleGate::open(bundle, &session.flow)?) } else { None };
        let opened = self.arrival.open(typed, session, |session| self.network.destination(session))?;
        let manifest = bundle.manifest();
        let route = &*books.route.insert(self.arrival.route(opened.place, maps));
        let request = Request {
            artifacts: &manifest.artifacts,
            absent: &manifest.absent,
            route,
            tag_conflict: self.arrival.tag_conflict(),
            keep_going: self.arrival.keep_going,
            dry_run: self.arrival.dry_run,
            sides: Sides { destination: opened.side, ..Sides::BUNDLE },
            siblings: None,
            wanted: Some(&books.lacking),
            account: books.account.as_ref(),
        };
        let (flow, to) = (session.flow.clone(), &*opened.destination);
        let pass = |source: &OnePassSource<'_>| {
            crate::operate::import::run(&flow, source, to, &PassingGate(source, bundle), &request)
        };
        match (gate, rest) {
            (Some(gate), _) => {
                let gate = gate.with_scanner(books.scanner.as_ref());
                let done = crate::operate::import::run(&flow, bundle, to, &gate, &request);
                books.scanned = gate.into_scanned();
                done
            }
            (None, Some(rest)) => one_pass::run(bundle, &mut Members::new(bundle, rest, flow.clone()), &flow, pass),
            (None, None) => {
                let mut ask = asking(session.world);
                one_pass::run(bundle, &mut Media::changed(bundle, &mut ask), &flow, pass)
            }
        }
    }
}

/// Writes the list of what lacked, where one is asked for.
fn list_wanted(
    out: Option<WantedOut>,
    bundle: &Trusted,
    books: &Books,
    done: Result<crate::operate::import::Outcome, Fault>,
    session: &Session<'_>,
) -> Result<crate::operate::import::Outcome, Fault> {
    let Some(out) = out else { return done };
    let lacking = books.lacking.lock().unwrap_or_else(PoisonError::into_inner);
    let Err(fault) = out.write(&delta::wanted(&bundle.manifest().artifacts, &lacking), session) else {
        return done;
    };
    Err(Fault::from_list(done.err().into_iter().chain([fault.clone()]).collect()).unwrap_or(fault))
}
