//! An artifact: a manifest in its repository with its tags, as a bundle lists it and an import
//! pushes it (`spec/manifest.md`, `artifacts`).

use serde::{Deserialize, Deserializer, Serialize};

use super::{Descriptor, Digest, Repository, Tag};

/// A manifest that travels on its own account: selected, or a referrer of one that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Artifact {
    /// Type of the artifact: the document's own member, absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// The source's digest where a platform filter made a new index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Digest>,
    /// `host/path` as at the source, or as the user named it.
    pub repository: Repository,
    /// Size of the manifest in bytes.
    pub size: u64,
    /// Digest of what it refers to, the document's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// Its tags, sorted; empty where it travels by digest alone.
    #[serde(deserialize_with = "exactly")]
    pub tags: Vec<Tag>,
}

/// Reads a list, without the room that a growing one keeps for more.
fn exactly<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Tag>, D::Error> {
    let mut tags = Vec::deserialize(deserializer)?;
    tags.shrink_to_fit();
    Ok(tags)
}

impl Artifact {
    /// The descriptor of the manifest.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.clone(), self.digest, self.size)
    }
}

/// Why content that is reachable is not carried (`spec/closure.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// A leaf that a base or a receipt says is delivered.
    Base,
    /// A non-distributable leaf.
    Foreign,
    /// Not to be had at export.
    Missing,
    /// A document that a platform filter left out of a sparse index.
    Platform,
}

/// Something reachable that is not carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Absent {
    /// Its digest.
    pub digest: Digest,
    /// Why.
    pub reason: Reason,
    /// A repository that it was delivered in, for [`Reason::Base`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// Its size in bytes.
    pub size: u64,
}
