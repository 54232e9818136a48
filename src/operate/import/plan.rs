//! The plan of an import: what it sends, mounts and skips, for each artifact, and how many requests
//! that takes. Made after the destination was looked at and before the first push.
//!
//! A value; the stages perform the same tasks.

use std::collections::{BTreeSet, HashMap};

use super::blobs::{self, Which};
use super::context::Context;
use super::work::{Job, Work};
use crate::base::lock::lock;
use crate::oci::{Digest, Repository, Tag};

/// Requests for one sent blob: an upload is opened, and the content sent.
const PER_BLOB: u64 = 2;
/// Requests for a tag: it is asked for, set, and read back.
const PER_TAG: u64 = 3;
/// Requests for a list of referrers that the client keeps: it is read, written, and read back.
const PER_LIST: u64 = 3;
/// Requests for a repository where no blob is sent: an upload that shows the rights, and its end.
const PER_REPOSITORY: u64 = 2;

/// The plan for one artifact. Content that several artifacts need counts for the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// Number of blobs to send.
    pub sent: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Number of blobs to mount from another repository of the place, or that share its storage.
    pub mounted: u64,
    /// Number of blobs that were looked for and are there.
    pub found: u64,
    /// Number of manifests to send.
    pub manifests: u64,
    /// Number of manifests that an index which is there implies.
    pub implied: u64,
    /// Tags to set.
    pub tags: Vec<Tag>,
    /// Tags among these that name something else now, with its digest.
    pub moved: Vec<(Tag, Digest)>,
}

/// The sum over all artifacts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Number of blobs to send.
    pub sent: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Number of blobs to mount.
    pub mounted: u64,
    /// Number of manifests to send.
    pub manifests: u64,
    /// Number of manifests that are implied.
    pub implied: u64,
    /// Number of tags to set.
    pub tags: u64,
    /// Expected number of further requests; 0 for a place that is not asked by requests.
    pub requests: u64,
}

/// The plan of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The artifacts, by their index in the request.
    pub artifacts: HashMap<usize, Planned>,
    /// The sum.
    pub sum: Sum,
}

impl Plan {
    /// Makes the plan.
    pub(super) fn of(context: &Context, work: &Work) -> Self {
        let mut plan = Self::default();
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
            planned.add(job, work, &mut seen, &mut lists);
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
            let plain = written.difference(&with_blobs).count() as u64;
            let Sum { sent, mounted, manifests, tags, .. } = plan.sum;
            plan.sum.requests = sent * PER_BLOB + mounted + manifests + tags * PER_TAG + own + plain * PER_REPOSITORY;
        }
        plan
    }
}

impl Planned {
    fn add<'w>(
        &mut self,
        job: &'w Job,
        work: &Work,
        seen: &mut BTreeSet<(&'w Repository, Digest)>,
        lists: &mut BTreeSet<(&'w Repository, Digest)>,
    ) {
        let needs = lock(&job.needs);
        for digest in &needs.documents {
            if seen.insert((&job.repository, *digest)) {
                self.manifests += 1;
                let subject = work.shapes.get(digest).and_then(|shape| shape.subject);
                lists.extend(subject.map(|subject| (&job.repository, subject)));
            }
        }
        let found = needs.found.iter().filter(|leaf| seen.insert((&job.repository, leaf.digest)));
        self.found = found.count() as u64;
        self.implied = needs.implied;
        self.tags.clone_from(&needs.tags);
        self.moved = needs.tags.iter().filter_map(|tag| Some((tag.clone(), *needs.moved.get(tag)?))).collect();
    }
}
