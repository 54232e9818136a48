//! The exporter's side: the manifest of each channel's newest export (`spec/state.md`).
//!
//! There are two files: `CHANNEL.json` is the last published manifest, and `CHANNEL.next.json` a
//! signed one that is about to be published. A run that is killed in between leaves both, and the
//! next run finds out whether it was published.

use std::path::PathBuf;

use super::{Lock, Store, io_fault, read, replace};
use crate::base::fault::Fault;
use crate::system;

/// Largest manifest in bytes.
const MAX_MANIFEST: u64 = 64 << 20;

/// The exports of one channel, locked by this run.
#[derive(Debug)]
pub struct Series {
    last: PathBuf,
    next: PathBuf,
    _lock: Lock,
}

impl Store {
    /// Locks the exports of `channel` against other runs until the value is dropped.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Lock`], [`crate::base::fault::Class::Io`].
    pub fn series(&self, channel: &str) -> Result<Series, Fault> {
        let folder = self.dir().join("export");
        system::make_private_folders(&folder).map_err(|error| io_fault(&folder, &error))?;
        let lock =
            Lock::take(&folder.join(format!("{channel}.lock")), &format!("channel {channel}: another run exports it"))?;
        Ok(Series {
            last: folder.join(format!("{channel}.json")),
            next: folder.join(format!("{channel}.next.json")),
            _lock: lock,
        })
    }

    /// Returns the manifest of a channel's newest export, if there is one. Does not lock, so
    /// another run may be exporting.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`].
    pub fn last_export(&self, channel: &str) -> Result<Option<Vec<u8>>, Fault> {
        let path = self.dir().join("export").join(format!("{channel}.json"));
        read(&path, MAX_MANIFEST).map_err(|error| io_fault(&path, &error))
    }
}

impl Series {
    /// Returns the last published manifest.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`].
    pub fn last(&self) -> Result<Option<Vec<u8>>, Fault> {
        read(&self.last, MAX_MANIFEST).map_err(|error| io_fault(&self.last, &error))
    }

    /// Returns a manifest that was signed by a run that may or may not have published it.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`].
    pub fn begun(&self) -> Result<Option<Vec<u8>>, Fault> {
        read(&self.next, MAX_MANIFEST).map_err(|error| io_fault(&self.next, &error))
    }

    /// Records a manifest that is about to be published.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`].
    pub fn begin(&self, manifest: &[u8]) -> Result<(), Fault> {
        replace(&self.next, manifest).map_err(|error| io_fault(&self.next, &error))
    }

    /// Marks the manifest of [`Series::begin`] as published.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`].
    pub fn done(&self) -> Result<(), Fault> {
        std::fs::rename(&self.next, &self.last)
            .and_then(|()| system::sync_name(&self.last))
            .map_err(|error| io_fault(&self.last, &error))
    }
}
