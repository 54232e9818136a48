//! The bundle's manifest: its members, its one canonical form, and the rules that need no volume
//! (`spec/manifest.md`).
//!
//! Members stand in the order of their names, so that serialising gives RFC 8785 at once; a reader
//! serialises what it parsed and refuses other bytes.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::name::{MAX_VOLUMES, Name};
use crate::bundle::Error;
use crate::bundle::time::Moment;
use crate::oci::descriptor::MAX_SIZE;
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::media_type::document_kind;
use crate::oci::{Absent, Algorithm, Artifact, Digest, Reason};

/// The value of `format`.
pub const FORMAT: &str = "packmule.bundle.v1";
/// The media type of a manifest, in the signed statement.
pub const MEDIA_TYPE: &str = "application/vnd.packmule.bundle.v1+json";
/// The largest manifest, in bytes.
pub const MAX_MANIFEST: u64 = 64 << 20;
/// The most blobs.
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

/// One frame. Stored without `size`, packed with `size` and `digest`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// Digest of its compressed bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// How many bytes of the tar stream it holds.
    pub plain: u64,
    /// Compressed size in bytes, of a packed frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl Frame {
    /// Its bytes in the volume.
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
    /// How many frames it holds.
    pub frames: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// How the stream lies on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A plain layout, for guards that refuse compressed content.
    Flat,
    /// Volumes of zstd frames.
    Volumes,
}

/// The manifest. What each member means stands in `spec/manifest.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the members are the spec's, each described there")]
pub struct Manifest {
    pub absent: Vec<Absent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
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

/// What is read before all else, whatever stands beside it.
#[derive(Deserialize)]
struct Head {
    format: String,
    #[serde(default)]
    requires: Vec<String>,
    #[serde(default)]
    tool: String,
}

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::format(format!("manifest: {what}"))
}

/// Refuses what cannot be a manifest from its size and its ends alone.
///
/// # Errors
/// [`crate::base::fault::Class::Format`].
pub fn check_ends(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() as u64 > MAX_MANIFEST {
        return Err(wrong(format_args!("expected at most {MAX_MANIFEST} bytes, found {}", bytes.len())));
    }
    if bytes.first() == Some(&b'{') && bytes.last() == Some(&b'}') {
        Ok(())
    } else {
        Err(Error::format("not a bundle: its manifest does not begin and end as a JSON object")
            .help("name the bundle as DIR/NAME, where DIR holds NAME.json"))
    }
}

