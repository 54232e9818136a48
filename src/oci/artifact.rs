//! An artifact: a manifest in its repository with its tags, as listed in a bundle and pushed by an
//! import (`spec/manifest.md`, `artifacts`).

use serde::{Deserialize, Deserializer, Serialize};

use super::{Descriptor, Digest, Repository, Tag};

/// A manifest that is carried for its own sake: selected, or a referrer of a selected one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Artifact {
    /// Artifact type from the document, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Media type of the manifest.
    pub media_type: String,
    /// Digest at the source if a platform filter made a new index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Digest>,
    /// `host/path` as at the source, or as named by the user.
    pub repository: Repository,
    /// Size of the manifest in bytes.
    pub size: u64,
    /// Repository at the source, if the user gave another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Repository>,
    /// Digest of the document's subject, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// Tags, sorted. Empty if it is carried by digest alone.
    #[serde(deserialize_with = "exactly")]
    pub tags: Vec<Tag>,
}

/// Deserializes a list without spare capacity.
fn exactly<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Tag>, D::Error> {
    let mut tags = Vec::deserialize(deserializer)?;
    tags.shrink_to_fit();
    Ok(tags)
}

impl Artifact {
    /// Returns the descriptor of the manifest.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.clone(), self.digest, self.size)
    }
}

/// Reason why reachable content is not carried (`spec/closure.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// A leaf that a base or a receipt lists as delivered.
    Base,
    /// A non-distributable leaf.
    Foreign,
    /// Not available at export.
    Missing,
    /// A document that a platform filter removed from a sparse index.
    Platform,
}

/// Reachable content that is not carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Absent {
    /// Digest of the content.
    pub digest: Digest,
    /// Reason for the absence.
    pub reason: Reason,
    /// A repository to which it was delivered, for [`Reason::Base`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// Size in bytes.
    pub size: u64,
}
