//! A request to import one bundle, as `import` and the pipelines make it, and the run of it: checks
//! the bundle, imports it, and writes the receipt and the wanted list, however the import ends.
//!
//! Parses nothing and reads no configuration: what was typed or configured is resolved before.

use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::args::bundle::{asking, can_ask, open_place};
use super::args::carry::delta::{self, WantedOut};
use super::args::carry::destination::{DestinationRequest, check_maps, names};
use super::args::place::Bundle;
use super::args::scan;
use super::args::trust::Believed;
use super::network::Network;
use super::output::Outcome;
use super::progress::size as show;
use super::reach::Reach;
use super::session::Session;
use super::writing::receipt_write::{Slip, Written};
use crate::base::fault::{Fault, differs};
use crate::base::lock::{into_inner, lock};
use crate::base::shard::Shard;
use crate::bundle::Trusted;
use crate::bundle::stream::Bytes;
use crate::decide::part::Pick;
use crate::decide::route::Route;
use crate::decide::select::Referrers;
use crate::oci::Digest;
use crate::operate::import::from_bundle::{Ready, share};
use crate::operate::import::receipt_data::{Allowed, Facts};
use crate::operate::import::tag_book::ChannelTags;
use crate::operate::import::{Goal, Imported, Ledger, MissingBase, NoCheck, Request, Sides, TagBook, TagConflict};
use crate::operate::report_data;
use crate::scan::{Scanner, Summary};

/// An import of one bundle. Everything that it needs is parsed; the files that it writes are open.
pub struct Importing {
    /// The bundle.
    pub bundle: Bundle,
    /// Further directories to look for volumes in.
    pub volume_dirs: Vec<PathBuf>,
    /// The scanner, if one is used.
    pub scanner: Option<Scanner>,
    /// Whose signatures count, and who keeps the order of channels.
    pub believed: Believed,
    /// Faults of the order that are allowed.
    pub allowed: Allowed,
    /// The destination, and what to do there.
    pub to: DestinationRequest,
    /// Names of the artifacts to import; all of them if there is none.
    pub select: Vec<Pick>,
    /// Referrers to import.
    pub referrers: Referrers,
    /// Whether to send only blobs, without manifests and tags.
    pub blobs_only: bool,
    /// The only part of the blobs to send.
    pub shard: Option<Shard>,
    /// The receipt, if one is written.
    pub slip: Option<Slip>,
    /// The list of missing base content, if one is written.
    pub wanted_out: Option<WantedOut>,
    /// How registries are reached.
    pub network: Network,
}

/// An import that was run on an authenticated bundle.
pub struct Import {
    /// The bundle id.
    pub id: Digest,
    /// Name of the bundle.
    pub name: String,
    /// Result for each artifact; `None` if a fault ended the import.
    pub imported: Option<Imported>,
    /// The receipt, if one was written.
    pub receipt: Option<Written>,
    /// The outcome for people and programs.
    pub outcome: Outcome,
}

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

impl Importing {
    /// Imports the bundle.
    ///
    /// # Errors
    /// Those of `verify` for the bundle. Later faults are in the outcome.
    pub fn run(mut self, session: &mut Session<'_>) -> Result<Import, Fault> {
        session.reach = Reach::of(&self.network);
        let opened = open_place(self.bundle.clone(), &self.volume_dirs, None, session);
        let (bundle, rest) = self.believed.authenticate(opened, session)?;
        let (slip, wanted_out) = (self.slip.take(), self.wanted_out.take());
        let mut books = Books { account: slip.as_ref().map(|_| Mutex::default()), ..Books::default() };
        // From here on there is a bundle to report on, however the import ends.
        let done = self.carry((&bundle, rest), &mut books, session);
        let done = list_wanted(wanted_out, &bundle, &books, done, session);
        let order = self.believed.order();
        let id = bundle.id();
        let mut more = json!({ "id": id, "name": bundle.manifest().name, "signed": bundle.judgement().good });
        let mut last = format!("bundle id  {id}\n");
        if !order.json.is_null() {
            last.push_str(&format!("order      {}\n", order.line));
            more["order"] = order.json.clone();
        }
        scan::tell(books.scanned.as_ref(), &mut last, &mut more);
        let (mut unwritten, mut receipt) = (None, None);
        if let Some(slip) = slip {
            let partial = done.as_ref().ok().and_then(Imported::fault);
            let facts = Facts {
                bundle: &bundle,
                order: &order,
                allowed: self.allowed,
                to: &self.to.shown,
                route: books.route.as_ref(),
                account: books.account.map(into_inner).unwrap_or_default(),
                fault: done.as_ref().err().or(partial.as_ref()),
                scan: books.scanned.as_ref(),
                run: session.pipeline_run.as_deref(),
            };
            match slip.write(facts, session) {
                Ok(written) => {
                    last.push_str(&written.line);
                    more["receipt"] = written.json.clone();
                    receipt = Some(written);
                }
                Err(fault) => unwritten = Some(fault),
            }
        }
        let (outcome, imported) = match done {
            Ok(done) => {
                let mut outcome = if self.blobs_only {
                    self.sent(&done, more, &last)
                } else {
                    self.to.told(&done, ("import", "imported"), more, &last)
                };
                if session.reports() && !self.blobs_only {
                    let how = (&*self.to.shown, order, self.to.dry_run);
                    let scan = books.scanned.as_ref().map(scan::check);
                    outcome.page =
                        Some(report_data::carried::imported(&bundle, &done, how, scan, outcome.fault.as_ref()));
                }
                (outcome, Some(done))
            }
            Err(fault) => {
                let text = if more["receipt"].is_null() && books.scanned.is_none() { String::new() } else { last };
                (Outcome::new(text, more).failed(fault), None)
            }
        };
        let outcome = match unwritten {
            None => outcome,
            Some(fault) => {
                let all = outcome.fault.clone().into_iter().chain([fault.clone()]).collect();
                outcome.failed(Fault::from_list(all).unwrap_or(fault))
            }
        };
        Ok(Import { id, name: bundle.manifest().name.to_string(), imported, receipt, outcome })
    }

