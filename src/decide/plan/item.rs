//! A document that is to be fetched, and why it is needed.

use std::sync::Arc;

use super::ask::Subject;
use super::roots::{Cuts, Root};
use crate::decide::select::Filters;
use crate::oci::{Descriptor, Digest, Repository, Tag};

/// Why a document is needed.
#[derive(Clone)]
pub(super) enum Why {
    Selected { tag: Option<Tag>, original: Option<Digest> },
    Refers(Digest),
    Cosign(Digest, Tag),
    Child(Digest),
}

#[derive(Clone)]
pub(super) struct Item {
    pub(super) origin: Repository,
    pub(super) repository: Repository,
    pub(super) filters: Arc<Filters>,
    pub(super) descriptor: Descriptor,
    pub(super) why: Why,
    // Level of the document; the artifact's own document is at level 1.
    pub(super) depth: usize,
    // Level of referrers; selected artifacts are at level 0.
    pub(super) level: usize,
    pub(super) cuts: Option<Cuts>,
}

impl Item {
    /// Returns whether a selector selected it.
    pub(super) const fn is_selected(&self) -> bool {
        matches!(self.why, Why::Selected { .. })
    }

    /// Returns the name of a referrer in warnings.
    pub(super) fn told(&self) -> String {
        let (digest, origin) = (self.descriptor.digest, &self.origin);
        match &self.why {
            Why::Refers(subject) => format!("manifest {digest}, listed in {origin} as a referrer of {subject}"),
            Why::Cosign(subject, tag) => format!("manifest {digest}, which {origin}:{tag} names for {subject}"),
            Why::Selected { .. } | Why::Child(_) => format!("manifest {digest} of {origin}"),
        }
    }
}

/// Returns the item of a selected artifact.
pub(super) fn selected(root: Root) -> Item {
    Item {
        origin: root.origin,
        repository: root.repository,
        filters: root.filters,
        descriptor: root.document.descriptor(),
        why: Why::Selected { tag: root.tag, original: root.original },
        depth: 1,
        level: 0,
        cuts: root.cuts,
    }
}

/// Returns the question for the referrers of an item.
pub(super) fn subject(item: &Item) -> Subject {
    Subject { repository: item.origin.clone(), digest: item.descriptor.digest, filters: Arc::clone(&item.filters) }
}
