//! The plan of an export: from a selection to all blobs in the order of the bundle.
//!
//! A plan is a value: computed here, shown by `--dry-run`, performed by the exporter. Planning
//! accesses the source only through [`Source`], tries everything, and reports all failures at once.
//! Threads affect its speed, never its outcome.
//!
//! Steps: selected references (`roots`, with the `platform` filter), their referrers and the
//! documents below (`gather`, `ask`), the order of the closure, content that bases delivered
//! (`bases`), and a query for each other leaf (`leaves`).

mod ask;
mod bases;
mod gather;
mod item;
mod leaves;
mod library;
mod platform;
mod replaced;
mod resolved;
mod roots;
mod summary;

use std::collections::{HashMap, HashSet};

pub use self::ask::MAX_REFERRERS;
pub use self::gather::MAX_REFERRER_LEVELS;
pub use self::summary::{ArtifactSummary, Summary};

use self::bases::Homes;
use self::gather::Gathered;
use self::leaves::Leaves;
use self::library::Library;
pub use self::resolved::Resolved;
use crate::base::fault::{Class, Fault, differs, expects};
use crate::closure::{self, Closure, Role};
use crate::content::Source;
use crate::decide::select::{Selection, Wanted};
use crate::flow::{Event, Flow, each};
use crate::oci::descriptor::MAX_SIZE;
use crate::oci::{Absent, Artifact, Descriptor, Digest, Document, Reason, Repository};

/// Maximum size, in bytes, of a leaf that is placed at the front with the documents
/// (`spec/tar-stream.md`).
pub const SMALL: u64 = 64 << 10;

/// One blob to carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedBlob {
    /// Descriptor at its first use.
    pub descriptor: Descriptor,
    /// Source repository that has it. The content of a document is in [`Plan::documents`]; the
    /// source may not have it.
    pub origin: Repository,
    /// Document or leaf.
    pub role: Role,
    /// Whether it is placed at the front: a document, or a leaf of at most [`SMALL`] bytes.
    pub small: bool,
}

/// Everything that an export carries.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Artifacts, by repository and digest, as the bundle lists them.
    pub artifacts: Vec<Artifact>,
    /// Blobs in the order of the tar stream, each digest once.
    pub blobs: Vec<PlannedBlob>,
    /// Reachable content that is not carried, by digest.
    pub absent: Vec<Absent>,
    /// Ids of the bases for which something was left out, in order.
    pub bases: Vec<Digest>,
    /// Every carried document, including those that a filter made and the source does not have.
    pub documents: HashMap<Digest, Document>,
    /// Failures that `allow_partial` tolerated; empty otherwise.
    pub partial: Vec<Fault>,
    /// Referrers that exist at the source but cannot be carried, with the repository that they
    /// would be carried under. Each was warned of.
    pub left_behind: Vec<(Repository, Digest)>,
    /// Each selected reference with the digest that it names at the source, before any filter.
    pub resolved: Vec<(Wanted, Digest)>,
}

impl Plan {
    /// Returns the bytes of all blobs, each counted once.
    pub fn total_bytes(&self) -> u64 {
        self.blobs.iter().fold(0, |sum, blob| sum.saturating_add(blob.descriptor.size))
    }
}

/// Plans an export of `selection` from `source`.
///
/// # Errors
/// One fault that includes all others: [`Class::Source`] for content that cannot be obtained,
/// [`Class::Policy`] if a filter leaves nothing or two manifests claim one name, [`Class::Usage`]
/// for an empty selection, [`Class::Cancelled`]. With `allow_partial`, failures of the source are
/// in [`Plan::partial`] instead, unless nothing is left.
pub fn make(flow: &Flow, source: &dyn Source, selection: &Selection) -> Result<Plan, Fault> {
    if selection.wanted.is_empty() {
        return Err(Fault::new(Class::Usage, differs("selection", "at least one artifact", "none")));
    }
    let library = Library::new(source);
    let mut failures = Failures { allow: selection.allow_partial, faults: Vec::new(), partial: Vec::new() };

    let mut seen = HashSet::new();
    let wanted: Vec<&Wanted> = selection.wanted.iter().filter(|one| seen.insert(*one)).collect();
    flow.event(Event::Stage { name: "resolving", bytes: 0, items: wanted.len() as u64 });
    let resolved = each(flow, &wanted, |wanted| {
        let found = roots::roots(&library, selection, wanted);
        flow.event(Event::Item(wanted.reference.to_string()));
        found
    })?;
    let mut roots = Vec::new();
    let mut digests = Vec::new();
    for (wanted, found) in wanted.iter().zip(resolved) {
        match found {
            Ok(mut found) => {
                if let Ok(descriptor) = library.resolve(&wanted.reference) {
                    digests.push(((*wanted).clone(), descriptor.digest));
                }
                found.iter_mut().flat_map(|root| root.warnings.drain(..)).for_each(|text| flow.warn(text));
                roots.append(&mut found);
            }
            Err(fault) => failures.soft(fault),
        }
    }

    flow.event(Event::Stage { name: "reading manifests", bytes: 0, items: 0 });
    let mut gathered = gather::gather(flow, &library, roots)?;
    gathered.faults.drain(..).for_each(|fault| failures.soft(fault));
    for fault in gather::tag_conflicts(&gathered.artifacts) {
        failures.hard(fault);
    }

    let artifacts: Vec<Artifact> = std::mem::take(&mut gathered.artifacts).into_values().collect();
    let (closure, leaves, homes) = match walk(flow, &artifacts, &library, &gathered) {
        Ok(closure) => {
            let homes = bases::homes(flow, &library, &gathered, &selection.delivered, &closure)?;
            let mut leaves = leaves::look(flow, &library, &artifacts, &gathered, &closure, selection.foreign, &homes)?;
            leaves.faults.drain(..).for_each(|fault| failures.soft(fault));
            (closure, leaves, homes)
        }
        Err(fault) => {
            failures.hard(fault);
            Default::default()
        }
    };
    let partial = failures.settle(artifacts.is_empty())?;
    let (blobs, absent) = arrange(&closure, &gathered, &leaves, &homes);
    let bases = bases::relied_on(&selection.delivered.bases, &absent);
    let documents = library.into_documents(|digest| gathered.digests.contains(digest));
    let left_behind = gathered.left_behind.into_iter().collect();
    Ok(Plan { artifacts, blobs, absent, bases, documents, partial, left_behind, resolved: digests })
}