    /// Imports the artifacts.
    fn carry(
        &self,
        (bundle, rest): (&Trusted, Option<Bytes>),
        books: &mut Books,
        session: &mut Session<'_>,
    ) -> Result<Imported, Fault> {
        let flow = session.flow.clone();
        // The bundle is checked before the destination is opened.
        let what = (self.scanner.as_ref(), &*self.select);
        let ready = Ready::check(bundle, rest, can_ask(session.world), what, &flow)?;
        let manifest = bundle.manifest();
        let tags = ChannelTags::open(self.believed.keeper(), &flow);
        if tags.is_none() && self.to.tag_conflict == TagConflict::Advance {
            return Err(no_tags(manifest.channel.is_some()));
        }
        check_maps(&self.to.names.maps, names(manifest), session)?;
        let maps = self.to.maps(names(manifest), || self.network.rules(session))?;
        let opened = self.to.open(session, |session| self.network.destination(session))?;
        let route = &*books.route.insert(self.to.route(opened.place, maps));
        let own = self.shard.map(|shard| share(bundle, shard));
        let request = Request {
            source: bundle,
            destination: &*opened.destination,
            check: &NoCheck,
            artifacts: &manifest.artifacts,
            absent: &manifest.absent,
            route,
            tag_conflict: self.to.tag_conflict,
            tag_book: tags.as_ref().map(|tags| tags as &dyn TagBook),
            keep_going: self.to.keep_going,
            dry_run: self.to.dry_run,
            sides: Sides { destination: opened.side, ..Sides::BUNDLE },
            select: &self.select,
            goal: if self.blobs_only { Goal::Blobs(own.as_ref()) } else { Goal::Whole },
            referrers: &self.referrers,
            siblings: None,
            wanted: Some(&books.lacking),
            ledger: books.account.as_ref(),
        };
        let (done, summary) = ready.run(&flow, &request, &mut asking(session.world));
        books.scanned = summary;
        done
    }
}

/// Returns the fault of an import that is to advance tags and has no state of them.
fn no_tags(has_channel: bool) -> Fault {
    let subject = "--tag-conflict advance";
    if has_channel {
        let what = differs(subject, "a directory for the state", "none: neither XDG_STATE_HOME nor HOME is set");
        return Fault::usage(what, "name one with --state");
    }
    Fault::usage(
        differs(subject, "a bundle of a channel", "one without"),
        "have it exported with --channel, or move tags with --tag-conflict move",
    )
}

impl Importing {
    /// Returns the outcome of an import that sent only blobs.
    fn sent(&self, done: &Imported, more: Value, last: &str) -> Outcome {
        let word = if self.to.dry_run { "would send" } else { "sent" };
        let part = self.shard.map(|shard| format!(" of shard {shard}")).unwrap_or_default();
        let text = format!(
            "{word}  {} blobs{part} to {} ({}), {} mounted, {} there already\n{last}next       nothing refers to them \
             yet: run this import without --blobs-only\n",
            done.pushed,
            self.to.shown,
            show(done.bytes),
            done.mounted,
            done.present
        );
        let mut result = json!({
            "to": self.to.shown, "dry_run": self.to.dry_run, "blobs_only": true,
            "shard": self.shard.map(|shard| shard.to_string()),
            "blobs": { "pushed": done.pushed, "mounted": done.mounted, "present": done.present }, "bytes": done.bytes,
        });
        if let (Value::Object(result), Value::Object(more)) = (&mut result, more) {
            result.extend(more);
        }
        let outcome = Outcome::new(text, result);
        match done.fault() {
            Some(fault) => outcome.failed(fault),
            None => outcome,
        }
    }
}

/// Writes the list of missing base content, if it was requested.
fn list_wanted(
    out: Option<WantedOut>,
    bundle: &Trusted,
    books: &Books,
    done: Result<Imported, Fault>,
    session: &Session<'_>,
) -> Result<Imported, Fault> {
    let Some(out) = out else { return done };
    let lacking = lock(&books.lacking);
    let Err(fault) = out.write(&delta::wanted(&bundle.manifest().artifacts, &lacking), session) else {
        return done;
    };
    Err(Fault::from_list(done.err().into_iter().chain([fault.clone()]).collect()).unwrap_or(fault))
}
