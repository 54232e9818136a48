//! The finder: decides from one list of a container, the manifests and the ledger which bundles are
//! complete and due. Pure.
//!
//! A bundle is complete if its manifest and its signatures are there and not empty and every volume
//! has the size that the manifest states. Age, order of arrival, MD5 and metadata do not matter, so
//! any tool may have copied the files. Names that tools give to files on the way are no names of a
//! bundle's files.

use std::collections::BTreeMap;

use super::facts::Facts;
use crate::base::fault::Class;
use crate::base::time::Moment;
use crate::bundle::Name;
use crate::oci::{Algorithm, Hasher};
use crate::operate::transfer::is_own;
use crate::state::watched::Ledger;
use crate::storage::Object;

/// Largest number of missing files to name.
const NAMED: usize = 8;

/// The files of one bundle, as listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Candidate {
    files: BTreeMap<String, Object>,
}

/// Next step for a candidate before its manifest is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Triage {
    /// There is no manifest, or an empty one.
    NoManifest,
    /// It was imported and did not change.
    Settled,
    /// Its manifest must be read. Holds its size in bytes.
    Read(u64),
}

/// The decision on a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was imported, perhaps under another name.
    Settled,
    /// Files are missing or do not have their size yet. Holds some of their names, and their number.
    Arriving(Vec<String>, usize),
    /// It failed, and its time to be tried again has not come.
    Aside,
    /// It is to be imported now.
    Due,
}

/// Groups the files of a list by the bundle that they belong to. Other files, and files in folders,
/// are passed over.
pub(super) fn group(objects: Vec<Object>) -> BTreeMap<Name, Candidate> {
    let mut found: BTreeMap<Name, Candidate> = BTreeMap::new();
    for object in objects {
        if let Some(name) = bundle_of(&object.name) {
            found.entry(name).or_default().files.insert(object.name.clone(), object);
        }
    }
    found
}

fn bundle_of(path: &str) -> Option<Name> {
    let name = Name::new(path.split(['.', '/']).next()?).ok()?;
    is_own(&name, path).then_some(name)
}

impl Candidate {
    fn size(&self, file: &str) -> u64 {
        self.files.get(file).map_or(0, |object| object.size)
    }

    /// Returns what identifies the content of the manifest. `None` if there is no manifest, or the
    /// container does not say.
    pub fn mark(&self, name: &Name) -> Option<String> {
        let manifest = self.files.get(&name.manifest())?;
        let etag = manifest.etag.as_ref()?;
        Some(format!("{etag} {} {}", manifest.size, manifest.modified.map_or(-1, u64::cast_signed)))
    }

    /// Returns the `ETag` of the manifest.
    pub fn etag(&self, name: &Name) -> Option<&str> {
        self.files.get(&name.manifest())?.etag.as_deref()
    }

    /// Returns what identifies the content of all files.
    pub fn files_mark(&self) -> String {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        for object in self.files.values() {
            let Object { name, size, etag, md5: _, modified } = object;
            hasher.update(format!("{name} {size} {etag:?} {modified:?}\n").as_bytes());
        }
        hasher.finish().hex()
    }
}

/// Decides whether the manifest of a candidate must be read.
pub(super) fn triage(name: &Name, candidate: &Candidate, ledger: &Ledger) -> Triage {
    match candidate.size(&name.manifest()) {
        0 => Triage::NoManifest,
        size => {
            let settled = ledger.names.get(name.as_str()).map(|settled| settled.mark.as_str());
            let is_settled = settled.is_some() && settled == candidate.mark(name).as_deref();
            if is_settled { Triage::Settled } else { Triage::Read(size) }
        }
    }
}

/// Decides on a candidate whose manifest says `facts`.
pub(super) fn judge(name: &Name, candidate: &Candidate, facts: &Facts, ledger: &Ledger, now: Moment) -> Fate {
    if ledger.ids.contains_key(&facts.id) {
        return Fate::Settled;
    }
    let signatures = name.signatures();
    let is_missing = |(file, size): &&(String, u64)| candidate.files.get(file).map(|found| found.size) != Some(*size);
    let unsigned = (candidate.size(&signatures) == 0).then_some(signatures);
    let volumes = facts.files.iter().filter(is_missing).map(|(file, _)| file.clone());
    let mut missing: Vec<String> = volumes.chain(unsigned).collect();
    if !missing.is_empty() {
        let count = missing.len();
        missing.truncate(NAMED);
        return Fate::Arriving(missing, count);
    }
    match ledger.aside.get(name.as_str()) {
        // A file that changed since may be what it failed of.
        Some(aside) if aside.id == facts.id && aside.next > now && aside.files == candidate.files_mark() => Fate::Aside,
        _ => Fate::Due,
    }
}

/// Puts bundles into the order of import: those of one channel by epoch and number, so that none makes
/// an earlier one stale.
pub(super) fn order(due: &mut [(Name, Facts)]) {
    due.sort_by(|(one_name, one), (other_name, other)| {
        (&one.position, one.created, one_name).cmp(&(&other.position, other.created, other_name))
    });
}

/// Forgets names that are no longer in the container. Ids stay.
pub(super) fn forget_gone(ledger: &mut Ledger, found: &BTreeMap<Name, Candidate>) -> bool {
    let is_there = |name: &String| {
        let known =
            Name::new(name).ok().filter(|name| found.get(name).is_some_and(|one| one.size(&name.manifest()) > 0));
        known.is_some()
    };
    let before = (ledger.names.len(), ledger.aside.len());
    ledger.names.retain(|name, _| is_there(name));
    ledger.aside.retain(|name, _| is_there(name));
    before != (ledger.names.len(), ledger.aside.len())
}

/// Makes bundles due that failed because another one had to come first, now that one was imported.
pub(super) fn release(ledger: &mut Ledger, now: Moment) {
    let order = [Class::Stale.name(), Class::Policy.name()];
    for aside in ledger.aside.values_mut().filter(|aside| order.contains(&aside.error.class.as_str())) {
        aside.next = aside.next.min(now);
    }
}
