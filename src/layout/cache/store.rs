//! The files and names of a cache: opens the layout, removes blobs, keeps the list of names.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::room::Room;
use crate::base::fault::{Class, Fault};
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::layout::disk::Disk;
use crate::layout::index::Index;
use crate::layout::{INDEX, Layout, MAX_INDEX};
use crate::oci::{Descriptor, Digest, Document, Repository, Tag};

/// A layout that changes while it is open.
pub struct CacheLayout {
    pub(super) shown: String,
    pub(super) disk: Disk,
    _lock: File,
    room: Mutex<Room>,
    // Locked after `room`, or alone.
    index: Mutex<Index>,
    pub(super) this: Weak<Self>,
}

/// A name in a cache, or a document without one.
#[derive(Clone, Debug)]
pub struct Named {
    /// Repository; `None` for a document without a name.
    pub repository: Option<Repository>,
    /// Tag.
    pub tag: Option<Tag>,
    /// Document.
    pub descriptor: Descriptor,
}

impl CacheLayout {
    /// Opens a layout as a cache of at most `most` bytes of blobs; creates it if `path` does not exist
    /// or is empty. Locks it like [`Layout::create`]. Returns also the names in it.
    ///
    /// # Errors
    /// Those of [`Layout::create`].
    pub fn open(path: &Path, most: Option<u64>) -> Result<(Arc<Self>, Vec<Named>), Fault> {
        let Layout { disk, writer, entries, repository, .. } = Layout::create(path)?;
        let shown = format!("cache {}", path.display());
        let (Some(writer), own) = (writer, repository) else {
            return Err(Fault::new(Class::Bug, format!("{shown}: not open for writing")));
        };
        let io = |error: io::Error| Fault::new(Class::Io, format!("{shown}: {error}"));
        let mut found = Vec::new();
        for digest in disk.blobs().map_err(io)? {
            let Some((file, size)) = disk.blob(digest).map_err(io)? else { continue };
            let seen = file.metadata().and_then(|seen| seen.accessed().or_else(|_| seen.modified())).ok();
            found.push((seen, digest, size));
        }
        found.sort_unstable_by_key(|(seen, digest, _)| (*seen, *digest));
        let mut room = Room::new(most);
        for (_, digest, size) in found {
            room.reserve(size);
            room.add(digest, size);
        }
        let names = entries.iter().flat_map(|entry| {
            let named = entry.names.iter().filter(|name| name.repository != own);
            let all = named.map(|name| (Some(name.repository.clone()), name.tag.clone()));
            let all: Vec<_> = if entry.names.is_empty() { vec![(None, None)] } else { all.collect() };
            all.into_iter().map(|(repository, tag)| Named { repository, tag, descriptor: entry.descriptor.clone() })
        });
        let names = names.collect();
        let cache = Arc::new_cyclic(|this| Self {
            shown,
            disk,
            _lock: writer.lock,
            room: Mutex::new(room),
            index: Mutex::new(writer.index.into_inner().unwrap_or_else(PoisonError::into_inner)),
            this: this.clone(),
        });
        cache.trim();
        Ok((cache, names))
    }

    pub(super) fn io(&self, subject: impl std::fmt::Display, error: &io::Error) -> Error {
        Error::io(format!("{}: {subject}", self.shown), error)
    }

    /// Calls `with` on the numbers of the blobs.
    pub(super) fn room<T>(&self, with: impl FnOnce(&mut Room) -> T) -> T {
        with(&mut lock(&self.room))
    }

    /// Returns the size of a blob, if it is kept.
    pub fn size(&self, digest: Digest) -> Option<u64> {
        self.room(|room| room.size(digest))
    }

    /// Returns the number of bytes that are kept.
    pub fn bytes(&self) -> u64 {
        self.room(|room| room.bytes())
    }

    /// Makes names stand for documents that are kept; a document without a name is only listed.
    ///
    /// # Errors
    /// [`Kind::Io`]; [`Kind::Refused`] if the list of names is too large.
    pub fn name(&self, names: &[(Option<(&Repository, &Tag)>, &Document)]) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        let mut index = lock(&self.index);
        for (name, document) in names {
            match name {
                Some((repository, tag)) => index.set(&format!("{repository}:{tag}"), document),
                None => index.set_plain(document),
            }
        }
        self.write(&index)
    }

    /// Writes the list of names to its file. The list is locked, so that an older one never replaces a
    /// newer one.
    fn write(&self, index: &Index) -> Result<(), Error> {
        let wrong = |text: String| Error::new(Kind::Refused, format!("{}: {INDEX}: {text}", self.shown));
        let bytes = index.to_bytes().map_err(wrong)?;
        if bytes.len() as u64 > MAX_INDEX {
            return Err(wrong(format!("expected at most {MAX_INDEX} bytes, found {}", bytes.len())));
        }
        self.disk.replace(INDEX, &bytes).map_err(|error| self.io(INDEX, &error))
    }

    /// Removes a blob. Whoever reads it still gets all of it.
    pub fn remove(&self, digest: Digest) {
        self.room(|room| self.forget(room, &[digest]));
    }

    /// Removes the least used blobs until the rest fits.
    pub(super) fn trim(&self) {
        self.room(|room| {
            let surplus = room.surplus();
            if !surplus.is_empty() {
                self.forget(room, &surplus);
            }
        });
    }

    fn forget(&self, room: &mut Room, digests: &[Digest]) {
        for digest in digests {
            room.forget(*digest);
            // Ignore a failure: a file that stays is found when the cache is opened the next time.
            let _ = self.disk.remove(*digest);
        }
        let gone: HashSet<String> = digests.iter().map(ToString::to_string).collect();
        let mut index = lock(&self.index);
        if index.forget(&gone) {
            // Ignore a failure: a name without content is a name that must be fetched again.
            let _ = self.write(&index);
        }
    }
}
