//! A layout that changes while it is open: the store of a cache. Content is added while others read
//! it, and the least used is removed to make room.
//!
//! Has the same files as any layout, and the same lock. Layers may be missing: they were removed, or
//! never asked for. A file gets the name of a digest only when it is complete, checked and durable.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::disk::{Disk, Partial};
use super::index::Index;
use super::{INDEX, Layout, MAX_INDEX};
use crate::base::fault::Fault;
use crate::base::lock::lock;
use crate::content::{Error, Kind, Ranges, Source};
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::{Descriptor, Digest, Document, Reference, Repository, Tag};

/// A layout that changes while it is open.
pub struct CacheLayout {
    shown: String,
    disk: Disk,
    _lock: File,
    state: Mutex<State>,
    this: Weak<Self>,
}

#[derive(Default)]
struct State {
    index: Option<Index>,
    blobs: HashMap<Digest, Stored>,
    // Bytes of all blobs, also of those that are being written.
    bytes: u64,
    // Maximum number of bytes.
    most: Option<u64>,
    // Increases with every use.
    turn: u64,
}

struct Stored {
    size: u64,
    used: u64,
    readers: usize,
    // Documents stay as long as they fit: they take little room, and layers are of no use without them.
    is_document: bool,
}

/// A blob that is being written.
pub struct Incoming {
    cache: Arc<CacheLayout>,
    partial: Option<Partial>,
    digest: Digest,
    reserved: u64,
}

