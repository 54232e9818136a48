//! The bundle's manifest: its members, its canonical form, and the rules that need no volume
//! (`spec/manifest.md`).
//!
//! Members are declared in the order of their names, so that serialising directly gives RFC 8785. A
//! reader serialises what it parsed and refuses other bytes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};

use super::name::{MAX_VOLUMES, Name};
use super::notes::Notes;
use crate::base::fault::{Description, differs, expects};
use crate::bundle::Error;
use crate::bundle::time::Moment;
use crate::oci::descriptor::MAX_SIZE;
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::media_type::document_kind;
use crate::oci::{Absent, Algorithm, Artifact, Digest, Reason, Tag};

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

/// Members that are read first, whatever else there is.
#[derive(Deserialize)]
struct Head {
    format: String,
    #[serde(default)]
    requires: Features,
    #[serde(default)]
    tool: String,
}

/// First few entries of `requires`, shortened, for an error message: there may be millions.
#[derive(Default)]
struct Features(Vec<String>);

impl<'de> Deserialize<'de> for Features {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;
        impl<'de> serde::de::Visitor<'de> for Strings {
            type Value = Features;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array of strings")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut all: A) -> Result<Features, A::Error> {
                let mut features = Features::default();
                while let Some(feature) = all.next_element::<String>()? {
                    if features.0.len() < NAMED {
                        features.0.push(shorten(&feature));
                    }
                }
                Ok(features)
            }
        }
        deserializer.deserialize_seq(Strings)
    }
}

/// Maximum number of unknown features named in an error.
const NAMED: usize = 8;

fn shorten(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Accepts bytes as long as they equal those that were read.
struct Same<'a>(&'a [u8]);

impl std::io::Write for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn wrong(what: impl Into<Description>) -> Error {
    Error::format(what.into().within("manifest"))
}

/// Refuses bytes that cannot be a manifest because of their size or their first or last byte.
///
/// # Errors
/// [`crate::base::fault::Class::Format`].
pub fn check_ends(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() as u64 > MAX_MANIFEST {
        return Err(wrong(differs("", format_args!("at most {MAX_MANIFEST} bytes"), bytes.len())));
    }
    if bytes.first() == Some(&b'{') && bytes.last() == Some(&b'}') {
        Ok(())
    } else {
        Err(Error::format("not a bundle: its manifest does not begin and end as a JSON object")
            .help("name the bundle as DIR/NAME, where DIR holds NAME.json"))
    }
}

