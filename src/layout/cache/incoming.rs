//! Writes blobs into a cache.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;

use super::store::CacheLayout;
use crate::base::fault::differs;
use crate::content::{Error, Kind};
use crate::layout::disk::Partial;
use crate::oci::{Digest, Document};

/// Number of bytes for which room is made at once. Sizes are only claims until the bytes are there: a
/// huge one must not empty the cache.
const STEP: u64 = 8 << 20;

/// A blob that is being written.
pub struct Incoming {
    cache: Arc<CacheLayout>,
    partial: Option<Partial>,
    digest: Digest,
    size: u64,
    written: u64,
    reserved: u64,
}

impl CacheLayout {
    /// Begins to write a blob of `size` bytes.
    ///
    /// # Errors
    /// [`Kind::Io`]; [`Kind::Refused`] for a blob that is larger than the cache may be.
    pub fn begin(&self, digest: Digest, size: u64) -> Result<Incoming, Error> {
        let gone = || Error::new(Kind::Io, format!("{}: closed", self.shown));
        let cache = self.this.upgrade().ok_or_else(gone)?;
        if let Some(most) = self.room(|room| room.most()).filter(|most| size > *most) {
            let subject = format_args!("{}: blob {digest}", self.shown);
            let what = differs(subject, format_args!("at most {most} bytes"), size);
            return Err(Error::new(Kind::Refused, what).help("give a larger --cache-size"));
        }
        let partial = self.disk.new_blob(digest).map_err(|error| self.io(format_args!("blob {digest}"), &error))?;
        Ok(Incoming { cache, partial: Some(partial), digest, size, written: 0, reserved: 0 })
    }

    /// Keeps a document, which was checked.
    ///
    /// # Errors
    /// Those of [`CacheLayout::begin`].
    pub fn keep(&self, document: &Document) -> Result<(), Error> {
        if self.size(document.digest()).is_some() {
            return Ok(());
        }
        let mut incoming = self.begin(document.digest(), document.size())?;
        incoming.write(document.raw())?;
        incoming.publish()?;
        self.room(|room| room.mark(document.digest()));
        Ok(())
    }
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

    /// Writes more of the content; room is made for it.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.written = self.written.saturating_add(bytes.len() as u64);
        if self.written > self.reserved {
            let more = (self.written - self.reserved).max(STEP.min(self.size.saturating_sub(self.reserved)));
            self.reserved += more;
            self.cache.room(|room| room.reserve(more));
            self.cache.trim();
        }
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
        let (digest, size) = (self.digest, self.written);
        self.cache.room(|room| {
            // What was reserved beyond the content is given back when this is dropped.
            room.add(digest, size);
        });
        self.reserved = self.reserved.saturating_sub(size);
        self.cache.trim();
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let reserved = self.reserved;
        self.cache.room(|room| room.give_back(reserved));
    }
}