/// A blob that is being read; it is not removed meanwhile.
struct Reading {
    cache: Arc<CacheLayout>,
    digest: Digest,
    file: File,
    left: u64,
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
            return Err(Fault::new(crate::base::fault::Class::Bug, format!("{shown}: not open for writing")));
        };
        let io = |error: io::Error| Fault::new(crate::base::fault::Class::Io, format!("{shown}: {error}"));
        let mut found = Vec::new();
        for digest in disk.blobs().map_err(io)? {
            let Some((file, size)) = disk.blob(digest).map_err(io)? else { continue };
            let seen = file.metadata().and_then(|seen| seen.accessed().or_else(|_| seen.modified())).ok();
            found.push((seen, digest, size));
        }
        found.sort_unstable_by_key(|(seen, digest, _)| (*seen, *digest));
        let mut state = State {
            most,
            index: Some(writer.index.into_inner().unwrap_or_else(PoisonError::into_inner)),
            ..State::default()
        };
        for (_, digest, size) in found {
            state.turn += 1;
            state.bytes = state.bytes.saturating_add(size);
            state.blobs.insert(digest, Stored { size, used: state.turn, readers: 0, is_document: false });
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
            state: Mutex::new(state),
            this: this.clone(),
        });
        cache.trim();
        Ok((cache, names))
    }

    fn io(&self, subject: impl std::fmt::Display, error: &io::Error) -> Error {
        Error::io(format!("{}: {subject}", self.shown), error)
    }

    /// Returns the size of a blob, if it is kept.
    pub fn size(&self, digest: Digest) -> Option<u64> {
        lock(&self.state).blobs.get(&digest).map(|stored| stored.size)
    }

    /// Returns the number of bytes that are kept.
    pub fn bytes(&self) -> u64 {
        lock(&self.state).bytes
    }

    /// Opens a blob for reading, if it is kept, and counts this as a use.
    fn reading(&self, digest: Digest) -> Result<Option<Reading>, Error> {
        let Some(cache) = self.this.upgrade() else { return Ok(None) };
        {
            let mut state = lock(&self.state);
            state.turn += 1;
            let turn = state.turn;
            let Some(stored) = state.blobs.get_mut(&digest) else { return Ok(None) };
            stored.used = turn;
            stored.readers += 1;
        }
        let opened = self.disk.blob(digest);
        match opened {
            Ok(Some((file, size))) => Ok(Some(Reading { cache, digest, file, left: size })),
            other => {
                self.release(digest);
                // Somebody else removed the file.
                self.remove(digest);
                other.map(|_| None).map_err(|error| self.io(format_args!("blob {digest}"), &error))
            }
        }
    }

    fn release(&self, digest: Digest) {
        if let Some(stored) = lock(&self.state).blobs.get_mut(&digest) {
            stored.readers = stored.readers.saturating_sub(1);
        }
    }

    /// Reads a document, if it is kept and is one.
    ///
    /// # Errors
    /// [`Kind::Io`]; [`Kind::Mismatch`] for content that has changed on the disk, which is removed.
    pub fn document(&self, digest: Digest) -> Result<Option<Document>, Error> {
        let Some(reading) = self.reading(digest)? else { return Ok(None) };
        let mut raw = Vec::new();
        let read = reading.take(MAX_DOCUMENT + 1).read_to_end(&mut raw);
        read.map_err(|error| Error::from_io(format!("{}: blob {digest}", self.shown), error))?;
        if Digest::of(digest.algorithm(), &raw) != digest {
            self.remove(digest);
            return Err(Error::new(Kind::Mismatch, format!("{}: blob {digest}: its content has changed", self.shown)));
        }
        let document = Document::sniff(&raw).map(|media_type| Document::with_digest(&media_type, digest, raw));
        let document = document.and_then(Result::ok);
        if document.is_some() {
            self.mark(digest);
        }
        Ok(document)
    }

    /// Remembers that a blob is a document.
    fn mark(&self, digest: Digest) {
        if let Some(stored) = lock(&self.state).blobs.get_mut(&digest) {
            stored.is_document = true;
        }
    }

    /// Begins to write a blob of `size` bytes; room is made for it.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn begin(&self, digest: Digest, size: u64) -> Result<Incoming, Error> {
        let gone = || Error::new(Kind::Io, format!("{}: closed", self.shown));
        let cache = self.this.upgrade().ok_or_else(gone)?;
        lock(&self.state).bytes += size;
        let mut incoming = Incoming { cache, partial: None, digest, reserved: size };
        self.trim();
        let partial = self.disk.new_blob(digest).map_err(|error| self.io(format_args!("blob {digest}"), &error))?;
        incoming.partial = Some(partial);
        Ok(incoming)
    }

    /// Keeps a document, which was checked.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn keep(&self, document: &Document) -> Result<(), Error> {
        if self.size(document.digest()).is_some() {
            return Ok(());
        }
        let mut incoming = self.begin(document.digest(), document.size())?;
        incoming.write(document.raw())?;
        incoming.publish()?;
        self.mark(document.digest());
        Ok(())
    }

    /// Makes a name stand for a document that is kept; without a name, lists the document.
    ///
    /// # Errors
    /// [`Kind::Io`]; [`Kind::Refused`] if the list of names is too large.
    pub fn name(&self, name: Option<(&Repository, &Tag)>, document: &Document) -> Result<(), Error> {
        let mut state = lock(&self.state);
        let Some(index) = &mut state.index else { return Ok(()) };
        match name {
            Some((repository, tag)) => index.set(&format!("{repository}:{tag}"), document),
            None => index.set_plain(document),
        }
        self.write_index(index)
    }

    /// Writes the list of names to its file. The state is locked, so that an older list never
    /// replaces a newer one.
    fn write_index(&self, index: &Index) -> Result<(), Error> {
        let wrong = |text: String| Error::new(Kind::Refused, format!("{}: {INDEX}: {text}", self.shown));
        let bytes = index.to_bytes().map_err(wrong)?;
        if bytes.len() as u64 > MAX_INDEX {
            return Err(wrong(format!("expected at most {MAX_INDEX} bytes, found {}", bytes.len())));
        }
        self.disk.replace(INDEX, &bytes).map_err(|error| self.io(INDEX, &error))
    }

    /// Removes a blob. Whoever reads it still gets all of it.
    pub fn remove(&self, digest: Digest) {
        let mut state = lock(&self.state);
        self.forget(&mut state, &[digest]);
    }

    fn forget(&self, state: &mut State, digests: &[Digest]) {
        for digest in digests {
            if let Some(stored) = state.blobs.remove(digest) {
                state.bytes = state.bytes.saturating_sub(stored.size);
            }
            // Ignore a failure: a file that stays is found when the cache is opened the next time.
            let _ = self.disk.remove(*digest);
        }
        let gone: HashSet<String> = digests.iter().map(ToString::to_string).collect();
        if let Some(index) = &mut state.index
            && index.forget(&gone)
        {
            // Ignore a failure: a name without content is a name that must be fetched again.
            let _ = self.write_index(index);
        }
    }

    /// Removes the least used blobs until the rest fits, but none that is being read, and documents only if
    /// these alone do not fit.
    fn trim(&self) {
        let mut state = lock(&self.state);
        let Some(mut excess) = state.most.and_then(|most| state.bytes.checked_sub(most)).filter(|excess| *excess > 0)
        else {
            return;
        };
        // Content that is still being written is no reason to remove documents.
        let documents: u64 = state.blobs.values().filter(|stored| stored.is_document).map(|stored| stored.size).sum();
        let are_documents_many = state.most.is_some_and(|most| documents > most);
        let mut unread: Vec<((bool, u64), Digest, u64)> = (state.blobs.iter())
            .filter(|(_, stored)| stored.readers == 0 && (!stored.is_document || are_documents_many))
            .map(|(digest, stored)| ((stored.is_document, stored.used), *digest, stored.size))
            .collect();
        unread.sort_unstable();
        let mut gone = Vec::new();
        for (_, digest, size) in unread {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(size);
            gone.push(digest);
        }
        self.forget(&mut state, &gone);
    }
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

