//! The content of an import's receipt, from what the import found and did. Nothing is written or
//! signed here.

use std::collections::{HashMap, HashSet};

use crate::base::fault::{Fault, escape};
use crate::base::product::TOOL;
use crate::base::time::Moment;
use crate::bundle::Trusted;
use crate::decide::route::Route;
use crate::oci::{Artifact, Digest, Repository, Tag};
use crate::operate::freshness::Told;
use crate::operate::import::Ledger;
use crate::receipt::{Arrival, Bundle, FORMAT, Line, Named, Order, Outcome, Reason, Receipt, Scan, Signer, State};
use crate::scan::Summary;

/// Facts of an import that its receipt is made from.
pub struct Facts<'a> {
    /// The bundle.
    pub bundle: &'a Trusted,
    /// Result of its order check.
    pub order: &'a Told,
    /// Order faults that the command line allowed.
    pub allowed: Allowed,
    /// Destination as typed.
    pub to: &'a str,
    /// Maps names to names at the destination.
    pub route: Option<&'a Route>,
    /// Record of what was done at the destination.
    pub account: Ledger,
    /// Fault that ended the import or a part of it.
    pub fault: Option<&'a Fault>,
    /// Result of a scanner, if one was used.
    pub scan: Option<&'a Summary>,
    /// Id of the pipeline's run, if it is one.
    pub run: Option<&'a str>,
}

/// Options that allow a bundle out of order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// `--allow-stale`
    pub stale: bool,
    /// `--init-state`
    pub init: bool,
}

/// Start and end of an import.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Start of the import.
    pub started: Moment,
    /// End of the import.
    pub ended: Moment,
}

/// Returns the receipt of an import; `audit` is the newest line of the run's audit log.
pub fn compose(facts: Facts<'_>, times: Times, audit: Option<Line>) -> Receipt {
    let Facts { bundle, order, allowed, to, route, account, fault, scan, run } = facts;
    let Times { started, ended } = times;
    let manifest = bundle.manifest();
    let artifacts = if account.artifacts.is_empty() {
        nothing(bundle, route, fault)
    } else {
        with_left_out(bundle, route, account.artifacts)
    };
    let counted = &bundle.admission().counted;
    let signers = bundle.judgement().good.iter().map(|keyid| {
        let entry = counted.iter().find(|entry| entry.keyids.contains(keyid));
        let (holder, role) = (entry.map(|entry| escape(&entry.holder)), entry.map(|entry| escape(&entry.role)));
        Signer { holder, keyid: keyid.clone(), role }
    });
    Receipt {
        artifacts,
        audit,
        blobs: account.blobs,
        bundle: Bundle {
            channel: manifest.channel.clone(),
            created: manifest.created,
            epoch: manifest.epoch,
            id: bundle.id(),
            name: manifest.name.to_string(),
            sequence: manifest.sequence,
        },
        counts: account.counts,
        destination: escape(to),
        ended,
        fault: fault.map(|fault| Reason { class: fault.class.name().to_owned(), text: escape(&fault.what) }),
        format: FORMAT.to_owned(),
        order: turn(order, allowed),
        run: run.map(escape),
        scan: scan.map(|scan| Scan {
            clean: scan.clean,
            scanner: escape(&scan.scanner),
            version: scan.version.as_deref().map(escape),
        }),
        signers: signers.collect(),
        started,
        tool: TOOL.to_owned(),
    }
}

/// Returns the artifacts of an import that ended before it had looked at the destination.
fn nothing(bundle: &Trusted, route: Option<&Route>, fault: Option<&Fault>) -> Vec<Arrival> {
    let why = fault.map_or("it did nothing", |fault| fault.what.as_str());
    let one = |artifact: &Artifact| Arrival {
        destination: route.and_then(|route| route.destination(&artifact.repository).ok()).map(|name| name.to_string()),
        digest: artifact.digest,
        outcome: Outcome::Failed,
        read_back: None,
        reason: Some(escape(&format!("the import ended before this artifact: {why}"))),
        repository: artifact.repository.clone(),
        tags: artifact
            .tags
            .iter()
            .map(|tag| Named { name: tag.clone(), outcome: State::Failed, read_back: None })
            .collect(),
    };
    bundle.manifest().artifacts.iter().map(one).collect()
}

/// Returns `arrivals` with what was not selected of the bundle: artifacts, and tags of artifacts that
/// were.
fn with_left_out(bundle: &Trusted, route: Option<&Route>, arrivals: Vec<Arrival>) -> Vec<Arrival> {
    let left_out = |tag: &Tag| Named { name: tag.clone(), outcome: State::LeftOut, read_back: None };
    let mut known: HashMap<(Repository, Digest), Arrival> =
        arrivals.into_iter().map(|one| ((one.repository.clone(), one.digest), one)).collect();
    let one = |artifact: &Artifact| match known.remove(&(artifact.repository.clone(), artifact.digest)) {
        // Nothing is said about tags of what is not there.
        Some(mut arrival) if arrival.outcome != Outcome::Left => {
            let names: HashSet<Tag> = arrival.tags.iter().map(|tag| tag.name.clone()).collect();
            arrival.tags.extend(artifact.tags.iter().filter(|tag| !names.contains(tag)).map(left_out));
            arrival.tags.sort_by(|a, b| a.name.cmp(&b.name));
            arrival
        }
        Some(arrival) => arrival,
        None => Arrival {
            destination: route
                .and_then(|route| route.destination(&artifact.repository).ok())
                .map(|name| name.to_string()),
            digest: artifact.digest,
            outcome: Outcome::LeftOut,
            read_back: None,
            reason: None,
            repository: artifact.repository.clone(),
            tags: artifact.tags.iter().map(left_out).collect(),
        },
    };
    bundle.manifest().artifacts.iter().map(one).collect()
}

fn turn(order: &Told, allowed: Allowed) -> Option<Order> {
    let options = [("allow-stale", allowed.stale), ("init-state", allowed.init)];
    let allowed: Vec<String> =
        options.into_iter().filter(|(_, given)| *given).map(|(name, _)| name.to_owned()).collect();
    if order.json.is_null() && allowed.is_empty() {
        return None;
    }
    let overlooked = order.json["overlooked"].as_array().into_iter().flatten();
    let overlooked = overlooked.filter_map(|text| text.as_str().map(escape)).collect();
    let state = order.json["state"].as_str().unwrap_or("unchecked").to_owned();
    Some(Order { allowed, overlooked, state })
}
