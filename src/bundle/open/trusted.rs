//! A bundle whose manifest a policy or its own writer has vouched for: [`Trusted`], which alone gives content
//! (`spec/verification.md`, step 8).

use std::cmp::Ordering;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::catalog::Catalogue;
use crate::bundle::format::manifest::Form;
use crate::bundle::format::offsets::{Geometry, Unit};
use crate::bundle::source::cache::Shelf;
use crate::bundle::volumes::flat::Flat;
use crate::bundle::volumes::local::{Volumes, open_plain, read_capped};
use crate::bundle::{Error, Manifest};
use crate::flow::Flow;
use crate::oci::Digest;
use crate::signing::{Admission, Judgement};

/// A bundle whose manifest is authenticated: the only thing that gives content.
pub struct Trusted {
    id: Digest,
    manifest: Arc<Manifest>,
    geometry: Geometry,
    volumes: Volumes,
    // In form flat, where there are no volumes.
    flat: Option<Flat>,
    judgement: Judgement,
    pub(in crate::bundle) admission: Admission,
    // The blobs' places in `blobs`, by their digests.
    index: Vec<u32>,
    // Filled by the walk over the documents, where someone asked for it.
    pub(in crate::bundle) catalogue: Option<OnceLock<Catalogue>>,
    pub(in crate::bundle) shelf: Shelf,
}

impl Trusted {
    /// What a writer has just made, under the names of the unfinished: trusted for the read-back alone.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Format`].
    #[cfg(feature = "carry")]
    pub(in crate::bundle) fn just_written(dir: &Path, manifest: &Manifest) -> Result<Self, Error> {
        let id = Digest::sha256(&manifest.to_bytes());
        let volumes = Volumes::unfinished(dir.to_owned(), manifest.name.clone());
        Self::new(id, manifest.clone(), volumes, Judgement::default())
    }

    pub(in crate::bundle) fn new(
        id: Digest,
        manifest: Manifest,
        volumes: Volumes,
        judgement: Judgement,
    ) -> Result<Self, Error> {
        let manifest = Arc::new(manifest);
        let geometry = Geometry::new(&manifest)?;
        let dir = volumes.dirs().first();
        let flat = match (manifest.form, dir) {
            (Form::Volumes, _) => None,
            (Form::Flat, Some(dir)) if volumes.is_finished() => Some(Flat::new(dir, &manifest.name)),
            (Form::Flat, Some(dir)) => Some(Flat::unfinished(dir, &manifest.name)),
            (Form::Flat, None) => {
                return Err(Error::format("stream: expected a manifest of form volumes, found form flat")
                    .help("a flat bundle is a directory; a stream is made of one in volumes"));
            }
        };
        // No truncation: at most 500,000.
        let mut index: Vec<u32> = (0..u32::try_from(manifest.blobs.len()).unwrap_or(u32::MAX)).collect();
        index.sort_unstable_by_key(|index| &manifest.blobs[*index as usize].digest);
        Ok(Self {
            id,
            manifest,
            geometry,
            volumes,
            flat,
            judgement,
            admission: Admission::default(),
            index,
            catalogue: None,
            shelf: Shelf::default(),
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

    /// What its documents say; `None` where nobody asked for it, or they were not all read and found to hold.
    pub fn catalogue(&self) -> Option<&Catalogue> {
        self.catalogue.as_ref().and_then(OnceLock::get)
    }

    /// Where everything lies.
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The volumes.
    pub const fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    /// The files of form flat, if it is of that.
    pub const fn flat(&self) -> Option<&Flat> {
        self.flat.as_ref()
    }

    /// Where a unit begins on the medium, for messages.
    pub(in crate::bundle) fn place_of(&self, unit: &Unit) -> String {
        let place = self.geometry.place(unit.frames.start);
        format!("volume {}, from offset {}", self.volumes.file_name(place.volume), place.offset)
    }

    /// The place of a blob in `blobs`.
    pub fn blob_index(&self, digest: &Digest) -> Option<usize> {
        let blobs = &self.manifest.blobs;
        let found = self.index.binary_search_by_key(&digest, |index| &blobs[*index as usize].digest).ok()?;
        Some(self.index[found] as usize)
    }

    /// The files of the medium against the manifest, without reading them: every volume there and of
    /// its length, none beyond, the checksum list (where there is one) as computed. All faults; once the run is cancelled
    /// that alone.
    pub fn survey(&self, flow: &Flow) -> Vec<Error> {
        let mut errors = Vec::new();
        for volume in 0..self.manifest.volumes.len() {
            if let Err(cancelled) = flow.check() {
                return vec![cancelled.into()];
            }
            errors.extend(self.fits(volume).err());
        }
        if let Some(flat) = &self.flat {
            errors.extend(flat.survey(&self.geometry.tar, self, flow));
        }
        if self.volumes.is_finished() {
            errors.extend(self.survey_beside());
        }
        errors
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

    /// What lies beside the volumes: extra ones, and lists that differ.
    pub(in crate::bundle) fn survey_beside(&self) -> Vec<Error> {
        let mut errors = Vec::new();
        match self.volumes.present() {
            Err(error) => errors.push(error),
            Ok(present) => {
                let count = self.manifest.volumes.len();
                errors.extend(present.into_iter().filter(|number| !(1..=count).contains(number)).map(|number| {
                    let file = self.manifest.name.volume(number);
                    Error::integrity(format!("volume {file}: extra, the bundle has {count}"))
                        .help("remove the file if it is another bundle's")
                }));
            }
        }
        if let Err(error) = self.check_checksums() {
            errors.push(error);
        }
        errors
    }

    fn check_checksums(&self) -> Result<(), Error> {
        self.volumes.dirs().iter().try_for_each(|dir| self.check_checksums_in(dir))
    }

    fn check_checksums_in(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(self.manifest.name.checksums());
        let expected = self.manifest.checksums(self.id);
        let Some((_, size)) = open_plain(&path)? else { return Ok(()) };
        if self.flat.is_some() {
            return Err(Error::integrity(format!("{}: extra, form flat has no list", path.display()))
                .help("remove it; it is not needed"));
        }
        // One that is too long differs already, however long it is.
        let is_same = size == expected.len() as u64
            && read_capped(&path, size)?.is_some_and(|found| found == expected.as_bytes());
        if is_same {
            return Ok(());
        }
        Err(Error::integrity(format!("{}: differs from the computed one", path.display()))
            .help("remove it; it is not needed"))
    }
}
