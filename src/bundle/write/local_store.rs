//! The directory in which a bundle is written, as the store of its files. Whole files are there
//! already under unfinished names; they get their final names at the end, the manifest last
//! (`spec/bundle.md`).

use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Advice, fadvise};

use super::output::{Output, write_error};
use super::resume;
use crate::bundle::Error;
use crate::bundle::volumes::local::Directories;
use crate::content;
use crate::content::store::{Finished, Store, Whole};
use crate::content::volumes::Volumes;
use crate::system;

impl Store for Output {
    /// Does nothing, since the file is in the directory already.
    fn put(&self, _: Whole) -> Result<(), content::Error> {
        Ok(())
    }

    fn settle(&self, volumes: &[String]) -> Result<Arc<dyn Volumes>, content::Error> {
        for file in volumes {
            sync(&self.path(&unfinished(file)))?;
        }
        Ok(Arc::new(Directories::unfinished(self.dir().to_owned())))
    }

    fn finish(&self, bundle: &Finished) -> Result<(), content::Error> {
        Ok(publish(self, bundle)?)
    }

    fn clear(&self) -> Result<(), content::Error> {
        let name = self.name();
        for file in [name.manifest(), name.signatures(), name.checksums()] {
            self.remove(&self.path(&format!("{file}.new.partial")))?;
        }
        for number in self.partial_volumes()? {
            self.remove(&self.partial_volume(number))?;
        }
        Ok(self.remove_all(&self.partial_flat())?)
    }
}

fn unfinished(file: &str) -> String {
    format!("{file}.partial")
}

/// Syncs a file to the medium.
pub(in crate::bundle) fn sync(path: &Path) -> Result<(), Error> {
    let file = system::open_file(path).map_err(|unopened| Error::io(path.display(), &unopened.error))?;
    // A failed fsync is never tried again: the result of a second one means nothing.
    file.sync_all().map_err(|error| write_error(path, &error))?;
    // Only advice, so that reading back reads the medium.
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    Ok(())
}

fn publish(output: &Output, bundle: &Finished) -> Result<(), Error> {
    let name = output.name();
    // All bytes are on the medium before the first final name is given, so that a full medium is
    // found while nothing is visible.
    for small in &bundle.small {
        output.prepare(&small.name, &small.bytes)?;
    }
    if output.overwrite() {
        // The old manifest first: without it there is no bundle, whenever the rest is removed.
        output.remove(&output.path(&name.manifest()))?;
        output.sync()?;
    }
    // Without a manifest they belong to no bundle: a replacement that was killed here left them of
    // the old one. All volumes of this bundle are still unfinished.
    for number in output.volumes()? {
        output.remove(&output.path(&name.volume(number)))?;
    }
    // One next to an unfinished one belongs to the old bundle; so does one if this bundle has
    // volumes.
    if output.partial_flat().exists() || bundle.folder.is_none() {
        output.remove_all(&output.flat())?;
    }
    output.remove(&output.path(&name.signatures()))?;
    output.remove(&output.path(&name.checksums()))?;
    if let Err(error) = give_names(output, bundle) {
        // Best effort, the manifest first: the next run resumes from what is there.
        for file in [name.manifest(), name.signatures(), name.checksums()] {
            let _ = output.remove(&output.path(&file));
        }
        let _ = resume::undo_renames(output);
        return Err(error);
    }
    Ok(())
}

/// Gives the final names, volumes first and the manifest last, and makes them durable.
fn give_names(output: &Output, bundle: &Finished) -> Result<(), Error> {
    for file in bundle.volumes.iter().chain(&bundle.folder) {
        output.rename(&output.path(&unfinished(file)), &output.path(file))?;
    }
    output.sync()?;
    bundle.small.iter().try_for_each(|small| output.settle(&small.name))?;
    output.sync()
}
