//! One entry of a layout's `index.json`.
//!
//! Only a value.

use crate::oci::media_type::OCI_INDEX;
use crate::oci::{Descriptor, Digest, Reference, Tag};

/// How an entry relates to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It stands for itself.
    #[default]
    Own,
    /// It is content that cosign attached to the manifest with this digest.
    Attached(Digest),
    /// It is content that cosign attached to a manifest that the entry does not tell.
    Unclear,
}

/// One descriptor of `index.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Descriptor of the entry.
    pub descriptor: Descriptor,
    /// Names of the entry: `io.containerd.image.name` and `org.opencontainers.image.ref.name` as
    /// references, a plain tag as `localhost/DIR:TAG`. Empty if it has no usable name
    /// ([`super::Layout::odd_names`]).
    pub names: Vec<Reference>,
    /// How it relates to the other entries.
    pub standing: Standing,
    // Names as written in the file, except those of another entry.
    pub(super) raw: Vec<String>,
}

impl Entry {
    /// Returns the fallback tag among the names of the entry, which makes it a list of referrers.
    pub fn fallback_tag(&self) -> Option<&Tag> {
        self.names.iter().filter_map(|name| name.tag.as_ref()).find(|tag| tag.is_referrers_fallback())
    }

    /// Reports whether the entry is an index under a fallback tag: a list of referrers, and not an
    /// artifact.
    pub fn is_list(&self) -> bool {
        self.descriptor.media_type == OCI_INDEX && self.fallback_tag().is_some()
    }
}
