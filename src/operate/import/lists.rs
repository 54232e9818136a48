//! The lists of referrers of what was at the destination before this run: an import that was ended between a document and
//! its entry left the document there and the list without it, and nothing else would ever look.
//!
//! Only where whoever pushes keeps such lists. Sends no document.

use std::collections::{BTreeMap, HashSet};

use crate::base::fault::{Class, Fault};
use crate::base::lock::lock;
use crate::oci::{Digest, Repository};

use super::context::Context;
use super::work::{Job, Work};

/// Makes the lists name what was not pushed because it was there.
pub(super) fn look(context: &Context, work: &Work) -> Result<(), Fault> {
    let Some(lists) = context.destination.lists() else { return Ok(()) };
    let mut tasks: BTreeMap<(&Repository, Digest), Vec<&Job>> = BTreeMap::new();
    for job in work.jobs.iter().filter(|job| !job.has_failed()) {
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
