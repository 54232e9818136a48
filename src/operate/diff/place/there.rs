//! Checks whether everything in a bundle is at a place under its names there: manifests, tags,
//! lists of referrers, blobs.
//!
//! The place's own documents, whose digests are checked, show what must be below them, so the
//! bundle's manifest is enough.

use crate::base::lock::{into_inner, lock};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Mutex;

use crate::base::fault::{Class, Fault, differs, escape};
use crate::closure::{WalkError, walk};
use crate::content::checked::Checked;
use crate::content::{Error, Inventory, Kind, Source};
use crate::decide::originals;
use crate::decide::route::Route;
use crate::flow::{Event, Flow, each};
use crate::oci::{Absent, Artifact, Descriptor, Digest, Reason, Repository};

/// A place that is read and queried.
#[derive(Clone, Copy)]
struct Place<'a> {
    inventory: &'a dyn Inventory,
    source: &'a dyn Source,
}

/// Content to look for.
pub struct Request<'a> {
    /// Artifacts of the bundle.
    pub artifacts: &'a [Artifact],
    /// Content that it does not carry, with reasons.
    pub absent: &'a [Absent],
    /// Maps names to names at the place.
    pub route: &'a Route,
    /// Whether to read every blob instead of only querying it.
    pub content: bool,
}

/// One difference from what is expected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Repository at the place.
    pub repository: Repository,
    /// Kind: `manifest`, `tag`, `referrers`, `blob`.
    pub kind: &'static str,
    /// Digest of the manifest or blob.
    pub digest: Digest,
    /// Problem with the content.
    pub detail: String,
}

/// Result of the comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Findings, sorted by repository.
    pub findings: Vec<Finding>,
    /// Number of blobs, each counted once per repository.
    pub blobs: u64,
    /// Bytes of the blobs that were read.
    pub bytes: u64,
    /// Number of artifacts that are not there and need not be: originals of cut indexes, and what
    /// refers to them.
    pub left: u64,
}

/// Looks for the content of the request at the place.
///
/// # Errors
/// [`Class::Destination`] if the place cannot be queried or read, [`Class::Policy`] for names,
/// [`Class::Cancelled`].
pub fn look(flow: &Flow, place: &dyn Inventory, request: &Request) -> Result<Seen, Fault> {
    let source = place
        .as_source()
        .ok_or_else(|| Fault::new(Class::Destination, differs("place", "one that can be read", "one that cannot")))?;
    let place = Place { inventory: place, source };
    let repositories = request.route.assign(flow, request.artifacts)?;
    let absent: HashMap<Digest, Reason> = request.absent.iter().map(|one| (one.digest, one.reason)).collect();
    let mut items = Vec::new();
    for (artifact, repository) in request.artifacts.iter().zip(&repositories) {
        items.push(Artifact { repository: repository.clone(), ..artifact.clone() });
    }
    flow.event(Event::Stage { name: "comparing manifests", bytes: 0, items: items.len() as u64 });
    let looked = each(flow, &items, |item| {
        let found = one(flow, place, item, &absent);
        flow.event(Event::Item(item.repository.to_string()));
        found
    })?;
    let mut seen = Seen::default();
    let mut leaves: BTreeMap<(Repository, Digest), Descriptor> = BTreeMap::new();
    let looked: Vec<Looked> = looked.into_iter().collect::<Result<_, Fault>>()?;
    let is_absent: Vec<bool> = looked.iter().map(|looked| looked.is_absent).collect();
    let homes = originals::homes(request.artifacts);
    for ((item, looked), home) in items.iter().zip(looked).zip(homes) {
        // An import leaves the original and its referrers if the destination does not take it.
        if looked.is_absent && home.is_some_and(|home| is_absent[home]) {
            seen.left += 1;
            continue;
        }
        seen.findings.extend(looked.findings);
        leaves.extend(looked.leaves.into_iter().map(|leaf| ((item.repository.clone(), leaf.digest), leaf)));
    }
    let leaves: Vec<((Repository, Digest), Descriptor)> = leaves.into_iter().collect();
    seen.blobs = leaves.len() as u64;
    let bytes = if request.content { leaves.iter().map(|(_, leaf)| leaf.size).sum() } else { 0 };
    flow.event(Event::Stage { name: "comparing blobs", bytes, items: seen.blobs });
    let looked = each(flow, &leaves, |((repository, _), leaf)| {
        let found = blob(flow, place, repository, leaf, request.content);
        flow.event(Event::Item(leaf.digest.to_string()));
        found
    })?;
    for looked in looked {
        seen.findings.extend(looked?);
    }
    seen.bytes = bytes;
    seen.findings.sort();
    seen.findings.dedup();
    Ok(seen)
}