impl Manifest {
    /// Parses a manifest whose bytes are authenticated (or will be shown as not authenticated).
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Format`]: not JSON, another format, an unknown feature, a
    /// member that is unknown or out of bounds, bytes that are not the canonical form.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        check_ends(bytes)?;
        let head: Head = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if head.format != FORMAT {
            let found = shorten(&head.format);
            return Err(wrong(differs("", format_args!("format {FORMAT:?}"), format_args!("{found:?}"))));
        }
        let needs = head.requires.0;
        if !needs.is_empty() {
            return Err(wrong(format!("needs {}, written by {}", needs.join(", "), shorten(&head.tool)))
                .help("read it with a newer packmule"));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if !manifest.is_written_as(bytes) {
            return Err(wrong(differs("", "canonical JSON (RFC 8785)", "another form of it")));
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// Returns the canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serialising these structs cannot fail: every key is a string and writing goes to memory.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether its canonical bytes are `bytes`. Compares while serialising.
    fn is_written_as(&self, bytes: &[u8]) -> bool {
        let mut same = Same(bytes);
        serde_json::to_writer(&mut same, self).is_ok() && same.0.is_empty()
    }

    /// Returns `NAME.sha256`, as read by `sha256sum -c`: a function of the manifest and its digest.
    pub fn checksums(&self, id: Digest) -> String {
        let mut list = format!("{}  {}\n", id.hex(), self.name.manifest());
        for (index, volume) in self.volumes.iter().enumerate() {
            list.extend([&volume.digest.hex(), "  ", &self.name.volume(index + 1), "\n"]);
        }
        list
    }

    /// Checks every rule that needs no volume and no document.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Format`].
    pub fn check(&self) -> Result<(), Error> {
        let own = (self.frames.iter().filter_map(|frame| frame.digest.as_deref()))
            .chain(self.volumes.iter().map(|volume| &volume.digest))
            .chain(&self.bases)
            .chain(&self.previous);
        if let Some(digest) = own.into_iter().find(|digest| digest.algorithm() != Algorithm::Sha256) {
            return Err(wrong(format!("{digest}: frames, volumes and bundles have sha256 digests")));
        }
        self.check_strings()?;
        self.check_channel()?;
        self.check_artifacts()?;
        self.check_blobs()?;
        match self.form {
            Form::Flat if self.frames.is_empty() && self.volumes.is_empty() => Ok(()),
            Form::Flat => Err(wrong(expects("form flat", "no frames and no volumes"))),
            Form::Volumes => self.check_volumes(),
        }
    }

    fn check_strings(&self) -> Result<(), Error> {
        let is_clean = |text: &str| !text.chars().any(|c| c <= '\u{1f}' || ('\u{7f}'..='\u{9f}').contains(&c));
        if !self.tool.starts_with("packmule ") || !(10..=100).contains(&self.tool.len()) || !is_clean(&self.tool) {
            return Err(wrong(expects("tool", "\"packmule VERSION\"")));
        }
        let Some(annotations) = &self.annotations else { return self.check_media_types(is_clean) };
        if annotations.is_empty() {
            return Err(wrong(expects("annotations", "to be absent when empty")));
        }
        for (key, value) in annotations.iter() {
            let key_is_good = (1..=128).contains(&key.len()) && key.is_ascii() && is_clean(key);
            if !key_is_good || value.len() > 64 << 10 || !is_clean(value) {
                return Err(wrong(expects(
                    format_args!("annotation {:?}", key.chars().take(128).collect::<String>()),
                    "an ASCII key of at most 128 and a value of at most 65536 bytes without control characters",
                )));
            }
        }
        self.check_media_types(is_clean)
    }

    fn check_media_types(&self, is_clean: impl Fn(&str) -> bool) -> Result<(), Error> {
        for artifact in &self.artifacts {
            if artifact.artifact_type.as_ref().is_some_and(|text| !is_clean(text) || text.len() > 255) {
                return Err(wrong(format!("artifact {}: artifactType is not a media type", artifact.digest)));
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
                    Err(wrong(expects("channel", "a name of at most 31 characters, epoch and sequence below 2^53")))
                }
            }
            _ => Err(wrong(expects(
                "channel",
                "epoch and sequence with it, and neither they nor previous and expires without it",
            ))),
        }
    }

    fn check_artifacts(&self) -> Result<(), Error> {
        if self.artifacts.is_empty() {
            return Err(wrong(expects("artifacts", "at least one")));
        }
        if !self.artifacts.is_sorted_by(|a, b| (&a.repository, &a.digest) < (&b.repository, &b.digest)) {
            return Err(wrong(expects("artifacts", "in order of repository and digest, each once")));
        }
        let carried = self.blobs_in_order();
        for artifact in &self.artifacts {
            if carried.binary_search_by_key(&&artifact.digest, |blob| &blob.digest).is_err() {
                return Err(wrong(format!("artifact {}: is not among the blobs", artifact.digest)));
            }
            if document_kind(&artifact.media_type).is_none() {
                return Err(wrong(expects(
                    format_args!("artifact {}", artifact.digest),
                    "one of the four manifest types",
                )));
            }
            if !(1..=MAX_DOCUMENT).contains(&artifact.size) {
                return Err(wrong(expects(
                    format_args!("artifact {}", artifact.digest),
                    format_args!("1 to {MAX_DOCUMENT} bytes"),
                )));
            }
            if artifact.source.as_ref() == Some(&artifact.repository) {
                return Err(wrong(expects(
                    format_args!("artifact {}", artifact.digest),
                    "no source that is its repository",
                )));
            }
            if artifact.artifact_type.as_deref() == Some("") {
                return Err(wrong(format!("artifact {}: artifactType is empty", artifact.digest)));
            }
            if let Some(tag) = artifact.tags.iter().find(|tag| tag.is_referrers_fallback()) {
                return Err(wrong(format!("artifact {}: tag {tag} is reserved for a referrers list", artifact.digest)));
            }
            if !artifact.tags.is_sorted() {
                return Err(wrong(expects(format_args!("artifact {}", artifact.digest), "tags in order")));
            }
        }
        self.check_same()?;
        self.artifacts.chunk_by(|a, b| a.repository == b.repository).try_for_each(check_tags)
    }

    /// Checks that a manifest in several repositories has the same members in each.
    fn check_same(&self) -> Result<(), Error> {
        let mut artifacts: Vec<&Artifact> = self.artifacts.iter().collect();
        artifacts.sort_by_key(|artifact| &artifact.digest);
        let own = |artifact: &Artifact| (artifact.size, artifact.subject);
        let is_same = |a: &Artifact, b: &Artifact| {
            own(a) == own(b) && a.media_type == b.media_type && a.artifact_type == b.artifact_type
        };
        match artifacts.windows(2).find(|pair| pair[0].digest == pair[1].digest && !is_same(pair[0], pair[1])) {
            None => Ok(()),
            Some(pair) => Err(wrong(format!("artifact {}: its members differ between repositories", pair[0].digest))),
        }
    }

    fn blobs_in_order(&self) -> Vec<&Blob> {
        let mut blobs: Vec<&Blob> = self.blobs.iter().collect();
        blobs.sort_unstable_by_key(|blob| &blob.digest);
        blobs
    }

    fn check_blobs(&self) -> Result<(), Error> {
        if self.blobs.len() > MAX_BLOBS || self.absent.len() > MAX_BLOBS {
            return Err(wrong(expects("", format_args!("at most {MAX_BLOBS} blobs"))));
        }
        if let Some(blob) = self.blobs.iter().find(|blob| blob.size > MAX_SIZE) {
            return Err(wrong(format!("blob {}: size above 2^53-1", blob.digest)));
        }
        let blobs = self.blobs_in_order();
        if let Some(pair) = blobs.windows(2).find(|pair| pair[0].digest == pair[1].digest) {
            return Err(wrong(format!("blob {} is listed twice", pair[0].digest)));
        }
        if !self.absent.is_sorted_by(|a, b| a.digest < b.digest) {
            return Err(wrong(expects("absent", "in order of digest, each once")));
        }
        for absent in &self.absent {
            if absent.repository.is_some() && absent.reason != Reason::Base {
                return Err(wrong(format!("absent {}: repository is allowed only with reason base", absent.digest)));
            }
            let is_carried = blobs.binary_search_by_key(&&absent.digest, |blob| &blob.digest).is_ok();
            if absent.size > MAX_SIZE || is_carried {
                return Err(wrong(format!("absent {}: size above 2^53-1, or also carried", absent.digest)));
            }
        }
        if !self.bases.is_sorted_by(|a, b| a < b) {
            return Err(wrong(expects("bases", "in order, each once")));
        }
        Ok(())
    }

    fn check_volumes(&self) -> Result<(), Error> {
        if !(1..=MAX_VOLUMES).contains(&self.volumes.len()) {
            return Err(wrong(differs("", format_args!("1 to {MAX_VOLUMES} volumes"), self.volumes.len())));
        }
        for (index, frame) in self.frames.iter().enumerate() {
            let plain_is_good = (1..=super::frame::MAX_PLAIN).contains(&frame.plain);
            let packed_is_good = match (frame.size, &frame.digest) {
                (Some(size), Some(_)) => size >= 1 && size < super::frame::stored_size(frame.plain.min(1 << 30)),
                (Some(_), None) => false,
                (None, _) => true,
            };
            if !plain_is_good || !packed_is_good {
                return Err(wrong(expects(
                    format_args!("frame {}", index + 1),
                    format_args!(
                        "plain of 1 to {} and, if packed, a digest and a size below the stored one",
                        super::frame::MAX_PLAIN
                    ),
                )));
            }
        }
        let mut left = self.frames.iter();
        for (index, volume) in self.volumes.iter().enumerate() {
            let count = usize::try_from(volume.frames).unwrap_or(usize::MAX);
            if count == 0 || count > left.len() {
                return Err(wrong(differs(
                    format_args!("volume {}", index + 1),
                    format_args!("1 to {} frames", left.len()),
                    volume.frames,
                )));
            }
            // No overflow: at most 2^26 frames fit in the manifest, each below 2^25 bytes.
            let size: u64 = left.by_ref().take(count).map(Frame::stored_size).sum();
            if size != volume.size {
                return Err(wrong(differs(
                    format_args!("volume {}", index + 1),
                    format_args!("{size} bytes as the sum of its frames"),
                    volume.size,
                )));
            }
        }
        if left.len() > 0 {
            return Err(wrong(format!("{} frames are in no volume", left.len())));
        }
        Ok(())
    }
}

/// Checks that no tag occurs twice in one repository. Merges the sorted tags of all artifacts
/// without copying them.
fn check_tags(artifacts: &[Artifact]) -> Result<(), Error> {
    let mut heads: BinaryHeap<Reverse<(&Tag, usize, usize)>> = artifacts
        .iter()
        .enumerate()
        .filter_map(|(at, artifact)| Some(Reverse((artifact.tags.first()?, at, 0))))
        .collect();
    let mut last: Option<&Tag> = None;
    while let Some(Reverse((tag, at, place))) = heads.pop() {
        if last == Some(tag) {
            return Err(wrong(format!("tag {}:{tag} is listed twice", artifacts[at].repository)));
        }
        last = Some(tag);
        if let Some(next) = artifacts[at].tags.get(place + 1) {
            heads.push(Reverse((next, at, place + 1)));
        }
    }
    Ok(())
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
