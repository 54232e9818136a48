//! Notes in the state which tags are about to be set, and which were read back.
//!
//! The first note is durable before the first tag is set, so that a run that is killed in between
//! does not forget what it set.

use super::context::Context;
use super::request::{Intended, Named};
use super::work::{Job, Work};
use crate::base::fault::Fault;
use crate::base::lock::lock;
use crate::oci::{Digest, Tag};

/// Notes the tags of all jobs that are to be set.
pub(super) fn intend(context: &Context, work: &Work) -> Result<(), Fault> {
    let Some(book) = context.request.tag_book else { return Ok(()) };
    let jobs: Vec<&Job> = work.jobs.iter().filter(|job| !job.is_out()).collect();
    let tags: Vec<Vec<(Tag, Option<Digest>)>> = (jobs.iter())
        .map(|job| {
            let needs = lock(&job.needs);
            needs.tags.iter().map(|tag| (tag.clone(), needs.moved.get(tag).copied())).collect()
        })
        .collect();
    let all: Vec<Intended<'_>> = (jobs.iter().zip(&tags))
        .flat_map(|(job, tags)| {
            tags.iter().map(|(tag, found)| Intended {
                repository: &job.repository,
                tag,
                found: *found,
                digest: job.artifact.digest,
            })
        })
        .collect();
    if all.is_empty() { Ok(()) } else { book.intend(&all) }
}

/// Notes the tags that name what they should, whether or not this run set them.
pub(super) fn record(context: &Context, work: &Work) -> Result<(), Fault> {
    let Some(book) = context.request.tag_book else { return Ok(()) };
    let mut all: Vec<Named<'_>> = Vec::new();
    for job in work.jobs.iter().filter(|job| !job.is_out()) {
        let needs = lock(&job.needs);
        if needs.is_tagged {
            let named = job.artifact.tags.iter().filter(|tag| !needs.kept.contains(tag));
            all.extend(named.map(|tag| (&job.repository, tag, job.artifact.digest)));
        }
    }
    if all.is_empty() { Ok(()) } else { book.record(&all) }
}
