//! The layout as a destination: blobs have temporary names until they are durable; `index.json` is
//! written at the end.
//!
//! Small blobs wait and are made durable together; a large one is made durable by the thread that
//! wrote it. Does not decide whether a name may be moved.

use crate::base::fault::differs;
use crate::base::lock::lock;
use std::io::{Read, Write};
use std::sync::Arc;

use super::{Change, INDEX, Index, Layout, MAX_INDEX, Writer};
use crate::content::{Body, Destination, Error, Inventory, Kind, Source};
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::{Descriptor, Digest, Document, Repository, Tag};

/// Maximum size, in bytes, of a blob that waits to be made durable together with others.
const SMALL: u64 = 1 << 20;
/// Maximum number of waiting blobs, each of which is an open file.
const WAITING: usize = 128;
const BUFFER: usize = 256 << 10;

impl Layout {
    fn writer(&self) -> Result<&Writer, Error> {
        self.writer
            .as_ref()
            .ok_or_else(|| Error::new(Kind::Refused, format!("layout {}: opened for reading", self.path.display())))
    }

    fn io(&self, digest: Digest, error: &std::io::Error) -> Error {
        self.refusal(format!("layout {}: blob {digest}", self.path.display()), error)
    }

    /// Returns the error for a file system error. For a full file system, adds the free space and
    /// advice.
    fn refusal(&self, subject: String, error: &std::io::Error) -> Error {
        let refused = Error::io(subject, error);
        if let (std::io::ErrorKind::FileTooLarge, Some(limit)) = (error.kind(), crate::system::file_size_limit()) {
            let told = format!("{}; this process may write files of at most {limit} bytes (ulimit -f)", refused.what);
            return Error { what: told, ..refused }
                .help("raise the limit and run this again: completed content is kept");
        }
        if !matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
            return refused;
        }
        let free = self.disk.free().map_or_else(|_| String::new(), |free| format!("; {free} bytes are free"));
        Error { what: refused.what + &free, ..refused }.help("make room and run this again: completed content is kept")
    }

    /// Reads the index from the file.
    fn read_index(&self) -> Result<Index, Error> {
        Self::index_or_new(&self.path, &self.disk).map_err(|fault| Error::new(Kind::Refused, fault.what))
    }

    fn change(&self, change: Change) -> Result<(), Error> {
        self.check()?;
        let writer = self.writer()?;
        let mut index = lock(&writer.index);
        self.apply(&change, &mut index)?;
        lock(&writer.changes).push(change);
        if index.added() > MAX_INDEX { Err(self.too_many_names(index.added())) } else { Ok(()) }
    }

    fn apply(&self, change: &Change, index: &mut Index) -> Result<(), Error> {
        match change {
            Change::Plain(document) => index.set_plain(document),
            Change::Name { name, document, is_new } => {
                let wanted = document.digest().to_string();
                if let Some(found) = index.named(name).filter(|found| *is_new && *found != wanted) {
                    let found = crate::base::fault::escape(found);
                    let what = differs(
                        format_args!("tag exists: layout {}: {name}", self.path.display()),
                        format_args!("{wanted} or none"),
                        format_args!("{found}; it was set during this run"),
                    );
                    return Err(Error::new(Kind::Policy, what)
                        .help("move it with --tag-conflict move, or leave it with --tag-conflict keep"));
                }
                index.set(name, document);
            }
        }
        Ok(())
    }

    fn size_of(&self, digest: Digest) -> Result<Option<u64>, Error> {
        if let Some(writer) = &self.writer
            && let Some((_, size, _)) = lock(&writer.waiting).iter().find(|(own, ..)| *own == digest)
        {
            return Ok(Some(*size));
        }
        let found = self.disk.blob(digest).map_err(|error| self.io(digest, &error))?;
        Ok(found.map(|(_, size)| size))
    }

    fn store(&self, blob: &Descriptor, content: &mut dyn Read) -> Result<(), Error> {
        let (digest, writer) = (blob.digest, self.writer()?);
        let mut partial = self.disk.new_blob(digest).map_err(|error| self.io(digest, &error))?;
        let mut buffer = vec![0; BUFFER.min(usize::try_from(blob.size).unwrap_or(BUFFER).max(1))];
        let mut written = 0;
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::from_io(format!("blob {digest}"), error)),
            };
            partial.write_all(&buffer[..count]).map_err(|error| {
                let left = blob.size.saturating_sub(written);
                let refused = self.io(digest, &error);
                Error { what: format!("{}; {left} of its bytes were not written yet", refused.what), ..refused }
            })?;
            written += count as u64;
        }
        if written != blob.size {
            let what = differs(format_args!("blob {digest}"), format_args!("{} bytes", blob.size), written);
            return Err(Error::new(Kind::Mismatch, what));
        }
        if blob.size > SMALL {
            partial.sync().and_then(|()| partial.publish()).map_err(|error| self.io(digest, &error))
        } else {
            let mut waiting = lock(&writer.waiting);
            waiting.push((digest, blob.size, partial));
            if waiting.len() >= WAITING { self.flush(&mut waiting) } else { Ok(()) }
        }
    }

    /// Returns the current `index.json`. Reads it only if it was replaced or changed since the last
    /// call.
    fn index_of_now(&self) -> Result<Option<Arc<Index>>, Error> {
        let shown = || format!("layout {}: {INDEX}", self.path.display());
        let io = |error: std::io::Error| Error::io(shown(), &error);
        let mut last = self.writer.as_ref().map(|writer| lock(&writer.read_back));
        let now = self.disk.stamp(INDEX).map_err(io)?;
        if let (Some(Some((stamp, index))), Some(now)) = (last.as_deref(), &now)
            && stamp == now
        {
            return Ok(Some(Arc::clone(index)));
        }
        let Some(bytes) = self.disk.read(INDEX, MAX_INDEX).map_err(io)? else { return Ok(None) };
        let index =
            Index::parse(&bytes).map_err(|error| Error::new(Kind::Mismatch, format!("{}: {error}", shown())))?;
        let index = Arc::new(index);
        if let Some(last) = &mut last {
            **last = now.map(|now| (now, Arc::clone(&index)));
        }
        Ok(Some(index))
    }

    /// Returns the error for an `index.json` that would be too large to read again.
    fn too_many_names(&self, found: u64) -> Error {
        let what = differs(
            format_args!("layout {}: {INDEX}", self.path.display()),
            format_args!("at most {MAX_INDEX} bytes"),
            format_args!("{found} or more"),
        );
        Error::new(Kind::Refused, what).help("write fewer tags into one layout, or write them to a registry")
    }

    /// Makes the waiting blobs durable, then renames them in the order in which they were put.
    fn flush(&self, waiting: &mut Vec<(Digest, u64, super::Partial)>) -> Result<(), Error> {
        if waiting.is_empty() {
            return Ok(());
        }
        let io = |error: &std::io::Error| self.refusal(format!("layout {}", self.path.display()), error);
        // Empty the list even on failure: after a failed sync, a later one does not make the data
        // durable.
        let waiting = std::mem::take(waiting);
        self.disk.sync_all().map_err(|error| io(&error))?;
        for (digest, _, partial) in waiting {
            self.check()?;
            partial.publish().map_err(|error| self.io(digest, &error))?;
        }
        Ok(())
    }
}