/// Failures, separated by whether the run may continue in spite of them.
struct Failures {
    allow: bool,
    faults: Vec<Fault>,
    partial: Vec<Fault>,
}

impl Failures {
    fn hard(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    fn soft(&mut self, fault: Fault) {
        if self.allow && fault.class == Class::Source { self.partial.push(fault) } else { self.faults.push(fault) }
    }

    /// Returns the tolerated failures, or the fault of the run.
    fn settle(mut self, nothing_left: bool) -> Result<Vec<Fault>, Fault> {
        if let Some(cancelled) = self.faults.iter().find(|fault| fault.class == Class::Cancelled) {
            return Err(Fault { others: Vec::new(), ..cancelled.clone() });
        }
        let mut seen = HashSet::new();
        self.partial.retain(|fault| seen.insert(fault.what.clone()));
        if nothing_left || !self.faults.is_empty() {
            self.faults.append(&mut self.partial);
        }
        let mut seen = HashSet::new();
        self.faults.retain(|fault| seen.insert(fault.what.clone()));
        Fault::from_list(self.faults).map_or(Ok(self.partial), Err)
    }
}

fn walk(flow: &Flow, artifacts: &[Artifact], library: &Library<'_>, gathered: &Gathered) -> Result<Closure, Fault> {
    let closure = closure::walk(artifacts, |_, descriptor| {
        flow.check()?;
        let digest = descriptor.digest;
        if gathered.digests.contains(&digest) {
            return Ok(library.held(&digest));
        }
        if gathered.missing.contains(&digest) || gathered.left_out.contains(&digest) {
            return Ok(None);
        }
        Err(Fault::new(Class::Bug, expects(format_args!("manifest {digest}"), "to be fetched before the walk")))
    });
    let closure = closure.map_err(|error| match error {
        closure::WalkError::Fetch(fault) => fault,
        other => Fault::new(Class::Source, other.to_string()),
    })?;
    // A filter must not leave out a manifest that is also content of another artifact: a reader
    // would look for it.
    let is_torn =
        |node: &&closure::Node| node.leaf && node.absent && gathered.left_out.contains(&node.descriptor.digest);
    if let Some(node) = closure.nodes.iter().find(is_torn) {
        let what = format!(
            "manifest {}: left out by --platform, but also content of another artifact",
            node.descriptor.digest
        );
        return Err(Fault::new(Class::Policy, what).help("include that platform, or use --index rebuild"));
    }
    match closure.nodes.iter().find(|node| node.descriptor.size > MAX_SIZE) {
        Some(node) => {
            let (digest, size) = (node.descriptor.digest, node.descriptor.size);
            Err(Fault::new(
                Class::Source,
                differs(format_args!("blob {digest}"), format_args!("at most {MAX_SIZE} bytes"), size),
            ))
        }
        None => Ok(closure),
    }
}

/// Returns the carried blobs in the order of the tar stream, and the others with their reasons.
fn arrange(
    closure: &Closure,
    gathered: &Gathered,
    leaves: &Leaves,
    delivered: &Homes,
) -> (Vec<PlannedBlob>, Vec<Absent>) {
    let mut homes: HashMap<Digest, &Repository> = HashMap::new();
    for (repository, digest) in &gathered.carried {
        homes.entry(*digest).or_insert(repository);
    }
    let (mut front, mut rest, mut absent) = (Vec::new(), Vec::new(), Vec::new());
    for node in &closure.nodes {
        let digest = node.descriptor.digest;
        let reason = match node.role {
            Role::Document if !node.absent => None,
            Role::Document if gathered.left_out.contains(&digest) && !gathered.missing.contains(&digest) => {
                Some(Reason::Platform)
            }
            Role::Document => Some(Reason::Missing),
            Role::Leaf => leaves.absent.get(&digest).copied(),
        };
        if let Some(reason) = reason {
            let repository = delivered.get(&digest).filter(|_| reason == Reason::Base).cloned().flatten();
            absent.push(Absent { digest, reason, repository, size: node.descriptor.size });
            continue;
        }
        let origin = homes.get(&digest).copied().filter(|_| node.role == Role::Document);
        let origin = origin.or_else(|| leaves.origins.get(&digest)).unwrap_or(&node.repository).clone();
        let small = node.role == Role::Document || node.descriptor.size <= SMALL;
        let blob = PlannedBlob { descriptor: node.descriptor.clone(), origin, role: node.role, small };
        if small { front.push(blob) } else { rest.push(blob) }
    }
    front.append(&mut rest);
    absent.sort_by_key(|absent| absent.digest);
    (front, absent)
}

#[cfg(test)]
mod tests;
