//! Lists of referrers for documents that were at the destination before this run. An import that
//! was interrupted between a document and its entry left the document there but not in the list,
//! and nothing else would detect that.
//!
//! Applies only if the client maintains such lists. Sends no document.

use std::collections::{BTreeMap, HashSet};

use crate::base::fault::{Class, Fault};
use crate::base::lock::lock;
use crate::oci::{Digest, Repository};

use super::context::Context;
use super::work::{Job, Work};

/// Adds documents that were not pushed because they were there to their lists.
pub(super) fn look(context: &Context, work: &Work) -> Result<(), Fault> {
    let Some(lists) = context.destination.lists() else { return Ok(()) };
    let mut tasks: BTreeMap<(&Repository, Digest), Vec<&Job>> = BTreeMap::new();
    for job in work.jobs.iter().filter(|job| !job.is_out()) {
        let pushed: HashSet<Digest> = lock(&job.needs).documents.iter().copied().collect();
        for digest in job.documents.iter().filter(|digest| !pushed.contains(digest)) {
            if work.shapes.get(digest).is_some_and(|shape| shape.has_subject) {
                tasks.entry((&job.repository, *digest)).or_default().push(job);
            }
        }
    }
    let tasks: Vec<_> = tasks.into_iter().collect();
    context.workers.each(&tasks, |((repository, digest), jobs)| {
        let (Some(shape), Some(first)) = (work.shapes.get(digest), jobs.first()) else { return Ok(()) };
        let document = context.documents.get(&first.artifact.repository, &shape.descriptor)?;
        match lists.list_present(repository, &document).map_err(|error| context.at_destination(error)) {
            Err(fault) if !context.request.keep_going || fault.class == Class::Cancelled => return Err(fault),
            Err(fault) => jobs.iter().for_each(|job| job.fail(fault.clone())),
            Ok(()) => {}
        }
        Ok(())
    })
}
