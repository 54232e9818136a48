//! The plan of an import: what it sends, mounts and skips, for each artifact, and how many requests
//! that takes. Made after the destination was looked at and before the first push.
//!
//! Values only; [`super::planner`] makes them.

use std::collections::HashMap;

use crate::oci::{Digest, Tag};

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