impl Inventory for Layout {
    fn has_blob(&self, _: &Repository, blob: &Descriptor) -> Result<bool, Error> {
        Ok(self.size_of(blob.digest)? == Some(blob.size))
    }

    fn has_manifest(&self, _: &Repository, digest: Digest) -> Result<bool, Error> {
        if let Some(writer) = &self.writer
            && lock(&writer.waiting).iter().any(|(own, ..)| *own == digest)
        {
            return Ok(true);
        }
        let Some((file, size)) = self.disk.blob(digest).map_err(|error| self.io(digest, &error))? else {
            return Ok(false);
        };
        let mut raw = Vec::new();
        file.take(MAX_DOCUMENT).read_to_end(&mut raw).map_err(|error| self.io(digest, &error))?;
        let Some(media_type) = Document::sniff(&raw) else { return Ok(false) };
        Ok(self.read_document(&Descriptor::new(media_type, digest, size)).is_ok())
    }

    /// Returns `false`: blobs may have been copied here without the rest of their artifact.
    fn keeps_whole(&self) -> bool {
        false
    }

    fn as_source(&self) -> Option<&dyn Source> {
        Some(self)
    }

    fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, Error> {
        let name = format!("{repository}:{tag}");
        if let Some(writer) = &self.writer {
            return Ok(lock(&writer.index).named(&name).and_then(|digest| digest.parse().ok()));
        }
        let place = self.found.raw.get(&name).and_then(|places| places.last());
        Ok(place.map(|place| self.entries[*place].descriptor.digest))
    }

