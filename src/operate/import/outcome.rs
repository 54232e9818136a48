//! The outcome of an import, artifact by artifact.

use std::collections::HashSet;

use crate::base::fault::{Class, Fault};
use crate::base::lock::lock;
use crate::oci::{Digest, Repository, Tag};

use super::plan::{Plan, Planned};
use super::work::{Job, Work, flat};

/// The outcome of one artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landed {
    /// Pushed in part or whole, or newly tagged. In a dry run: would be.
    Pushed,
    /// All of it was already there.
    Present,
    /// It was taken and tagged, and the destination does not let it be read: what it says.
    Unread(String),
    /// Left out, as requested: a referrer.
    LeftOut,
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
    /// The plan that was made for it.
    pub plan: Planned,
}

/// Result of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// All artifacts, in the request's order.
    pub artifacts: Vec<Done>,
    /// Number of blobs sent. In a dry run: blobs that would be sent.
    pub pushed: u64,
    /// Number of blobs mounted from another repository of the destination.
    pub mounted: u64,
    /// Number of blobs that were already there, in repositories where they were looked for.
    pub present: u64,
    /// Bytes of the blobs sent.
    pub bytes: u64,
    /// The plan.
    pub plan: Plan,
}

impl Imported {
    /// Adds the counts of a second round.
    pub(super) fn add(&mut self, round: &Self) {
        self.pushed += round.pushed;
        self.mounted += round.mounted;
        self.present += round.present;
        self.bytes += round.bytes;
    }

    /// Returns whether every artifact is at the destination.
    pub fn is_good(&self) -> bool {
        self.fault().is_none()
    }

    /// Returns a [`Class::Partial`] fault that includes the faults of all artifacts that failed or cannot be read back, if
    /// there are any.
    pub fn fault(&self) -> Option<Fault> {
        let (mut failed, mut unread) = (Vec::new(), Vec::new());
        for done in &self.artifacts {
            match &done.landed {
                Landed::Failed(fault) => failed.push(fault.clone()),
                Landed::Unread(words) => {
                    let what = format!("{}@{}: taken, but it cannot be read: {words}", done.destination, done.digest);
                    unread.push(Fault::new(Class::Partial, what));
                }
                Landed::Pushed | Landed::Present | Landed::LeftOut | Landed::Left(_) => {}
            }
        }
        let all = self.artifacts.len();
        let (what, help) = match (failed.len(), unread.len()) {
            (0, 0) => return None,
            (0, count) => (
                format!("{count} of {all} artifacts were imported and cannot be read back"),
                "ask whoever runs the registry why it gives nobody what it took: a scan, a quarantine or a signature rule",
            ),
            (count, 0) => (
                format!("{count} of {all} artifacts were not imported"),
                "fix the listed faults and run the import again",
            ),
            (count, blocked) => (
                format!("{count} of {all} artifacts were not imported, and {blocked} cannot be read back"),
                "fix the listed faults and run the import again",
            ),
        };
        let mut fault = Fault::new(Class::Partial, what).help(help);
        fault.others = failed.into_iter().chain(unread).flat_map(flat).collect();
        Some(fault)
    }
}

pub(super) fn list(work: &Work, plan: &Plan) -> Vec<Done> {
    let left_out = work.left_out.iter().map(|one| {
        let done = Done {
            repository: one.artifact.repository.clone(),
            destination: one.repository.clone(),
            digest: one.artifact.digest,
            tags: Vec::new(),
            kept: Vec::new(),
            landed: Landed::LeftOut,
            plan: Planned::default(),
        };
        (one.number, done)
    });
    let mut all: Vec<(usize, Done)> =
        work.jobs.iter().map(|job| (job.number, done(job, plan))).chain(left_out).collect();
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, done)| done).collect()
}

fn done(job: &Job, plan: &Plan) -> Done {
    let needs = lock(&job.needs);
    let (unread, left) = (lock(&job.unread).clone(), lock(&job.left).clone());
    let landed = match (&*lock(&job.failed), unread.map(Landed::Unread).or(left.map(Landed::Left))) {
        (Some(fault), _) => Landed::Failed(fault.clone()),
        (None, Some(landed)) => landed,
        (None, None) if needs.documents.is_empty() && needs.tags.is_empty() => Landed::Present,
        (None, None) => Landed::Pushed,
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
        plan: plan.artifacts.get(&job.number).cloned().unwrap_or_default(),
    }
}
