//! A bundle whose manifest a policy or its own writer has vouched for: [`Trusted`], the only type
//! that provides content (`spec/verification.md`, step 8).

use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

use super::catalog::Catalogue;
use crate::base::fault::differs;
use crate::bundle::format::manifest::Form;
use crate::bundle::format::offsets::{Offsets, Unit};
use crate::bundle::source::cache::ReadCache;
use crate::bundle::volumes::files::Files;
use crate::bundle::volumes::flat::Flat;
use crate::bundle::{Error, Manifest};
use crate::oci::Digest;
use crate::signing::{Admission, Judgement};

/// A bundle whose manifest is authenticated: the only type that provides content.
pub struct Trusted {
    id: Digest,
    manifest: Arc<Manifest>,
    offsets: Offsets,
    volumes: Arc<Files>,
    // Set for the read-back of an unfinished bundle. Files next to it do not belong to it.
    pub(in crate::bundle) is_unfinished: bool,
    // Set in form flat, which has no volumes.
    flat: Option<Flat>,
    judgement: Judgement,
    pub(in crate::bundle) admission: Admission,
    // Indexes into `blobs`, in order of the digests.
    index: Vec<u32>,
    // Filled on request by the walk over the documents.
    pub(in crate::bundle) catalogue: Option<OnceLock<Catalogue>>,
    pub(in crate::bundle) cache: ReadCache,
}

impl Trusted {
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

    /// Keeps at most this many bytes of documents in memory from now on; others are read again when they
    /// are asked for. For a reader that stays, and has a cache of its own.
    pub fn keep_documents(&self, bytes: u64) {
        self.cache.keep_documents(bytes);
    }

    /// Returns the bundle id.
    pub const fn id(&self) -> Digest {
        self.id
    }

    /// Returns the manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns who signed.
    pub const fn judgement(&self) -> &Judgement {
        &self.judgement
    }

    /// Returns what its documents say, or `None` if that was not requested or not all of them were
    /// read and valid.
    pub fn catalogue(&self) -> Option<&Catalogue> {
        self.catalogue.as_ref().and_then(OnceLock::get)
    }

    /// Returns the positions of everything.
    pub const fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// Returns the volumes.
    pub fn volumes(&self) -> &Files {
        &self.volumes
    }

    /// Returns the files of form flat, if the bundle has that form.
    pub const fn flat(&self) -> Option<&Flat> {
        self.flat.as_ref()
    }

    /// Returns where a unit begins on the medium, for messages.
    pub(in crate::bundle) fn place_of(&self, unit: &Unit) -> String {
        let place = self.offsets.place(unit.frames.start);
        format!("volume {}, from offset {}", self.volumes.file_name(place.volume), place.offset)
    }

    /// Adds to an error where its unit begins on the medium.
    pub(in crate::bundle) fn in_unit(&self, unit: &Unit, error: Error) -> Error {
        Error { what: format!("{} ({})", error.what, self.place_of(unit)), ..error }
    }

    /// Returns the index of a blob in `blobs`.
    pub fn blob_index(&self, digest: &Digest) -> Option<usize> {
        let blobs = &self.manifest.blobs;
        let found = self.index.binary_search_by_key(&digest, |index| &blobs[*index as usize].digest).ok()?;
        Some(self.index[found] as usize)
    }

    /// Checks that a volume, counted from 0, exists, is a plain file and has its size.
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
                Err(Error::integrity(differs(format_args!("volume {file}"), format_args!("{expected} bytes"), size)))
            }
        }
    }

    /// Whether any volume is missing.
    pub fn lacks_any(&self) -> bool {
        (0..self.manifest.volumes.len()).any(|volume| matches!(self.volumes.size(volume), Ok(None)))
    }

    /// Returns the error for a missing volume, counted from 0.
    pub(in crate::bundle) fn lacks(&self, volume: usize) -> Error {
        let (file, number) = (self.volumes.file_name(volume), volume + 1);
        Error::integrity(format!("volume {file}: need volume {number} of bundle {}, found none", self.id)).help(
            "put the volume next to the manifest; verify, import and cat also look in the directories of --volume-dir",
        )
    }
}
