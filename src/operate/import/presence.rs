//! Which of the blobs to bring are at the destination already: so that each is sent at most once to
//! a registry that mounts, and an interrupted import sends only the rest.
//!
//! Nothing is asked about a blob that a document which is there implies elsewhere, since it is
//! mounted from there, and nothing in a repository that does not exist. Sends nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::context::Context;
use super::new_names::NewNames;
use super::work::Work;
use crate::base::fault::Fault;
use crate::base::lock::{into_inner, lock};
use crate::content::Kind;
use crate::oci::{Descriptor, Digest, Repository};
use crate::receipt::How;

/// Size in bytes from which a blob is looked for in every repository that needs it before it is
/// sent. Sending a smaller one costs about as much as the questions.
const WORTH_ASKING: u64 = 1 << 20;

/// Looks for the blobs of all jobs.
pub(super) fn look(context: &Context, work: &Work, names: &NewNames) -> Result<(), Fault> {
    let mut known = implied(context, work);
    let mut needed: BTreeMap<Digest, (Descriptor, BTreeSet<&Repository>)> = BTreeMap::new();
    for job in work.jobs.iter().filter(|job| !job.is_out()) {
        let needs = lock(&job.needs);
        for leaf in needs.leaves.iter().filter(|leaf| context.request.goal.has(&leaf.digest)) {
            needed.entry(leaf.digest).or_insert_with(|| (leaf.clone(), BTreeSet::new())).1.insert(&job.repository);
        }
    }
    let mounts = context.destination.mounts().is_some();
    if mounts {
        let siblings = context.request.siblings.into_iter().flatten();
        known.extend(siblings.filter(|(digest, _)| needed.contains_key(digest)).map(|(d, r)| (*d, r.clone())));
    }
    let needed: Vec<(Descriptor, BTreeSet<&Repository>)> = needed.into_values().collect();
    let found: Mutex<HashSet<(&Repository, Digest)>> = Mutex::default();
    context.workers.each(&needed, |(blob, places)| {
        if mounts && known.contains_key(&blob.digest) {
            return Ok(());
        }
        let asked = places.iter().filter(|place| !names.is_new(place));
        let most = if mounts && blob.size < WORTH_ASKING { 1 } else { usize::MAX };
        for &place in asked.take(most) {
            context.workers.check()?;
            match context.destination.has_blob(place, blob) {
                Ok(true) => {
                    lock(&found).insert((place, blob.digest));
                    if mounts {
                        break;
                    }
                }
                Err(error) if error.class == Kind::Cancelled => return Err(context.at_destination(error)),
                // After an error it is asked again when it is sent, and what then fails is told.
                Ok(false) | Err(_) => {}
            }
        }
        Ok(())
    })?;
    let found = into_inner(found);
    known.extend(found.iter().map(|(place, digest)| (*digest, (*place).clone())));
    work.there.found.fetch_add(found.len() as u64, Ordering::Relaxed);
    for job in &work.jobs {
        let mut needs = lock(&job.needs);
        let is_found = |leaf: &Descriptor| found.contains(&(&job.repository, leaf.digest));
        let (there, missing): (Vec<_>, Vec<_>) = std::mem::take(&mut needs.leaves).into_iter().partition(is_found);
        there.iter().for_each(|leaf| context.notes.add(&job.repository, leaf, How::Found));
        needs.found.extend(there);
        needs.leaves = missing;
    }
    *lock(&work.there.known) = known;
    Ok(())
}

/// Returns, for the blobs of documents that are there, the repository of one of these.
fn implied(context: &Context, work: &Work) -> HashMap<Digest, Repository> {
    let mut known = HashMap::new();
    if !context.destination.keeps_whole() {
        return known;
    }
    for job in work.jobs.iter().filter(|job| !job.is_out()) {
        let missing: HashSet<Digest> = lock(&job.needs).documents.iter().copied().collect();
        let there = job.documents.iter().filter(|digest| !missing.contains(digest));
        for leaf in there.filter_map(|digest| work.shapes.get(digest)).flat_map(|shape| &shape.leaves) {
            if !work.absent.contains_key(&leaf.digest) {
                known.entry(leaf.digest).or_insert_with(|| job.repository.clone());
            }
        }
    }
    known
}
