//! The exporter's side: the manifest of each channel's newest export (`spec/state.md`).
//!
//! Two files: `CHANNEL.json`, which was published, and `CHANNEL.next.json`, which was signed and is about to be. A run that
//! is killed between the two leaves both, and the next one finds out which it was.

use std::path::PathBuf;

use super::{Lock, Store, io_fault, read, replace};
use crate::base::fault::Fault;
use crate::system;

/// The largest manifest.
const MAX_MANIFEST: u64 = 64 << 20;

/// The exports of one channel, held by this run alone.
#[derive(Debug)]
pub struct Series {
    last: PathBuf,
    next: PathBuf,
    _lock: Lock,
}

impl Store {
    /// Takes the exports of `channel`: no other run has them until it is dropped.
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

    /// The manifest of a channel's newest export, if there is one; looked at while another run may export.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`].
    pub fn last_export(&self, channel: &str) -> Result<Option<Vec<u8>>, Fault> {
        let path = self.dir().join("export").join(format!("{channel}.json"));
        read(&path, MAX_MANIFEST).map_err(|error| io_fault(&path, &error))
    }
}

impl Series {
    /// The manifest that was published last.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`].
    pub fn last(&self) -> Result<Option<Vec<u8>>, Fault> {
        read(&self.last, MAX_MANIFEST).map_err(|error| io_fault(&self.last, &error))
    }

    /// One that was signed by a run of which it is not known whether it published it.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`].
    pub fn begun(&self) -> Result<Option<Vec<u8>>, Fault> {
        read(&self.next, MAX_MANIFEST).map_err(|error| io_fault(&self.next, &error))
    }

    /// Notes a manifest that is about to be published.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`].
    pub fn begin(&self, manifest: &[u8]) -> Result<(), Fault> {
        replace(&self.next, manifest).map_err(|error| io_fault(&self.next, &error))
    }

    /// The manifest of [`Series::begin`] is published.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`].
    pub fn done(&self) -> Result<(), Fault> {
        std::fs::rename(&self.next, &self.last)
            .and_then(|()| system::sync_name(&self.last))
            .map_err(|error| io_fault(&self.last, &error))
    }
}
