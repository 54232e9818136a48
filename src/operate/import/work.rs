//! The work of an import: a job for each artifact, and the content of each document. The stages
//! fill in these values.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use crate::base::fault::Fault;
use crate::base::lock::lock;
use crate::oci::{Absent, Artifact, Descriptor, Digest, Repository, Tag};

/// The direct content of a document; descriptors without their annotations.
pub(super) struct Shape {
    pub descriptor: Descriptor,
    pub leaves: Vec<Descriptor>,
    pub children: Vec<Digest>,
    /// Document that it refers to.
    pub subject: Option<Digest>,
    /// Its type as a referrer, stated or that of its configuration.
    pub shown_type: Option<String>,
    /// Whether a platform filter left out a child.
    pub is_sparse: bool,
    /// Length of the longest path down to a document without children.
    pub height: usize,
}

/// One artifact's part of the run.
pub(super) struct Job<'a> {
    pub artifact: &'a Artifact,
    /// Index of the artifact in the request.
    pub number: usize,
    /// Repository at the destination.
    pub repository: Repository,
    /// Its carried documents, children before parents; the artifact's own is the last.
    pub documents: Vec<Digest>,
    /// Its documents that could not be obtained at export.
    pub missing: Vec<Digest>,
    pub needs: Mutex<Needs>,
    /// Fault, if it is not imported.
    pub failed: Mutex<Option<Fault>>,
    /// Position of the original of a cut index that it belongs to, its own for the original itself.
    pub original: Option<usize>,
    /// Reason, if the destination does not take that original.
    pub left: Mutex<Option<String>>,
    /// The answer of the destination to reads of content that it accepted and refuses to return.
    pub unread: Mutex<Option<String>>,
    /// Whether the destination does not have some of its content, after it was sent.
    pub doubt: Mutex<Doubt>,
}

/// State of a doubt whether the destination keeps what it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Doubt {
    /// There is none.
    #[default]
    None,
    /// It said that it does not have everything.
    Raised,
    /// Everything was looked for, and sent again if it was missing.
    Settled,
}

/// An artifact that is left out.
pub(super) struct LeftOut<'a> {
    pub artifact: &'a Artifact,
    /// Index of the artifact in the request.
    pub number: usize,
    /// Repository at the destination.
    pub repository: Repository,
}

/// The parts of a job that are missing at the destination; known after the preflight.
#[derive(Default)]
pub(super) struct Needs {
    pub documents: Vec<Digest>,
    /// Blobs to bring there.
    pub leaves: Vec<Descriptor>,
    /// Blobs of missing documents that are there already.
    pub found: Vec<Descriptor>,
    /// Number of its documents that were not asked for, because an index that is there, or a list of
    /// referrers, implies them.
    pub implied: u64,
    /// Base blobs that must be there.
    pub bases: Vec<Descriptor>,
    /// Number of base blobs that were mounted for it, or in a dry run would be.
    pub mounted: u64,
    pub tags: Vec<Tag>,
    /// Digests that those of `tags` that exist name now.
    pub moved: HashMap<Tag, Digest>,
    pub kept: Vec<Tag>,
    /// Whether the destination was queried.
    pub is_known: bool,
    /// Whether everything was done for it, including its tags.
    pub is_tagged: bool,
}

pub(super) struct Work<'a> {
    pub jobs: Vec<Job<'a>>,
    /// Referrers that the request leaves out.
    pub left_out: Vec<LeftOut<'a>>,
    pub shapes: HashMap<Digest, Shape>,
    pub absent: HashMap<Digest, &'a Absent>,
    pub there: There,
}

/// Facts about the destination that the stages find.
#[derive(Default)]
pub(super) struct There {
    /// A repository that has the blob, by digest.
    pub known: Mutex<HashMap<Digest, Repository>>,
    /// Documents that were put there by this run.
    pub put: Mutex<HashSet<(Repository, Digest)>>,
    /// Forms of documents that it refused, and how.
    pub refused: Mutex<HashMap<Form, Fault>>,
    /// Number of blobs that were there where they were looked for.
    pub found: AtomicU64,
}

/// A form of documents, of which a place takes all or none: media type, and type as shown.
pub(super) type Form = (String, Option<String>);

impl Shape {
    /// Returns the form of the document.
    pub(super) fn form(&self) -> Form {
        (self.descriptor.media_type.clone(), self.shown_type.clone())
    }
}

impl Job<'_> {
    /// Returns whether it takes no further part: it failed, or it is left.
    pub(super) fn is_out(&self) -> bool {
        lock(&self.failed).is_some() || lock(&self.left).is_some()
    }

    /// Notes that the destination does not have some of it. Returns `false` if that was looked into
    /// before.
    pub(super) fn raise_doubt(&self) -> bool {
        let mut doubt = lock(&self.doubt);
        if *doubt == Doubt::Settled {
            return false;
        }
        *doubt = Doubt::Raised;
        true
    }

    /// Returns whether it is to be looked for.
    pub(super) fn is_doubtful(&self) -> bool {
        *lock(&self.doubt) == Doubt::Raised
    }

    /// Records why it is left; only the first reason is kept.
    pub(super) fn leave(&self, reason: String) {
        lock(&self.left).get_or_insert(reason);
    }

    /// Reports whether some of it was accepted and cannot be read.
    pub(super) fn is_unread(&self) -> bool {
        lock(&self.unread).is_some()
    }

    /// Records that the destination accepted content and refuses to return it; the first answer is kept.
    pub(super) fn refuse_reading(&self, what: &str) {
        lock(&self.unread).get_or_insert_with(|| what.to_owned());
    }

    /// Records a fault; only the first one is kept.
    pub(super) fn fail(&self, fault: Fault) {
        lock(&self.failed).get_or_insert(fault);
    }

    /// Adds faults to those already recorded.
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
