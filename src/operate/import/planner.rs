//! Makes the plan of an import from what was found at the destination: by the same tasks that the
//! stages perform.

use std::collections::BTreeSet;

use super::blobs::{self, Which};
use super::context::Context;
use super::plan::{Plan, Planned, Sum};
use super::work::{Job, Work};
use crate::base::lock::lock;
use crate::oci::{Digest, Repository};

/// Requests for one sent blob: an upload is opened, and the content sent.
const PER_BLOB: u64 = 2;
/// Requests for a tag: it is asked for, set, and read back.
const PER_TAG: u64 = 3;
/// Requests for a list of referrers that the client keeps: it is read, written, and read back.
const PER_LIST: u64 = 3;
/// Requests for a repository where no blob is sent: an upload that shows the rights, and its end.
const PER_REPOSITORY: u64 = 2;

/// Makes the plan.
pub(super) fn make(context: &Context, work: &Work) -> Plan {
    let mut plan = Plan::default();
    let mounts = context.destination.mounts().is_some();
    let known = lock(&work.there.known).clone();
    let mut with_blobs: BTreeSet<&Repository> = BTreeSet::new();
    for task in blobs::tasks(context, work, &Which::Rest) {
        let mut is_there = known.contains_key(&task.blob.digest);
        for (repository, jobs) in &task.to {
            let Some(job) = jobs.first() else { continue };
            let planned = plan.artifacts.entry(job.number).or_default();
            if std::mem::replace(&mut is_there, true) {
                planned.mounted += 1;
            } else {
                planned.sent += 1;
                planned.bytes += task.blob.size;
                with_blobs.insert(repository);
            }
        }
    }
    let mut seen: BTreeSet<(&Repository, Digest)> = BTreeSet::new();
    let (mut lists, mut written) = (BTreeSet::new(), BTreeSet::new());
    for job in work.jobs.iter().filter(|job| !job.is_out()) {
        let planned = plan.artifacts.entry(job.number).or_default();
        add(planned, job, work, &mut seen, &mut lists);
        if planned.manifests > 0 || !planned.tags.is_empty() {
            written.insert(&job.repository);
        }
    }
    for planned in plan.artifacts.values() {
        plan.sum.sent += planned.sent;
        plan.sum.bytes += planned.bytes;
        plan.sum.mounted += planned.mounted;
        plan.sum.manifests += planned.manifests;
        plan.sum.implied += planned.implied;
        plan.sum.tags += planned.tags.len() as u64;
    }
    if mounts {
        let own = if context.destination.lists().is_some() { lists.len() as u64 * PER_LIST } else { 0 };
        let without = written.difference(&with_blobs).count() as u64;
        let Sum { sent, mounted, manifests, tags, .. } = plan.sum;
        plan.sum.requests = sent * PER_BLOB + mounted + manifests + tags * PER_TAG + own + without * PER_REPOSITORY;
    }
    plan
}

/// Adds what is to be done for a job, besides its blobs.
fn add<'w>(
    planned: &mut Planned,
    job: &'w Job,
    work: &Work,
    seen: &mut BTreeSet<(&'w Repository, Digest)>,
    lists: &mut BTreeSet<(&'w Repository, Digest)>,
) {
    let needs = lock(&job.needs);
    for digest in &needs.documents {
        if seen.insert((&job.repository, *digest)) {
            planned.manifests += 1;
            let subject = work.shapes.get(digest).and_then(|shape| shape.subject);
            lists.extend(subject.map(|subject| (&job.repository, subject)));
        }
    }
    let found = needs.found.iter().filter(|leaf| seen.insert((&job.repository, leaf.digest)));
    planned.found = found.count() as u64;
    planned.implied = needs.implied;
    planned.tags.clone_from(&needs.tags);
    planned.moved = needs.tags.iter().filter_map(|tag| Some((tag.clone(), *needs.moved.get(tag)?))).collect();
}
