//! A bundle whose manifest a policy or its own writer has vouched for: [`Trusted`], which alone gives content
//! (`spec/verification.md`, step 8).

use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

use super::catalog::Catalogue;
use crate::bundle::format::manifest::Form;
use crate::bundle::format::offsets::{Offsets, Unit};
use crate::bundle::source::cache::ReadCache;
use crate::bundle::volumes::files::Files;
use crate::bundle::volumes::flat::Flat;
use crate::bundle::{Error, Manifest};
#[cfg(feature = "carry")]
use crate::content::volumes::Volumes;
use crate::oci::Digest;
use crate::signing::{Admission, Judgement};

/// A bundle whose manifest is authenticated: the only thing that gives content.
pub struct Trusted {
    id: Digest,
    manifest: Arc<Manifest>,
    offsets: Offsets,
    volumes: Arc<Files>,
    // Whether it is what a writer has not finished: what lies next to it is none of it.
    is_unfinished: bool,
    // In form flat, where there are no volumes.
    flat: Option<Flat>,
    judgement: Judgement,
    pub(in crate::bundle) admission: Admission,
    // The blobs' places in `blobs`, by their digests.
    index: Vec<u32>,
    // Filled by the walk over the documents, where someone asked for it.
    pub(in crate::bundle) catalogue: Option<OnceLock<Catalogue>>,
    pub(in crate::bundle) cache: ReadCache,
}

impl Trusted {
    /// Opens what a writer has just made and not finished: trusted for the read-back alone.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Format`].
    #[cfg(feature = "carry")]
    pub(in crate::bundle) fn just_written(place: Arc<dyn Volumes>, manifest: &Manifest) -> Result<Self, Error> {
        let id = Digest::sha256(&manifest.to_bytes());
        let files = Arc::new(Files::new(place, manifest.name.clone()));
        let bundle = Self::new(id, manifest.clone(), files, Judgement::default())?;
        Ok(Self { is_unfinished: true, ..bundle })
    }

    pub(in crate::bundle) fn new(
        id: Digest,
        manifest: Manifest,
        volumes: Arc<Files>,
        judgement: Judgement,
    ) -> Result<Self, Error> {
        let manifest = Arc::new(manifest);
        let offsets = Offsets::new(&manifest)?;
        let flat = (manifest.form == Form::Flat).then(|| Flat::new(Arc::clone(&volumes)));
        // No truncation: at most 500,000.
        let mut index: Vec<u32> = (0..u32::try_from(manifest.blobs.len()).unwrap_or(u32::MAX)).collect();
        index.sort_unstable_by_key(|index| &manifest.blobs[*index as usize].digest);
        Ok(Self {
            id,
            manifest,
            offsets,
            volumes,
            is_unfinished: false,
            flat,
            judgement,
            admission: Admission::default(),
            index,
            catalogue: None,
            cache: ReadCache::default(),
        })
    }

    /// The bundle id.
    pub const fn id(&self) -> Digest {
        self.id
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Who signed.
    pub const fn judgement(&self) -> &Judgement {
        &self.judgement
    }

    /// Returns what its documents say; `None` where nobody asked for it, or they were not all read and found to hold.
    pub fn catalogue(&self) -> Option<&Catalogue> {
        self.catalogue.as_ref().and_then(OnceLock::get)
    }

    /// Where everything lies.
    pub const fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// The volumes.
    pub fn volumes(&self) -> &Files {
        &self.volumes
    }

    /// Whether it is what a writer has not finished.
    pub(in crate::bundle) const fn is_unfinished(&self) -> bool {
        self.is_unfinished
    }

    /// The files of form flat, if it is of that.
    pub const fn flat(&self) -> Option<&Flat> {
        self.flat.as_ref()
    }

    /// Where a unit begins on the medium, for messages.
    pub(in crate::bundle) fn place_of(&self, unit: &Unit) -> String {
        let place = self.offsets.place(unit.frames.start);
        format!("volume {}, from offset {}", self.volumes.file_name(place.volume), place.offset)
    }

    /// Adds to an error where its unit begins on the medium.
    pub(in crate::bundle) fn in_unit(&self, unit: &Unit, error: Error) -> Error {
        Error { what: format!("{} ({})", error.what, self.place_of(unit)), ..error }
    }

    /// The place of a blob in `blobs`.
    pub fn blob_index(&self, digest: &Digest) -> Option<usize> {
        let blobs = &self.manifest.blobs;
        let found = self.index.binary_search_by_key(&digest, |index| &blobs[*index as usize].digest).ok()?;
        Some(self.index[found] as usize)
    }

    /// A volume, counted from 0, is there, a plain file, and of its length.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Integrity`], [`crate::base::fault::Class::Io`].
    pub(in crate::bundle) fn fits(&self, volume: usize) -> Result<(), Error> {
        let (file, expected) = (self.volumes.file_name(volume), self.manifest.volumes[volume].size);
        let size = self.volumes.size(volume)?.ok_or_else(|| self.lacks(volume))?;
        match size.cmp(&expected) {
            Ordering::Equal => Ok(()),
            Ordering::Less => Err(Error::integrity(format!("volume {file}: truncated at {size} of {expected} bytes"))),
            Ordering::Greater => {
                Err(Error::integrity(format!("volume {file}: expected {expected} bytes, found {size}")))
            }
        }
    }

    /// Whether a volume is not there.
    pub fn lacks_any(&self) -> bool {
        (0..self.manifest.volumes.len()).any(|volume| matches!(self.volumes.size(volume), Ok(None)))
    }

    /// The fault of a volume, counted from 0, that is not there.
    pub(in crate::bundle) fn lacks(&self, volume: usize) -> Error {
        let (file, number) = (self.volumes.file_name(volume), volume + 1);
        Error::integrity(format!("volume {file}: need volume {number} of bundle {}, found none", self.id))
            .help("put the volume beside the manifest, or name the directory that holds it with --volume-dir")
    }
}
