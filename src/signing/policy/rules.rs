//! The rules of a section: values alone; `section` and `kinds` hold bundles to them.

use super::glob::Glob;

/// Limits of a bundle's content, and demands on its order. The default forbids nothing.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Repositories, as the manifest names them: those that an import writes, and those that it reads or mounts from.
    pub repositories: Option<Vec<Glob>>,
    /// Tags that an import may set.
    pub tags: Option<Vec<Glob>>,
    /// Types of documents.
    pub types: Option<Vec<Glob>>,
    /// Most bytes of all blobs carried.
    pub bundle: Option<u64>,
    /// Most bytes of one blob.
    pub blob: Option<u64>,
    /// The channel's epoch.
    pub epoch: Option<u64>,
    /// Whether it must say when it expires.
    pub expires: bool,
    /// Most seconds from when it was made until it expires.
    pub lifetime: Option<i64>,
    /// Whether its place in the channel must be known to be right: no state, no bundle.
    pub sequence: bool,
    /// Whether it must follow the bundle that was accepted last.
    pub previous: bool,
    /// Types of referrers that every image must bring.
    pub referrers: Vec<Glob>,
    /// Layer types of manifests that need no referrer, unless a layer of theirs is a file system's.
    pub except: Vec<Glob>,
    /// Whether a signature under a key that the policy does not have refuses the bundle.
    pub refuse_unknown: bool,
    /// The version of the policy file, 0 where it names none; `None` under keys of a command line.
    pub version: Option<u64>,
}