    /// Reads from the files. A name that waits for [`Destination::finish`] does not exist yet.
    fn read_back(&self, repository: &Repository, tag: Option<&Tag>, expected: Digest) -> Result<Option<Digest>, Error> {
        let digest = match tag {
            None => expected,
            Some(tag) => {
                let Some(index) = self.index_of_now()? else { return Ok(None) };
                let named = index.named(&format!("{repository}:{tag}")).and_then(|digest| digest.parse().ok());
                let Some(digest) = named else { return Ok(None) };
                digest
            }
        };
        let Some((file, _)) = self.disk.blob(digest).map_err(|error| self.io(digest, &error))? else {
            return Ok(None);
        };
        let mut raw = Vec::new();
        file.take(MAX_DOCUMENT + 1).read_to_end(&mut raw).map_err(|error| self.io(digest, &error))?;
        Ok(Some(Digest::of(expected.algorithm(), &raw)))
    }
}

impl Destination for Layout {
    fn check_room(&self, blobs: &[&Descriptor]) -> Result<(), Error> {
        let mut needed = 0_u64;
        for blob in blobs {
            self.check()?;
            if self.size_of(blob.digest)? != Some(blob.size) {
                needed = needed.saturating_add(blob.size);
            }
        }
        let free = self.disk.free().map_err(|error| Error::io(format!("layout {}", self.path.display()), &error))?;
        super::disk::check_room(&self.path, needed, free)
    }

    fn put_blob(&self, repository: &Repository, blob: &Descriptor, body: &dyn Body) -> Result<(), Error> {
        if self.has_blob(repository, blob)? {
            return Ok(());
        }
        let mut content = body.open().map_err(|error| Error::from_io(format!("blob {}", blob.digest), error))?;
        self.store(blob, &mut content)
    }

    fn put_manifest(&self, repository: &Repository, document: &Document) -> Result<(), Error> {
        let descriptor = document.descriptor();
        if self.has_blob(repository, &descriptor)? && self.read_document(&descriptor).is_ok() {
            return Ok(());
        }
        self.store(&descriptor, &mut document.raw())
    }

    /// Sets a name, which [`Destination::finish`] writes to `index.json`. Removes an entry with
    /// that name.
    fn set_tag(&self, repository: &Repository, tag: &Tag, document: &Document) -> Result<(), Error> {
        let name = format!("{repository}:{tag}");
        self.change(Change::Name { name, document: document.clone(), is_new: false })
    }

    fn set_new_tag(&self, repository: &Repository, tag: &Tag, document: &Document) -> Result<Option<Digest>, Error> {
        let name = format!("{repository}:{tag}");
        // Check the file too: other programs write it without our lock.
        let there = self.index_of_now()?;
        let there = there.as_ref().and_then(|index| index.named(&name)?.parse().ok());
        let known = [self.tag(repository, tag)?, there];
        if let Some(found) = known.into_iter().flatten().find(|found| *found != document.digest()) {
            return Ok(Some(found));
        }
        self.change(Change::Name { name, document: document.clone(), is_new: true })?;
        Ok(None)
    }

    fn set_root(&self, _: &Repository, document: &Document) -> Result<(), Error> {
        self.change(Change::Plain(document.clone()))
    }

    fn finish(&self) -> Result<(), Error> {
        let writer = self.writer()?;
        let io = |error: &std::io::Error| self.refusal(format!("layout {}", self.path.display()), error);
        self.flush(&mut lock(&writer.waiting))?;
        self.disk.sync_folders().map_err(|error| io(&error))?;
        let mut index = self.read_index()?;
        for change in lock(&writer.changes).iter() {
            self.check()?;
            self.apply(change, &mut index)?;
        }
        let bytes = index
            .to_bytes()
            .map_err(|error| Error::new(Kind::Refused, format!("layout {}: {INDEX}: {error}", self.path.display())))?;
        if bytes.len() as u64 > MAX_INDEX {
            return Err(self.too_many_names(bytes.len() as u64));
        }
        self.check()?;
        self.disk.replace(INDEX, &bytes).map_err(|error| io(&error))?;
        *lock(&writer.index) = index;
        Ok(())
    }
}
