//! A bundle in a stage: found again by a later run, sent on whole, and then deleted there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::fault::{Class, Fault, differs};
use crate::bundle::volumes::local::Directories;
use crate::bundle::{Name, Untrusted, open};
use crate::flow::Flow;
use crate::operate::transfer::upload::{self, Copied, Request};
use crate::state::Store;
use crate::storage::Container;

/// A bundle that lies in a directory, whole.
pub struct Staged {
    /// The directory.
    pub dir: PathBuf,
    /// The bundle.
    pub bundle: Untrusted,
}

/// Returns the newest export of a channel if its bundle lies in `dir`.
///
/// # Errors
/// Class io, lock; those of opening a bundle.
pub fn of_channel(store: &Store, channel: &str, dir: &Path) -> Result<Option<Staged>, Fault> {
    let there = |name: &Name| Ok(of_name(name, dir)?.map(|staged| staged.bundle.manifest_bytes().to_vec()));
    let Some(manifest) = last(store, channel, there)? else { return Ok(None) };
    of_name(&crate::bundle::Manifest::parse(&manifest)?.name, dir)
}

/// Returns the manifest of the newest export of a channel if `there` returns the same one by its name.
///
/// # Errors
/// Class io, lock; those of `there`.
pub fn last(
    store: &Store,
    channel: &str,
    there: impl Fn(&Name) -> Result<Option<Vec<u8>>, Fault>,
) -> Result<Option<Vec<u8>>, Fault> {
    let is_there = |manifest: &[u8]| -> Result<bool, Fault> {
        let name = crate::bundle::Manifest::parse(manifest)?.name;
        Ok(there(&name)?.as_deref() == Some(manifest))
    };
    let series = store.series(channel)?;
    if let Some(begun) = series.begun()?
        && is_there(&begun)?
    {
        // The run that published it was killed before it could say so.
        series.done()?;
    }
    let Some(manifest) = series.last()? else { return Ok(None) };
    Ok(is_there(&manifest)?.then_some(manifest))
}

/// Returns the bundle `name` if it lies in `dir`.
///
/// # Errors
/// Those of opening a bundle.
pub fn of_name(name: &Name, dir: &Path) -> Result<Option<Staged>, Fault> {
    let path = dir.join(name.manifest());
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    Ok(Some(Staged { dir: dir.to_owned(), bundle: open(&path)? }))
}

impl Staged {
    /// Returns the name of the bundle.
    pub fn name(&self) -> &Name {
        self.bundle.name()
    }

    /// Returns the bundle's path, as commands take it.
    pub fn path(&self) -> PathBuf {
        self.dir.join(self.name().as_str())
    }

    /// Returns whether the container has this bundle. Its manifest is written last, so all of it is there.
    ///
    /// # Errors
    /// Those of [`upload::manifest`].
    pub fn is_in(&self, container: &dyn Container) -> Result<bool, Fault> {
        Ok(upload::manifest(container, self.name())?.as_deref() == Some(self.bundle.manifest_bytes()))
    }

    /// Copies the bundle into the container, and then deletes it in the stage. Goes on where an
    /// earlier run was killed.
    ///
    /// # Errors
    /// Those of [`upload::run`]; class io for the stage.
    pub fn send(&self, flow: &Flow, container: Arc<dyn Container>, overwrite: bool) -> Result<Copied, Fault> {
        let name = self.name().clone();
        let manifest = self.bundle.claimed()?;
        // The run that sent it may have deleted volumes here already.
        let copied = if self.is_broken(&manifest) && self.is_in(&*container)? {
            let bytes = manifest.volumes.iter().map(|volume| volume.size).sum();
            Copied { id: self.bundle.id(), volumes: manifest.volumes.len(), bytes, sent: 0, was_there: true }
        } else {
            let source = Arc::new(Directories::new(vec![self.dir.clone()]));
            upload::run(flow, &Request { source, name, container, overwrite, stage: "sending" })?
        };
        self.clear()?;
        Ok(copied)
    }

    /// Returns whether a volume is missing in the stage.
    fn is_broken(&self, manifest: &crate::bundle::Manifest) -> bool {
        let name = self.name();
        (1..=manifest.volumes.len()).any(|number| !self.dir.join(name.volume(number)).is_file())
    }

    /// Deletes the bundle's files here, the manifest last, so that a later run finds what is left.
    fn clear(&self) -> Result<(), Fault> {
        let (name, manifest) = (self.name(), self.bundle.claimed()?);
        let volumes = (1..=manifest.volumes.len()).map(|number| name.volume(number));
        let files = volumes.chain([name.checksums(), name.signatures(), name.manifest()]);
        for file in files {
            let path = self.dir.join(&file);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    let what = differs(path.display(), "to delete it", error);
                    return Err(Fault::new(Class::Io, what).help("delete the bundle's files in the stage by hand"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
