//! A bundle to be written, as a value: its content, its name and how it is cut.
//!
//! The bytes of the volumes depend on nothing else. Nothing is fetched or written here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::frames::{CutRule, Piece, cut};
use crate::base::fault::{Class, differs};
use crate::bundle::format::manifest::{Blob, FORMAT, Form, Frame, MAX_BLOBS, MAX_MANIFEST, Manifest, Volume};
use crate::bundle::format::notes::Notes;
use crate::bundle::format::tar::Tar;
use crate::bundle::time::Moment;
use crate::bundle::{ChannelPosition, Error, Name};
use crate::oci::media_type::is_compressed;
use crate::oci::{Absent, Artifact, Descriptor, Digest, Document, Reason, Repository};

/// A blob to be carried.
#[derive(Clone, Debug)]
pub struct InputBlob {
    /// Media type, digest and size.
    pub descriptor: Descriptor,
    /// Where to fetch it from.
    pub repository: Repository,
    /// The document, if it is one.
    pub document: Option<Document>,
    /// Whether it shares frames: documents and leaves up to [`super::frames::SMALL`].
    pub small: bool,
}

/// Input of the writer. The bytes of the volumes depend on nothing else.
#[derive(Clone, Debug)]
pub struct Input {
    /// The bundle's name.
    pub name: Name,
    /// `created` in the manifest.
    pub created: Moment,
    /// `packmule VERSION`.
    pub tool: String,
    /// In order of repository and digest.
    pub artifacts: Vec<Artifact>,
    /// In tar order.
    pub blobs: Vec<InputBlob>,
    /// In order of digest.
    pub absent: Vec<Absent>,
    /// In order.
    pub bases: Vec<Digest>,
    /// Its position in a channel.
    pub channel: Option<ChannelPosition>,
    /// Left out of the manifest if empty.
    pub annotations: BTreeMap<String, String>,
    /// Maximum size of a volume in bytes; [`u64::MAX`] for one volume.
    pub volume_size: u64,
    /// zstd level; 0 stores everything.
    pub level: i32,
    /// The user's request in the caller's words. The same text resumes an unfinished run even if
    /// tags have moved since.
    pub request: String,
}

impl Input {
    /// Returns a copy without one blob, which is listed as missing.
    pub(in crate::bundle) fn without(&self, index: usize) -> Self {
        let mut less = self.clone();
        let Descriptor { digest, size, .. } = less.blobs.remove(index).descriptor;
        less.absent.push(Absent { digest, reason: Reason::Missing, repository: None, size });
        less.absent.sort_by_key(|absent| absent.digest);
        less
    }

    /// Returns the manifest with these frames and volumes.
    pub fn manifest(&self, frames: Vec<Frame>, volumes: Vec<Volume>) -> Manifest {
        let position = self.channel.as_ref();
        Manifest {
            absent: self.absent.clone(),
            annotations: (!self.annotations.is_empty()).then(|| Notes::from(&self.annotations)),
            artifacts: self.artifacts.clone(),
            bases: self.bases.clone(),
            blobs: self
                .blobs
                .iter()
                .map(|blob| Blob { digest: blob.descriptor.digest, size: blob.descriptor.size })
                .collect(),
            channel: position.map(|position| position.channel.clone()),
            created: self.created,
            epoch: position.map(|position| position.epoch),
            expires: position.and_then(|position| position.expires),
            form: Form::Volumes,
            format: FORMAT.to_owned(),
            frames,
            name: self.name.clone(),
            previous: position.and_then(|position| position.previous),
            requires: Vec::new(),
            sequence: position.map(|position| position.sequence),
            tool: self.tool.clone(),
            volumes,
        }
    }

    /// Refuses more than a manifest can hold. Each of the `frames` needs at least 16 bytes.
    ///
    /// # Errors
    /// [`Class::Usage`].
    pub(in crate::bundle) fn check_limits(&self, frames: usize) -> Result<(), Error> {
        let bytes = self.manifest(Vec::new(), Vec::new()).to_bytes().len() as u64 + frames as u64 * 16;
        if bytes <= MAX_MANIFEST && self.blobs.len() <= MAX_BLOBS {
            return Ok(());
        }
        Err(Error::new(
            Class::Usage,
            differs("export", format_args!("at most {MAX_BLOBS} blobs and a manifest of {MAX_MANIFEST} bytes"), "more"),
        )
        .help("select fewer artifacts and write several bundles"))
    }

    /// Returns the members that it will have, in either form.
    ///
    /// # Errors
    /// [`Class::Usage`].
    pub(in crate::bundle) fn tar(&self) -> Result<Tar, Error> {
        let manifest = self.manifest(Vec::new(), Vec::new());
        Tar::new(Arc::new(manifest))
            .ok_or_else(|| Error::new(Class::Usage, "export: the sum of the sizes exceeds 64 bits"))
    }

    /// Returns its tar stream and the pieces that are cut from it.
    ///
    /// # Errors
    /// [`Class::Usage`].
    pub(in crate::bundle) fn cut(&self) -> Result<(Tar, Vec<Piece>), Error> {
        let tar = self.tar()?;
        let rules: Vec<CutRule> = self
            .blobs
            .iter()
            .map(|blob| CutRule { small: blob.small, packable: !is_compressed(&blob.descriptor.media_type) })
            .collect();
        let mut pieces = cut(&tar, &rules);
        if self.level == 0 {
            pieces.iter_mut().for_each(|piece| piece.packable = false);
        }
        self.check_limits(pieces.len())?;
        Ok((tar, pieces))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type::OCI_LAYER_GZIP;

    fn input(level: i32, media_types: &[&str]) -> Input {
        let repository = Repository::exact("localhost/a").unwrap();
        let blob = |(number, media_type): (usize, &&str)| InputBlob {
            descriptor: Descriptor::new(*media_type, Digest::sha256(&[u8::try_from(number).unwrap()]), 1 << 20),
            repository: repository.clone(),
            document: None,
            small: false,
        };
        Input {
            name: Name::new("b").unwrap(),
            created: Moment::from_unix(0).unwrap(),
            tool: "packmule 0.1.0".to_owned(),
            artifacts: Vec::new(),
            blobs: media_types.iter().enumerate().map(blob).collect(),
            absent: Vec::new(),
            bases: Vec::new(),
            channel: None,
            annotations: BTreeMap::new(),
            volume_size: u64::MAX,
            level,
            request: String::new(),
        }
    }

    #[test]
    fn what_is_compressed_already_is_not_packed_and_at_level_0_nothing_is() {
        let packable = |level: i32| {
            let (_, pieces) = input(level, &[OCI_LAYER_GZIP, "a/text"]).cut().unwrap();
            pieces.iter().map(|piece| piece.packable).collect::<Vec<_>>()
        };
        // Computed members, the two blobs, the end.
        assert_eq!(packable(3), [true, false, true, false]);
        assert_eq!(packable(0), [false; 4]);
    }

    #[test]
    fn more_frames_than_a_manifest_holds_are_refused() {
        let input = input(3, &["a/b"]);
        let own = input.manifest(Vec::new(), Vec::new()).to_bytes().len();
        let most = (usize::try_from(MAX_MANIFEST).unwrap() - own) / 16;
        assert_eq!(input.check_limits(most), Ok(()));
        assert_eq!(input.check_limits(most + 1).unwrap_err().class, Class::Usage);
    }
}
