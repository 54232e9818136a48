//! Facts that a cache knows besides its store: which tags it has and when to look at them again, which
//! blobs its manifests name, which manifests refer to which.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::oci::media_type::document_kind;
use crate::oci::{Digest, Document, Repository, Tag};

/// A tag in the cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptTag {
    pub(super) digest: Digest,
    /// When to look at it again; `None`: now.
    pub(super) next: Option<Duration>,
}

/// All of it.
#[derive(Default)]
pub(super) struct Known {
    pub(super) tags: BTreeMap<Repository, BTreeMap<Tag, KeptTag>>,
    /// Sizes of blobs that manifests name.
    pub(super) leaves: HashMap<Digest, u64>,
    /// Manifests that indexes name.
    pub(super) children: HashSet<Digest>,
    pub(super) referrers: HashMap<Digest, BTreeSet<Digest>>,
    /// Lists of tags, and until when they count.
    pub(super) lists: HashMap<Repository, (Duration, Vec<Tag>)>,
    /// Subjects whose referrers were listed, and until when that counts.
    pub(super) listed: HashMap<(Repository, Digest), Duration>,
    /// Warnings that were given.
    pub(super) warned: HashSet<String>,
}

impl Known {
    /// Remembers everything that a manifest names.
    pub(super) fn learn(&mut self, document: &Document) {
        for leaf in document.config().into_iter().chain(document.layers()) {
            self.leaves.insert(leaf.digest, leaf.size);
        }
        for child in document.manifests() {
            if document_kind(&child.media_type).is_some() {
                self.children.insert(child.digest);
            } else {
                self.leaves.insert(child.digest, child.size);
            }
        }
        if let Some(subject) = document.subject() {
            self.referrers.entry(subject.digest).or_default().insert(document.digest());
        }
    }

    pub(super) fn tag(&self, repository: &Repository, tag: &Tag) -> Option<KeptTag> {
        self.tags.get(repository)?.get(tag).copied()
    }

    pub(super) fn set_tag(&mut self, repository: &Repository, tag: &Tag, kept: KeptTag) {
        self.tags.entry(repository.clone()).or_default().insert(tag.clone(), kept);
    }
}
