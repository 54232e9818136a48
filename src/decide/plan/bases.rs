//! Content that bases delivered: which leaves to leave out, and a repository at the destination
//! that has each.
//!
//! A bundle's manifest lists its blobs, but not the repository that each leaf went to. If the base
//! does not state it, the documents of its artifacts show it, if they are held here or available at
//! the source. Otherwise the repository stays unknown, and the import looks for it.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::gather::Gathered;
use super::library::Library;
use crate::base::fault::Fault;
use crate::closure::{Closure, MAX_LEVELS};
use crate::decide::select::{Base, Delivered};
use crate::flow::{Event, Flow, each};
use crate::oci::media_type::document_kind;
use crate::oci::{Absent, Descriptor, Digest, Reason, Repository};

/// Delivered leaves, each with a repository that has it, if known.
pub type Homes = HashMap<Digest, Option<Repository>>;

/// Finds the leaves of the closure that were delivered. A leaf that a base lists with another size
/// does not count.
///
/// # Errors
/// [`crate::base::fault::Class::Cancelled`].
pub fn homes(
    flow: &Flow,
    library: &Library<'_>,
    gathered: &Gathered,
    delivered: &Delivered,
    closure: &Closure,
) -> Result<Homes, Fault> {
    let mut homes = Homes::new();
    let mut asked: HashSet<usize> = HashSet::new();
    for node in closure.leaves().filter(|node| !delivered.again.contains(&node.descriptor.digest)) {
        flow.check()?;
        let descriptor = &node.descriptor;
        let having = delivered.bases.iter().enumerate().filter_map(|(number, base)| {
            let leaf = base.leaves.get(&descriptor.digest).filter(|leaf| leaf.size == descriptor.size)?;
            Some((number, leaf.repository.clone()))
        });
        let having: Vec<(usize, Option<Repository>)> = having.collect();
        if having.is_empty() {
            continue;
        }
        let home = having.iter().find_map(|(_, repository)| repository.clone());
        if home.is_none() {
            asked.extend(having.iter().map(|(number, _)| number));
        }
        homes.insert(descriptor.digest, home);
    }
    if asked.is_empty() {
        return Ok(homes);
    }
    let bases: Vec<&Base> = (delivered.bases.iter().enumerate())
        .filter(|(number, _)| asked.contains(number))
        .map(|(_, base)| base)
        .collect();
    let found = documents_tell(flow, library, gathered, &bases)?;
    for (digest, home) in homes.iter_mut().filter(|(_, home)| home.is_none()) {
        *home = found.get(digest).cloned().or_else(|| only_one(&bases, digest));
    }
    Ok(homes)
}

/// Walks the artifacts of `bases` and returns, for each leaf, the first repository by name that has
/// it. Contacts only hosts that the selection names.
fn documents_tell(
    flow: &Flow,
    library: &Library<'_>,
    gathered: &Gathered,
    bases: &[&Base],
) -> Result<HashMap<Digest, Repository>, Fault> {
    let hosts: HashSet<&str> = gathered.carried.iter().map(|(repository, _)| repository.host()).collect();
    let mut seen: BTreeSet<(Repository, Digest)> = BTreeSet::new();
    let mut found: HashMap<Digest, Repository> = HashMap::new();
    let artifacts = bases.iter().flat_map(|base| &base.artifacts);
    let mut wave: Vec<(Repository, Descriptor)> =
        artifacts.map(|artifact| (artifact.repository.clone(), artifact.descriptor())).collect();
    flow.event(Event::Stage { name: "reading the bases", bytes: 0, items: wave.len() as u64 });
    for _ in 0..MAX_LEVELS {
        wave.retain(|(repository, descriptor)| seen.insert((repository.clone(), descriptor.digest)));
        let documents = each(flow, &wave, |(repository, descriptor)| match library.held(&descriptor.digest) {
            None if hosts.contains(repository.host()) => library.get(repository, descriptor).ok(),
            held => held,
        })?;
        let mut next = Vec::new();
        for ((repository, _), document) in wave.iter().zip(documents) {
            for below in document.iter().flat_map(crate::oci::Document::references) {
                if document_kind(&below.media_type).is_some() {
                    next.push((repository.clone(), below.clone()));
                    continue;
                }
                let first = found.entry(below.digest).or_insert_with(|| repository.clone());
                if repository < first {
                    *first = repository.clone();
                }
            }
        }
        wave = next;
    }
    Ok(found)
}

/// Returns the repository of the first base that has the leaf and has only one repository.
fn only_one(bases: &[&Base], digest: &Digest) -> Option<Repository> {
    let having = bases.iter().filter(|base| base.leaves.contains_key(digest));
    let mut single = having.filter_map(|base| {
        let first = &base.artifacts.first()?.repository;
        base.artifacts.iter().all(|artifact| artifact.repository == *first).then(|| first.clone())
    });
    single.next()
}

/// Returns the sorted ids of the bases that have any of the blobs left out for [`Reason::Base`].
pub fn relied_on(bases: &[Base], absent: &[Absent]) -> Vec<Digest> {
    let left: Vec<&Absent> = absent.iter().filter(|absent| absent.reason == Reason::Base).collect();
    let has = |base: &&Base| left.iter().any(|absent| base.leaves.contains_key(&absent.digest));
    bases.iter().filter(has).map(|base| base.id).collect::<BTreeSet<_>>().into_iter().collect()
}
