//! The outcome of an import, artifact by artifact.

use std::collections::HashSet;

use crate::base::fault::{Class, Fault};
use crate::base::lock::lock;
use crate::oci::{Digest, Repository, Tag};

use super::work::{Work, flat};

/// The outcome of one artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landed {
    /// Pushed, in part or whole, or tagged anew. In a dry run: would be.
    Pushed,
    /// All of it was there.
    Present,
    /// It was taken and tagged, and the destination does not let it be read: what it says.
    Unread(String),
    /// It was not taken; nothing of it was tagged unless the fault came with the tags.
    Failed(Fault),
}

/// One artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The source's repository.
    pub repository: Repository,
    /// The destination's.
    pub destination: Repository,
    /// Its digest, at both.
    pub digest: Digest,
    /// The tags that name it at the destination now.
    pub tags: Vec<Tag>,
    /// The tags that name something else there and were kept.
    pub kept: Vec<Tag>,
    /// Its outcome.
    pub landed: Landed,
}

/// The whole import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Every artifact, in the request's order.
    pub artifacts: Vec<Done>,
    /// Blobs sent. In a dry run: blobs that would be looked for, and sent if they are missing.
    pub pushed: u64,
    /// Blobs taken over from another repository of the destination.
    pub mounted: u64,
    /// Blobs that were there, in repositories where they were looked for.
    pub present: u64,
    /// Bytes of the blobs sent.
    pub bytes: u64,
}

impl Imported {
    /// Adds what a second round sent.
    pub(super) fn add(&mut self, round: &Self) {
        self.pushed += round.pushed;
        self.mounted += round.mounted;
        self.bytes += round.bytes;
    }

    /// Whether every artifact is at the destination.
    pub fn is_good(&self) -> bool {
        self.fault().is_none()
    }

    /// [`Class::Partial`] with each artifact's own fault among its others, when any failed or could not be read back.
    pub fn fault(&self) -> Option<Fault> {
        let (mut failed, mut unread) = (Vec::new(), Vec::new());
        for done in &self.artifacts {
            match &done.landed {
                Landed::Failed(fault) => failed.push(fault.clone()),
                Landed::Unread(words) => {
                    let what = format!("{}@{}: taken, but it cannot be read: {words}", done.destination, done.digest);
                    unread.push(Fault::new(Class::Partial, what));
                }
                Landed::Pushed | Landed::Present => {}
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
                "mend what is listed and run the import again",
            ),
            (count, blocked) => (
                format!("{count} of {all} artifacts were not imported, and {blocked} cannot be read back"),
                "mend what is listed and run the import again",
            ),
        };
        let mut fault = Fault::new(Class::Partial, what).help(help);
        fault.others = failed.into_iter().chain(unread).flat_map(flat).collect();
        Some(fault)
    }
}

pub(super) fn list(work: &Work) -> Vec<Done> {
    work.jobs
        .iter()
        .map(|job| {
            let needs = lock(&job.needs);
            let unread = lock(&job.unread).clone();
            let landed = match (&*lock(&job.failed), unread) {
                (Some(fault), _) => Landed::Failed(fault.clone()),
                (None, Some(words)) => Landed::Unread(words),
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
            }
        })
        .collect()
}
