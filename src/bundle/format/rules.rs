//! Rules of a manifest that need no volume and no document (`spec/manifest.md`).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::manifest::{Blob, Form, Frame, MAX_BLOBS, Manifest};
use super::name::MAX_VOLUMES;
use crate::base::fault::{Description, differs, expects};
use crate::bundle::Error;
use crate::oci::descriptor::MAX_SIZE;
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::media_type::document_kind;
use crate::oci::{Algorithm, Artifact, Reason, Tag};

/// Returns the error for a manifest that breaks a rule.
pub(super) fn wrong(what: impl Into<Description>) -> Error {
    Error::format(what.into().within("manifest"))
}

impl Manifest {
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
