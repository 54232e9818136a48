//! The descriptor: media type, digest, size, and what else an index or manifest says of a blob.
//!
//! For reading only: unknown members are ignored here and live on in the document's raw bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Digest, Platform};

/// The largest integer that every JSON reader keeps exactly, 2^53 − 1: the cap of every size.
pub const MAX_SIZE: u64 = (1 << 53) - 1;

/// A reference from a document to content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// Type of the artifact, where the descriptor points at one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Platform, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Where foreign content may be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urls: Option<Vec<String>>,
    /// The content itself, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

impl Descriptor {
    /// A descriptor with the three members that every one has.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            artifact_type: None,
            annotations: None,
            platform: None,
            urls: None,
            data: None,
        }
    }

    /// The annotation under `key`.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Whether this is a BuildKit attestation: an `unknown/unknown` manifest that names the child
    /// that it speaks of.
    pub fn attests(&self) -> Option<Digest> {
        (self.annotation("vnd.docker.reference.type") == Some("attestation-manifest"))
            .then(|| self.annotation("vnd.docker.reference.digest")?.parse().ok())
            .flatten()
    }
}
