//! Checks the files of a bundle on its medium without reading their content: finds those that are
//! missing, have another size, or are extra (`spec/verification.md`).

use std::collections::BTreeSet;

use crate::bundle::Error;
use crate::bundle::format::tar::Tar;
use crate::bundle::open::trusted::Trusted;
use crate::bundle::volumes::files::fault;
use crate::flow::Flow;
use crate::oci::Digest;

impl Trusted {
    /// Compares the files on the medium with the manifest without reading them: every volume exists
    /// and has its size, there are no others, and the checksum list (if there is one) is as
    /// computed. Returns all faults, or only the cancellation once the run is cancelled.
    pub fn survey(&self, flow: &Flow) -> Vec<Error> {
        let mut errors = Vec::new();
        for volume in 0..self.manifest().volumes.len() {
            if let Err(cancelled) = flow.check() {
                return vec![cancelled.into()];
            }
            errors.extend(self.fits(volume).err());
        }
        if let Some(flat) = self.flat() {
            errors.extend(flat.survey(&self.offsets().tar, &|digest| self.blob_index(digest).is_some(), flow));
        }
        if !self.is_unfinished {
            errors.extend(self.survey_beside());
        }
        errors
    }

    /// Returns the volumes, counted from 0, that hold these blobs and whatever shares frames with them.
    pub fn volumes_of<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> BTreeSet<usize> {
        let mut volumes = BTreeSet::new();
        if self.flat().is_some() {
            return volumes;
        }
        let offsets = self.offsets();
        for index in digests.into_iter().filter_map(|digest| self.blob_index(digest)) {
            let frames = offsets.unit_of(Tar::of_blob(index)).frames.clone();
            volumes.extend(frames.map(|frame| offsets.volume_of(frame)));
        }
        volumes
    }

    /// Like [`Trusted::survey`], for a part of the content: only `volumes`, counted from 0, have to
    /// exist, and in form flat the files of `digests`.
    pub fn survey_part(&self, volumes: &BTreeSet<usize>, digests: &BTreeSet<Digest>, flow: &Flow) -> Vec<Error> {
        let mut errors: Vec<Error> = volumes.iter().filter_map(|volume| self.fits(*volume).err()).collect();
        if let Some(flat) = self.flat() {
            let blobs = digests.iter().filter_map(|digest| self.blob_index(digest));
            for blob in blobs.map(|index| &self.manifest().blobs[index]) {
                if let Err(cancelled) = flow.check() {
                    return vec![cancelled.into()];
                }
                errors.extend(flat.blob(&blob.digest, blob.size).err());
            }
        }
        errors.extend(self.survey_beside());
        errors
    }

    /// Checks the files next to the volumes: extra volumes, and checksum lists that differ.
    pub(in crate::bundle) fn survey_beside(&self) -> Vec<Error> {
        let mut errors = Vec::new();
        match self.volumes().present() {
            Err(error) => errors.push(error),
            Ok(present) => {
                let count = self.manifest().volumes.len();
                errors.extend(present.into_iter().filter(|number| !(1..=count).contains(number)).map(|number| {
                    let file = self.manifest().name.volume(number);
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
        let (file, is_flat) = (self.manifest().name.checksums(), self.flat().is_some());
        // Form flat has no list.
        let expected = if is_flat { String::new() } else { self.manifest().checksums(self.id()) };
        let others = self.volumes().place().other_copies(&file, expected.as_bytes()).map_err(fault)?;
        let Some(shown) = others.first() else { return Ok(()) };
        let problem = if is_flat { "extra, form flat has no list" } else { "differs from the computed one" };
        Err(Error::integrity(format!("{shown}: {problem}")).help("remove it; it is not needed"))
    }
}
