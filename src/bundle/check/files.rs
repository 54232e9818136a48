//! The files of a bundle on its medium, without reading their content: which are missing, of another length, or extra
//! (`spec/verification.md`).

use std::path::Path;

use crate::bundle::Error;
use crate::bundle::open::trusted::Trusted;
use crate::bundle::volumes::local::{open_plain, read_capped};
use crate::flow::Flow;

impl Trusted {
    /// Compares the files of the medium with the manifest, without reading them: every volume there and of
    /// its length, none beyond, the checksum list (where there is one) as computed. All faults; once the run is cancelled
    /// that alone.
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
        if self.volumes().is_finished() {
            errors.extend(self.survey_beside());
        }
        errors
    }

    /// Checks what lies next to the volumes: extra ones, and checksum lists that differ.
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
        self.volumes().dirs().iter().try_for_each(|dir| self.check_checksums_in(dir))
    }

    fn check_checksums_in(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(self.manifest().name.checksums());
        let expected = self.manifest().checksums(self.id());
        let Some((_, size)) = open_plain(&path)? else { return Ok(()) };
        if self.flat().is_some() {
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
