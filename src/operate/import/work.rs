//! The work of an import: a job for each artifact, and what each document holds. Values that the stages fill in.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::base::fault::Fault;
use crate::base::lock::lock;
use crate::oci::{Absent, Artifact, Descriptor, Digest, Repository, Tag};

/// The direct content of a document; descriptors without their annotations.
pub(super) struct Shape {
    pub descriptor: Descriptor,
    pub leaves: Vec<Descriptor>,
    pub children: Vec<Digest>,
    /// It refers to another document.
    pub has_subject: bool,
    /// Some child was left out by a platform filter.
    pub is_sparse: bool,
    /// Longest way down to a document without children.
    pub height: usize,
}

/// One artifact's part of the run.
pub(super) struct Job<'a> {
    pub artifact: &'a Artifact,
    /// The destination's repository.
    pub repository: Repository,
    /// Its documents that are carried, children before parents; the artifact's own is the last.
    pub documents: Vec<Digest>,
    /// Documents of it that were not to be had at export.
    pub missing: Vec<Digest>,
    pub needs: Mutex<Needs>,
    /// Why it is not imported.
    pub failed: Mutex<Option<Fault>>,
    /// What the destination says to whoever wants to read what it took of it, where it refuses.
    pub unread: Mutex<Option<String>>,
}

/// The parts of a job that are missing at the destination; known after the preflight.
#[derive(Default)]
pub(super) struct Needs {
    pub documents: Vec<Digest>,
    pub leaves: Vec<Descriptor>,
    /// Base blobs that must be there.
    pub bases: Vec<Descriptor>,
    /// How many of them were taken over for it, or in a dry run would be.
    pub mounted: u64,
    pub tags: Vec<Tag>,
    pub kept: Vec<Tag>,
    /// The destination was asked.
    pub is_known: bool,
    /// All was done for it, its tags included.
    pub is_tagged: bool,
}

pub(super) struct Work<'a> {
    pub jobs: Vec<Job<'a>>,
    pub shapes: HashMap<Digest, Shape>,
    pub absent: HashMap<Digest, &'a Absent>,
}

impl Job<'_> {
    pub(super) fn has_failed(&self) -> bool {
        lock(&self.failed).is_some()
    }

    /// Whether something of it was taken and cannot be read.
    pub(super) fn is_unread(&self) -> bool {
        lock(&self.unread).is_some()
    }

    /// Records that the destination took something of it and does not let it be read; the first words stay.
    pub(super) fn refuse_reading(&self, what: &str) {
        lock(&self.unread).get_or_insert_with(|| what.to_owned());
    }

    /// Records a fault; the first one stays.
    pub(super) fn fail(&self, fault: Fault) {
        lock(&self.failed).get_or_insert(fault);
    }

    /// Adds faults to what it has.
    pub(super) fn fail_also(&self, faults: Vec<Fault>) {
        let mut failed = lock(&self.failed);
        let all = failed.take().into_iter().flat_map(flat).chain(faults).collect();
        *failed = Fault::from_list(all);
    }
}

/// Returns a fault and its others as one flat list.
pub(super) fn flat(mut fault: Fault) -> Vec<Fault> {
    let others = std::mem::take(&mut fault.others);
    std::iter::once(fault).chain(others).collect()
}