impl Incoming {
    /// Opens another handle of the file, to read what is written already.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn reader(&self) -> Result<File, Error> {
        let opened = self.partial.as_ref().map(Partial::reader).transpose();
        let opened = opened.and_then(|file| file.ok_or_else(|| io::ErrorKind::NotFound.into()));
        opened.map_err(|error| self.cache.io(format_args!("blob {}", self.digest), &error))
    }

    /// Writes more of the content.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = self.partial.as_mut().map_or(Ok(()), |partial| partial.write_all(bytes));
        written.map_err(|error| self.cache.io(format_args!("blob {}", self.digest), &error))
    }

    /// Makes the content durable and gives it its name. It must be complete and checked.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn publish(mut self) -> Result<(), Error> {
        let Some(partial) = self.partial.take() else { return Ok(()) };
        let published = partial.sync().and_then(|()| partial.publish());
        published.map_err(|error| self.cache.io(format_args!("blob {}", self.digest), &error))?;
        let mut state = lock(&self.cache.state);
        state.turn += 1;
        let stored = Stored { size: self.reserved, used: state.turn, readers: 0, is_document: false };
        if let Some(same) = state.blobs.insert(self.digest, stored) {
            state.bytes = state.bytes.saturating_sub(same.size);
            let readers = same.readers;
            state.blobs.entry(self.digest).and_modify(|stored| stored.readers = readers);
        }
        self.reserved = 0;
        drop(state);
        self.cache.trim();
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let mut state = lock(&self.cache.state);
        state.bytes = state.bytes.saturating_sub(self.reserved);
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.file.read(&mut buffer[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.cache.release(self.digest);
        self.cache.trim();
    }
}

fn absent(descriptor: &Descriptor) -> Error {
    Error::new(Kind::Absent, format!("blob {}: not in the cache", descriptor.digest))
}

/// Content by digest; names are asked for elsewhere.
impl Source for CacheLayout {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        let document = reference.digest.map_or(Ok(None), |digest| self.document(digest))?;
        document
            .map(|document| document.descriptor())
            .ok_or_else(|| Error::new(Kind::Absent, format!("{reference}: not in the cache")))
    }

    fn document(&self, _: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        Self::document(self, descriptor.digest)?.ok_or_else(|| absent(descriptor))
    }

    fn blob(&self, _: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        Ok(Box::new(self.reading(descriptor.digest)?.ok_or_else(|| absent(descriptor))?))
    }

    fn holds(&self, _: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        Ok(self.size(descriptor.digest) == Some(descriptor.size))
    }

    fn ranges(&self) -> Option<&dyn Ranges> {
        Some(self)
    }
}