impl Manifest {
    /// Reads a manifest whose bytes are authenticated (or to be shown as not authenticated).
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Format`]: not JSON, another format, a feature unknown here, a member
    /// unknown or out of its bounds, bytes that are not the canonical form.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        check_ends(bytes)?;
        let head: Head = serde_json::from_slice(bytes).map_err(wrong)?;
        if head.format != FORMAT {
            let found: String = head.format.chars().take(100).collect();
            return Err(wrong(format_args!("expected format {FORMAT:?}, found {found:?}")));
        }
        if !head.requires.is_empty() {
            let cut = |text: &str| text.chars().take(100).collect::<String>();
            let needs: Vec<String> = head.requires.iter().take(8).map(|feature| cut(feature)).collect();
            return Err(wrong(format_args!("needs {}, written by {}", needs.join(", "), cut(&head.tool)))
                .help("read it with a newer packmule"));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(wrong)?;
        if manifest.to_bytes() != bytes {
            return Err(wrong("expected canonical JSON (RFC 8785), found another form of it"));
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serialising these structs cannot fail: every key is a string and writing goes to memory.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// `NAME.sha256`: what `sha256sum -c` reads, a function of the manifest and its digest.
    pub fn checksums(&self, id: Digest) -> String {
        let mut list = format!("{}  {}\n", id.hex(), self.name.manifest());
        for (index, volume) in self.volumes.iter().enumerate() {
            list.extend([&volume.digest.hex(), "  ", &self.name.volume(index + 1), "\n"]);
        }
        list
    }

    /// Every rule that needs no volume and no document.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Format`].
    pub fn check(&self) -> Result<(), Error> {
        let own = (self.frames.iter().filter_map(|frame| frame.digest.as_ref()))
            .chain(self.volumes.iter().map(|volume| &volume.digest))
            .chain(&self.bases)
            .chain(&self.previous);
        if let Some(digest) = own.into_iter().find(|digest| digest.algorithm() != Algorithm::Sha256) {
            return Err(wrong(format_args!("{digest}: frames, volumes and bundles have sha256 digests")));
        }
        self.check_strings()?;
        self.check_channel()?;
        self.check_artifacts()?;
        self.check_blobs()?;
        match self.form {
            Form::Flat if self.frames.is_empty() && self.volumes.is_empty() => Ok(()),
            Form::Flat => Err(wrong("form flat: expected no frames and no volumes")),
            Form::Volumes => self.check_volumes(),
        }
    }

    fn check_strings(&self) -> Result<(), Error> {
        let is_clean = |text: &str| !text.chars().any(|c| c <= '\u{1f}' || ('\u{7f}'..='\u{9f}').contains(&c));
        if !self.tool.starts_with("packmule ") || !(10..=100).contains(&self.tool.len()) || !is_clean(&self.tool) {
            return Err(wrong("tool: expected \"packmule VERSION\""));
        }
        let Some(annotations) = &self.annotations else { return self.check_media_types(is_clean) };
        if annotations.is_empty() {
            return Err(wrong("annotations: expected to be absent when empty"));
        }
        for (key, value) in annotations {
            let key_is_good = (1..=128).contains(&key.len()) && key.is_ascii() && is_clean(key);
            if !key_is_good || value.len() > 64 << 10 || !is_clean(value) {
                return Err(wrong(format_args!(
                    "annotation {:?}: expected an ASCII key of at most 128 and a value of at most 65536 bytes without control characters",
                    key.chars().take(128).collect::<String>()
                )));
            }
        }
        self.check_media_types(is_clean)
    }

    fn check_media_types(&self, is_clean: impl Fn(&str) -> bool) -> Result<(), Error> {
        for artifact in &self.artifacts {
            if artifact.artifact_type.as_ref().is_some_and(|text| !is_clean(text) || text.len() > 255) {
                return Err(wrong(format_args!("artifact {}: artifactType is not a media type", artifact.digest)));
            }
        }
        Ok(())
    }

    fn check_channel(&self) -> Result<(), Error> {
        match (&self.channel, self.epoch, self.sequence) {
            (None, None, None) if self.previous.is_none() && self.expires.is_none() => Ok(()),
            (Some(channel), Some(epoch), Some(sequence)) => {
                if crate::signing::claims::is_channel(channel) && epoch <= MAX_SIZE && sequence <= MAX_SIZE {
                    Ok(())
                } else {
                    Err(wrong("channel: expected a name of at most 31, epoch and sequence below 2^53"))
                }
            }
            _ => Err(wrong(
                "channel: expected epoch and sequence with it, and neither they nor previous and expires without it",
            )),
        }
    }

    fn check_artifacts(&self) -> Result<(), Error> {
        if self.artifacts.is_empty() {
            return Err(wrong("artifacts: expected at least one"));
        }
        if !self.artifacts.is_sorted_by(|a, b| (&a.repository, &a.digest) < (&b.repository, &b.digest)) {
            return Err(wrong("artifacts: expected in order of repository and digest, each once"));
        }
        let carried: HashSet<Digest> = self.blobs.iter().map(|blob| blob.digest).collect();
        let mut named = HashSet::new();
        let mut members = BTreeMap::new();
        for artifact in &self.artifacts {
            if !carried.contains(&artifact.digest) {
                return Err(wrong(format_args!("artifact {}: is not among the blobs", artifact.digest)));
            }
            let own = (&artifact.media_type, artifact.size, &artifact.artifact_type, artifact.subject);
            if *members.entry(artifact.digest).or_insert(own) != own {
                return Err(wrong(format_args!(
                    "artifact {}: its members differ between repositories",
                    artifact.digest
                )));
            }
            if document_kind(&artifact.media_type).is_none() {
                return Err(wrong(format_args!(
                    "artifact {}: expected one of the four manifest types",
                    artifact.digest
                )));
            }
            if !(1..=MAX_DOCUMENT).contains(&artifact.size) {
                return Err(wrong(format_args!("artifact {}: expected 1 to {MAX_DOCUMENT} bytes", artifact.digest)));
            }
            if artifact.artifact_type.as_deref() == Some("") {
                return Err(wrong(format_args!("artifact {}: artifactType is empty", artifact.digest)));
            }
            if let Some(tag) = artifact.tags.iter().find(|tag| tag.is_referrers_fallback()) {
                return Err(wrong(format_args!("artifact {}: tag {tag} is a referrers list's", artifact.digest)));
            }
            if !artifact.tags.is_sorted() {
                return Err(wrong(format_args!("artifact {}: expected tags in order", artifact.digest)));
            }
            for tag in &artifact.tags {
                if !named.insert((&artifact.repository, tag)) {
                    return Err(wrong(format_args!("tag {}:{tag} stands twice", artifact.repository)));
                }
            }
        }
        Ok(())
    }

    fn check_blobs(&self) -> Result<(), Error> {
        if self.blobs.len() > MAX_BLOBS || self.absent.len() > MAX_BLOBS {
            return Err(wrong(format_args!("expected at most {MAX_BLOBS} blobs")));
        }
        let mut seen = HashSet::with_capacity(self.blobs.len());
        for blob in &self.blobs {
            if blob.size > MAX_SIZE {
                return Err(wrong(format_args!("blob {}: size above 2^53-1", blob.digest)));
            }
            if !seen.insert(blob.digest) {
                return Err(wrong(format_args!("blob {} stands twice", blob.digest)));
            }
        }
        if !self.absent.is_sorted_by(|a, b| a.digest < b.digest) {
            return Err(wrong("absent: expected in order of digest, each once"));
        }
        for absent in &self.absent {
            if absent.repository.is_some() && absent.reason != Reason::Base {
                return Err(wrong(format_args!("absent {}: repository stands with reason base only", absent.digest)));
            }
            if absent.size > MAX_SIZE || seen.contains(&absent.digest) {
                return Err(wrong(format_args!(
                    "absent {}: size above 2^53-1, or carried all the same",
                    absent.digest
                )));
            }
        }
        if !self.bases.is_sorted_by(|a, b| a < b) {
            return Err(wrong("bases: expected in order, each once"));
        }
        Ok(())
    }

    fn check_volumes(&self) -> Result<(), Error> {
        if !(1..=MAX_VOLUMES).contains(&self.volumes.len()) {
            return Err(wrong(format_args!("expected 1 to {MAX_VOLUMES} volumes, found {}", self.volumes.len())));
        }
        for (index, frame) in self.frames.iter().enumerate() {
            let plain_is_good = (1..=super::frame::MAX_PLAIN).contains(&frame.plain);
            let packed_is_good = match (frame.size, frame.digest) {
                (Some(size), Some(_)) => size >= 1 && size < super::frame::stored_size(frame.plain.min(1 << 30)),
                (Some(_), None) => false,
                (None, _) => true,
            };
            if !plain_is_good || !packed_is_good {
                return Err(wrong(format_args!(
                    "frame {}: expected plain of 1 to {} and, where packed, a digest and a size below the stored one",
                    index + 1,
                    super::frame::MAX_PLAIN
                )));
            }
        }
        let mut left = self.frames.iter();
        for (index, volume) in self.volumes.iter().enumerate() {
            let count = usize::try_from(volume.frames).unwrap_or(usize::MAX);
            if count == 0 || count > left.len() {
                return Err(wrong(format_args!(
                    "volume {}: expected 1 to {} frames, found {}",
                    index + 1,
                    left.len(),
                    volume.frames
                )));
            }
            // No overflow: at most 2^26 frames fit the manifest, each below 2^25 bytes.
            let size: u64 = left.by_ref().take(count).map(Frame::stored_size).sum();
            if size != volume.size {
                return Err(wrong(format_args!(
                    "volume {}: expected {size} bytes as its frames add up to, found {}",
                    index + 1,
                    volume.size
                )));
            }
        }
        if left.len() > 0 {
            return Err(wrong(format_args!("{} frames stand in no volume", left.len())));
        }
        Ok(())
    }
}