/// One artifact at the place.
struct Looked {
    findings: Vec<Finding>,
    /// Leaves below it.
    leaves: Vec<Descriptor>,
    /// Whether its own manifest is not there.
    is_absent: bool,
}

/// Returns what is wrong if content is missing or differs; any other error is a fault.
fn said(error: Error) -> Result<String, Fault> {
    match error.class {
        Kind::Absent => Ok("not found".to_owned()),
        Kind::Mismatch => Ok(escape(&error.what)),
        _ => Err(error.into_fault(Class::Destination)),
    }
}

/// Checks one artifact, whose repository is the place's.
fn one(flow: &Flow, place: Place<'_>, item: &Artifact, absent: &HashMap<Digest, Reason>) -> Result<Looked, Fault> {
    let findings = Mutex::new(Vec::new());
    let is_absent = Cell::new(false);
    let find = |kind, digest, detail| {
        let finding = Finding { repository: item.repository.clone(), kind, digest, detail };
        lock(&findings).push(finding);
    };
    let closure = walk([item], |repository, descriptor| {
        flow.check()?;
        if absent.get(&descriptor.digest) == Some(&Reason::Platform) {
            return Ok(None);
        }
        match place.source.document(repository, descriptor) {
            Ok(document) if document.digest() == descriptor.digest => return Ok(Some(document)),
            Ok(document) => find("manifest", descriptor.digest, format!("found {}", document.digest())),
            Err(error) => {
                is_absent.set(is_absent.get() || (error.class == Kind::Absent && descriptor.digest == item.digest));
                find("manifest", descriptor.digest, said(error)?);
            }
        }
        Ok(None)
    });
    let leaves = match closure {
        Ok(closure) => {
            let carried = closure.leaves().filter(|node| absent.get(&node.descriptor.digest) != Some(&Reason::Foreign));
            carried.map(|node| node.descriptor.clone()).collect()
        }
        Err(WalkError::Fetch(fault)) => return Err(fault),
        Err(error) => {
            find("manifest", item.digest, error.to_string());
            Vec::new()
        }
    };
    for tag in &item.tags {
        let now = place
            .inventory
            .tag_like(&item.repository, tag, item.digest)
            .map_err(|error| error.into_fault(Class::Destination))?;
        match now {
            Some(now) if now == item.digest => {}
            Some(now) => find("tag", item.digest, format!("{tag} names {now}")),
            None => find("tag", item.digest, format!("{tag} not found")),
        }
    }
    if let (Some(subject), Some(lists)) = (item.subject, place.source.referrers()) {
        let list = lists.referrers(&item.repository, subject).map_err(|error| error.into_fault(Class::Destination))?;
        if !list.iter().any(|one| one.digest == item.digest) {
            find("referrers", item.digest, format!("not in the list of {subject}"));
        }
    }
    Ok(Looked { findings: into_inner(findings), leaves, is_absent: is_absent.get() })
}

fn blob(
    flow: &Flow,
    place: Place<'_>,
    repository: &Repository,
    leaf: &Descriptor,
    content: bool,
) -> Result<Option<Finding>, Fault> {
    flow.check()?;
    let looked = if content { read(flow, place, repository, leaf) } else { place.inventory.has_blob(repository, leaf) };
    let detail = match looked {
        Ok(true) => return Ok(None),
        Ok(false) => "not found".to_owned(),
        Err(error) => said(error)?,
    };
    Ok(Some(Finding { repository: repository.clone(), kind: "blob", digest: leaf.digest, detail }))
}

/// Reads a blob to its end and checks its digest.
fn read(flow: &Flow, place: Place<'_>, repository: &Repository, leaf: &Descriptor) -> Result<bool, Error> {
    let mut content = Checked::new(place.source.blob(repository, leaf)?, leaf.clone());
    let mut buffer = vec![0; 256 << 10];
    loop {
        flow.check().map_err(Error::from)?;
        match io::Read::read(&mut content, &mut buffer) {
            Ok(0) => return Ok(true),
            Ok(count) => flow.event(Event::Bytes(count as u64)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::from_io(format_args!("blob {}", leaf.digest), error)),
        }
    }
}
