//! The bundle's manifest: its members and its canonical form (`spec/manifest.md`).
//!
//! Members are declared in the order of their names, so that serialising directly gives RFC 8785. A
//! reader serialises what it parsed and refuses other bytes.

use serde::{Deserialize, Serialize};

use super::name::Name;
use super::notes::Notes;
use crate::bundle::time::Moment;
use crate::oci::{Absent, Artifact, Digest};

/// Value of `format`.
pub const FORMAT: &str = "packmule.bundle.v1";
/// Media type of a manifest in the signed statement.
pub const MEDIA_TYPE: &str = "application/vnd.packmule.bundle.v1+json";
/// Maximum size of a manifest in bytes.
pub const MAX_MANIFEST: u64 = 64 << 20;
/// Maximum number of blobs, and of absent blobs.
pub const MAX_BLOBS: usize = 500_000;

/// One blob of the tar stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// One frame. A stored frame has no `size`; a packed one has `size` and `digest`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// Digest of its compressed bytes.
    // Boxed because there may be many frames without a digest, each of a few bytes in the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Box<Digest>>,
    /// Number of bytes of the tar stream that it holds.
    pub plain: u64,
    /// Compressed size in bytes, for packed frames only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl Frame {
    /// Returns its size in the volume in bytes.
    pub const fn stored_size(&self) -> u64 {
        match self.size {
            Some(size) => size,
            None => super::frame::stored_size(self.plain),
        }
    }
}

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Digest of the file.
    pub digest: Digest,
    /// Number of frames that it holds.
    pub frames: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// How the stream is stored on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A plain layout, for guards that refuse compressed content.
    Flat,
    /// Volumes of zstd frames.
    Volumes,
}

/// The manifest. `spec/manifest.md` describes each member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the spec describes each member")]
pub struct Manifest {
    pub absent: Vec<Absent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Notes>,
    pub artifacts: Vec<Artifact>,
    pub bases: Vec<Digest>,
    pub blobs: Vec<Blob>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    pub created: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
    pub form: Form,
    pub format: String,
    pub frames: Vec<Frame>,
    pub name: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    pub requires: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    pub tool: String,
    pub volumes: Vec<Volume>,
}

impl Manifest {
    /// Returns the canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serialising these structs cannot fail: every key is a string and writing goes to memory.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Returns `NAME.sha256`, as read by `sha256sum -c`: a function of the manifest and its digest.
    pub fn checksums(&self, id: Digest) -> String {
        let mut list = format!("{}  {}\n", id.hex(), self.name.manifest());
        for (index, volume) in self.volumes.iter().enumerate() {
            list.extend([&volume.digest.hex(), "  ", &self.name.volume(index + 1), "\n"]);
        }
        list
    }
}

/// Returns a manifest of these artifacts and blobs only, for tests.
#[cfg(test)]
pub(in crate::bundle) fn holding(artifacts: &[Artifact], blobs: &[Blob]) -> std::sync::Arc<Manifest> {
    let page = include_str!("../../../spec/manifest.md");
    let line = page.lines().find(|line| line.starts_with("{\"absent\":[]")).unwrap_or_default();
    let mut manifest: Manifest = serde_json::from_str(line).unwrap_or_else(|error| panic!("the example: {error}"));
    manifest.artifacts = artifacts.to_vec();
    manifest.blobs = blobs.to_vec();
    std::sync::Arc::new(manifest)
}
