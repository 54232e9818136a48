//! Rules of a section. Values only; `section` and `kinds` enforce them.

use super::glob::Glob;

/// Limits for the content of bundles, and requirements on their order. The default allows
/// everything.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Repositories as the manifest names them: those that an import writes to, reads from or
    /// mounts from.
    pub repositories: Option<Vec<Glob>>,
    /// Tags that an import may set.
    pub tags: Option<Vec<Glob>>,
    /// Types of documents.
    pub types: Option<Vec<Glob>>,
    /// Maximum total size in bytes of all carried blobs.
    pub bundle: Option<u64>,
    /// Maximum size in bytes of one blob.
    pub blob: Option<u64>,
    /// Epoch of the channel.
    pub epoch: Option<u64>,
    /// Whether the bundle must state when it expires.
    pub expires: bool,
    /// Maximum seconds from creation to expiry.
    pub lifetime: Option<i64>,
    /// Whether the bundle's place in the channel must be verified against a state. Without a state
    /// it is refused.
    pub sequence: bool,
    /// Whether it must directly follow the last accepted bundle.
    pub previous: bool,
    /// Types of referrers that every image must have.
    pub referrers: Vec<Glob>,
    /// Layer types of manifests that need no referrers, unless they also have a file-system layer.
    pub except: Vec<Glob>,
    /// Whether a signature by a key that is not in the policy causes refusal.
    pub refuse_unknown: bool,
    /// Version of the policy file, 0 if it states none. `None` with keys from the command line.
    pub version: Option<u64>,
}