impl Ranges for CacheLayout {
    fn range(
        &self,
        _: &Repository,
        descriptor: &Descriptor,
        offset: u64,
        length: u64,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, Error> {
        let mut reading = self.reading(descriptor.digest)?.ok_or_else(|| absent(descriptor))?;
        let sought = reading.file.seek(SeekFrom::Start(offset));
        sought.map_err(|error| self.io(format_args!("blob {}", descriptor.digest), &error))?;
        reading.left = length.min(reading.left.saturating_sub(offset));
        Ok(Some(Box::new(reading)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(cache: &CacheLayout, content: &[u8]) -> Digest {
        let digest = Digest::sha256(content);
        let mut incoming = cache.begin(digest, content.len() as u64).unwrap();
        incoming.write(content).unwrap();
        incoming.publish().unwrap();
        digest
    }

    #[test]
    fn c12_the_least_used_makes_room_and_nothing_that_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, _) = CacheLayout::open(dir.path(), Some(30)).unwrap();
        let all: Vec<Digest> = (0..3_u8).map(|number| put(&cache, &[number; 10])).collect();
        let kept = || all.iter().map(|digest| cache.size(*digest).is_some()).collect::<Vec<_>>();
        assert_eq!((kept(), cache.bytes()), (vec![true; 3], 30));
        // The first is used, the second is being read: the third goes.
        drop(cache.reading(all[0]).unwrap());
        let reading = cache.reading(all[1]).unwrap().unwrap();
        drop(cache.reading(all[0]).unwrap());
        put(&cache, &[9; 10]);
        assert_eq!((kept(), cache.bytes()), (vec![true, true, false], 30));
        // More than fits: what is read stays, and goes when nobody reads it any more.
        put(&cache, &[8; 29]);
        assert_eq!(kept(), [false, true, false]);
        drop(reading);
        assert!(cache.bytes() <= 30, "{}", cache.bytes());
        // One that breaks off leaves no file and takes no room.
        let before = cache.bytes();
        drop(cache.begin(Digest::sha256(b"x"), 1).unwrap());
        assert!(cache.bytes() <= before);
        let files = std::fs::read_dir(dir.path().join("blobs/sha256")).unwrap().count();
        assert_eq!(files, lock(&cache.state).blobs.len());
    }

    #[test]
    fn c9_names_are_found_again_and_go_with_their_content() {
        let dir = tempfile::tempdir().unwrap();
        let config = serde_json::json!({"mediaType": "a/b", "digest": Digest::sha256(b"{}"), "size": 2});
        let json = serde_json::json!({"schemaVersion": 2, "config": config, "layers": []});
        let kind = crate::oci::media_type::OCI_MANIFEST;
        let document = Document::parse(kind, json.to_string().into_bytes()).unwrap();
        let repository = Repository::exact("reg.example/a").unwrap();
        let (cache, names) = CacheLayout::open(dir.path(), None).unwrap();
        assert!(names.is_empty() && CacheLayout::open(dir.path(), None).is_err(), "locked");
        cache.keep(&document).unwrap();
        cache.name(Some((&repository, &Tag::new("1").unwrap())), &document).unwrap();
        drop(cache);
        let (cache, names) = CacheLayout::open(dir.path(), None).unwrap();
        assert_eq!((names.len(), names[0].repository.as_ref()), (1, Some(&repository)));
        assert_eq!(cache.document(document.digest()).unwrap().unwrap().raw(), document.raw());
        // Changed on the disk: never returned, and gone afterwards.
        std::fs::write(dir.path().join("blobs/sha256").join(document.digest().hex()), b"{}").unwrap();
        assert_eq!(cache.document(document.digest()).unwrap_err().class, Kind::Mismatch);
        assert!(cache.document(document.digest()).unwrap().is_none());
        drop(cache);
        assert!(CacheLayout::open(dir.path(), None).unwrap().1.is_empty());
    }
}
