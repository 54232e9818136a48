//! Lists of referrers that clients keep: adds the documents of this run, and those that were there
//! before it. An import that was interrupted between a document and its entry left the document
//! there but not in the list, and nothing else would detect that.
//!
//! Applies only if the client maintains such lists. Sends no document.

use std::collections::{BTreeMap, HashSet};

use crate::base::fault::{Class, Fault};
use crate::base::lock::lock;
use crate::content::Lists;
use crate::oci::{Digest, Document, Repository};

use super::context::Context;
use super::work::{Job, Work};

/// A document that refers to another one, and whether this run pushed it.
struct Referrer<'w> {
    job: &'w Job<'w>,
    digest: Digest,
    is_new: bool,
}

/// Writes every list once, with all its documents.
pub(super) fn look(context: &Context, work: &Work) -> Result<(), Fault> {
    let Some(lists) = context.destination.lists() else { return Ok(()) };
    let mut tasks: BTreeMap<(&Repository, Digest), Vec<Referrer>> = BTreeMap::new();
    for job in work.jobs.iter().filter(|job| !job.is_out()) {
        let pushed: HashSet<Digest> = lock(&job.needs).documents.iter().copied().collect();
        for &digest in &job.documents {
            let subject = work.shapes.get(&digest).and_then(|shape| shape.subject);
            if let Some(subject) = subject {
                let referrer = Referrer { job, digest, is_new: pushed.contains(&digest) };
                tasks.entry((&job.repository, subject)).or_default().push(referrer);
            }
        }
    }
    let tasks: Vec<_> = tasks.into_iter().collect();
    context.workers.each(&tasks, |((repository, subject), referrers)| {
        match write(context, work, lists, (repository, *subject), referrers) {
            Err(fault) if !context.request.keep_going || fault.class == Class::Cancelled => return Err(fault),
            Err(fault) => referrers.iter().for_each(|one| one.job.fail(fault.clone())),
            Ok(()) => {}
        }
        Ok(())
    })
}

fn write(
    context: &Context,
    work: &Work,
    lists: &dyn Lists,
    (repository, subject): (&Repository, Digest),
    referrers: &[Referrer],
) -> Result<(), Fault> {
    for one in referrers.iter().filter(|one| !one.is_new) {
        let Some(shape) = work.shapes.get(&one.digest) else { continue };
        let document: Document = context.documents.get(&one.job.artifact.repository, &shape.descriptor)?;
        lists.note_present(repository, &document).map_err(|error| context.at_destination(error))?;
    }
    lists.write(repository, subject).map_err(|error| context.at_destination(error))
}
