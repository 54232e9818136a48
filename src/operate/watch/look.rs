//! One look at the container of one pipeline: one list, the manifests that changed since the last
//! look, and the decision on every bundle.

use std::collections::{BTreeMap, HashMap};

use super::board::Arriving;
use super::facts::{self, Facts};
use super::find::{self, Candidate, Fate, Triage, judge, triage};
use crate::base::fault::{Class, Fault};
use crate::base::time::Moment;
use crate::bundle::Name;
use crate::bundle::format::manifest::MAX_MANIFEST;
use crate::flow::{Flow, each};
use crate::state::watched::{Ledger, Settled};
use crate::storage::{Container, Needs, Object};

/// Largest number of files in a remembered manifest. Larger ones are read again in every look until
/// their bundle is complete.
const REMEMBERED: usize = 20_000;

/// Manifests of bundles that are not imported yet, as they were when they were read last. Saves a
/// request a look for each of them.
#[derive(Debug, Default)]
pub(super) struct Memory(HashMap<Name, (String, Result<Facts, String>)>);

/// Result of one look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Bundles that were imported in this look.
    pub imported: u64,
    /// Bundles that failed in this look.
    pub failed: u64,
    /// Bundles that failed before, and wait for their time to be tried again.
    pub aside: u64,
    /// Bundles whose files are not all there.
    pub arriving: u64,
    /// Bundles that were imported before.
    pub settled: u64,
    /// Whether the container is a directory that is not there.
    pub is_absent: bool,
}

/// Result of a look.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Bundles to import, in this order.
    pub due: Vec<(Name, Facts)>,
    pub arriving: Vec<Arriving>,
    pub aside: u64,
    pub settled: u64,
    pub candidates: BTreeMap<Name, Candidate>,
    /// Whether the ledger changed.
    pub is_changed: bool,
}

/// Makes one look. Changes the ledger where a name turns out to be that of an imported bundle.
///
/// # Errors
/// Those of the container as [`Class::Source`], [`Class::Cancelled`].
pub(super) fn look(
    container: &dyn Container,
    memory: &mut Memory,
    ledger: &mut Ledger,
    now: Moment,
    flow: &Flow,
) -> Result<Found, Fault> {
    let at_source = |error: crate::content::Error| error.into_fault(Class::Source);
    container.check_rights(Needs { read: true, list: true, ..Needs::default() }, flow).map_err(at_source)?;
    let mut objects: Vec<Object> = Vec::new();
    container.list("", &mut |object| objects.push(object)).map_err(at_source)?;
    let candidates = find::group(objects);
    let mut found = Found { is_changed: find::forget_gone(ledger, &candidates), ..Found::default() };
    let mut unread = Vec::new();
    for (name, candidate) in &candidates {
        match triage(name, candidate, ledger) {
            Triage::Settled => found.settled += 1,
            Triage::NoManifest => {
                found.arriving.push(Arriving { name: name.as_str().to_owned(), why: "no manifest yet".to_owned() });
            }
            Triage::Read(size) => unread.push((name, candidate, size)),
        }
    }
    let known = std::mem::take(&mut memory.0);
    let read = each(flow, &unread, |(name, candidate, size)| {
        let mark = candidate.mark(name);
        let remembered = known.get(*name).filter(|(read, _)| Some(read) == mark.as_ref());
        match remembered {
            Some((_, facts)) => Ok(facts.clone()),
            None => manifest(container, name, candidate, *size),
        }
    })?;
    for ((name, candidate, _), facts) in unread.into_iter().zip(read) {
        let facts = facts?;
        if let Some(mark) = candidate.mark(name) {
            let is_small = facts.as_ref().map_or(true, |facts| facts.files.len() <= REMEMBERED);
            if is_small {
                memory.0.insert(name.clone(), (mark, facts.clone()));
            }
        }
        decide(&mut found, (name, candidate), facts, ledger, now);
    }
    find::order(&mut found.due);
    found.candidates = candidates;
    Ok(found)
}

/// Decides on one bundle whose manifest was read.
fn decide(
    found: &mut Found,
    (name, candidate): (&Name, &Candidate),
    facts: Result<Facts, String>,
    ledger: &mut Ledger,
    now: Moment,
) {
    let shown = || name.as_str().to_owned();
    let facts = match facts {
        Ok(facts) => facts,
        Err(why) => return found.arriving.push(Arriving { name: shown(), why }),
    };
    match judge(name, candidate, &facts, ledger, now) {
        Fate::Settled => {
            found.settled += 1;
            found.is_changed |= ledger.aside.remove(name.as_str()).is_some();
            if let Some(mark) = candidate.mark(name) {
                ledger.names.insert(shown(), Settled { id: facts.id, mark });
                found.is_changed = true;
            }
        }
        Fate::Arriving(missing, count) => {
            let more =
                if count > missing.len() { format!(" and {} more", count - missing.len()) } else { String::new() };
            found.arriving.push(Arriving { name: shown(), why: format!("missing {}{more}", missing.join(", ")) });
        }
        Fate::Aside => found.aside += 1,
        Fate::Due => found.due.push((name.clone(), facts)),
    }
}

/// Reads a manifest. One that is no manifest, or changes while it is read, is a reason to wait.
fn manifest(
    container: &dyn Container,
    name: &Name,
    candidate: &Candidate,
    size: u64,
) -> Result<Result<Facts, String>, Fault> {
    if size > MAX_MANIFEST {
        return Ok(Err(format!("manifest: expected at most {MAX_MANIFEST} bytes, found {size}")));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    match container.read_at(&name.manifest(), candidate.etag(name), 0, &mut bytes) {
        Ok(()) => Ok(facts::read(name, &bytes)),
        Err(error) if matches!(error.class, crate::content::Kind::Absent | crate::content::Kind::Mismatch) => {
            Ok(Err("the manifest is being replaced".to_owned()))
        }
        Err(error) => Err(error.into_fault(Class::Source)),
    }
}
