//! The outcome of an import, artifact by artifact.

use std::collections::HashSet;

use crate::base::fault::{Class, Fault};
use crate::base::lock::lock;
use crate::oci::{Digest, Repository, Tag};

use super::work::{Work, flat};

/// The outcome of one artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landed {
    /// Pushed in part or whole, or newly tagged. In a dry run: would be.
    Pushed,
    /// All of it was already there.
    Present,
    /// Not imported, without being a failure: the original of a cut index that the destination does
    /// not take, or something that refers to it. Holds the reason.
    Left(String),
    /// Not imported. Nothing of it was tagged, unless the fault occurred while setting tags.
    Failed(Fault),
}

/// Result for one artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Repository at the source.
    pub repository: Repository,
    /// Repository at the destination.
    pub destination: Repository,
    /// Digest, the same on both sides.
    pub digest: Digest,
    /// Tags that now name it at the destination.
    pub tags: Vec<Tag>,
    /// Tags that name something else there and were kept.
    pub kept: Vec<Tag>,
    /// Its outcome.
    pub landed: Landed,
}

/// Result of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// All artifacts, in the request's order.
    pub artifacts: Vec<Done>,
    /// Number of blobs sent. In a dry run: blobs that would be looked for, and sent if missing.
    pub pushed: u64,
    /// Number of blobs mounted from another repository of the destination.
    pub mounted: u64,
    /// Number of blobs that were already there, in repositories where they were looked for.
    pub present: u64,
    /// Bytes of the blobs sent.
    pub bytes: u64,
}

impl Imported {
    /// Adds the counts of a second round.
    pub(super) fn add(&mut self, round: &Self) {
        self.pushed += round.pushed;
        self.mounted += round.mounted;
        self.bytes += round.bytes;
    }

    /// Returns whether every artifact is at the destination.
    pub fn is_good(&self) -> bool {
        self.fault().is_none()
    }

    /// Returns a [`Class::Partial`] fault that includes the faults of all failed artifacts, if any
    /// failed.
    pub fn fault(&self) -> Option<Fault> {
        let failed = self.artifacts.iter().filter_map(|done| match &done.landed {
            Landed::Failed(fault) => Some(fault.clone()),
            Landed::Pushed | Landed::Present | Landed::Left(_) => None,
        });
        let failed: Vec<Fault> = failed.collect();
        if failed.is_empty() {
            return None;
        }
        let what = format!("{} of {} artifacts were not imported", failed.len(), self.artifacts.len());
        let mut fault = Fault::new(Class::Partial, what).help("fix the listed faults and run the import again");
        fault.others = failed.into_iter().flat_map(flat).collect();
        Some(fault)
    }
}

pub(super) fn list(work: &Work) -> Vec<Done> {
    work.jobs
        .iter()
        .map(|job| {
            let needs = lock(&job.needs);
            let left = lock(&job.left).clone();
            let landed = match &*lock(&job.failed) {
                Some(fault) => Landed::Failed(fault.clone()),
                None if left.is_some() => Landed::Left(left.unwrap_or_default()),
                None if needs.documents.is_empty() && needs.tags.is_empty() => Landed::Present,
                None => Landed::Pushed,
            };
            let mut gone: HashSet<&Tag> = needs.kept.iter().collect();
            if matches!(landed, Landed::Failed(_)) {
                gone.extend(&needs.tags);
            }
            let stands = |tag: &&Tag| !gone.contains(tag);
            Done {
                repository: job.artifact.repository.clone(),
                destination: job.repository.clone(),
                digest: job.artifact.digest,
                tags: job.artifact.tags.iter().filter(stands).cloned().collect(),
                kept: needs.kept.clone(),
                landed,
            }
        })
        .collect()
}
