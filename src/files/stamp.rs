//! A file that is read twice and must not change in between.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::content::{Error, Kind};
use crate::system;

/// Properties of a file that change with its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    identity: (u64, u64, i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt as _;
            (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        };
        Self {
            size: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            identity,
        }
    }
}

/// A file as it was when it was first seen.
#[derive(Clone, Debug)]
pub(super) struct Stamped {
    path: PathBuf,
    stamp: Stamp,
}

impl Stamped {
    /// Notes how the file at `path` is now. Follows a link there.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub(super) fn new(path: &Path) -> Result<Self, Error> {
        let metadata =
            std::fs::metadata(path).map_err(|error| Error::io(format!("file {}", path.display()), &error))?;
        Ok(Self::seen(path, &metadata))
    }

    /// Notes how the file at `path` is according to `metadata`.
    pub(super) fn seen(path: &Path, metadata: &Metadata) -> Self {
        Self { path: path.to_owned(), stamp: Stamp::of(metadata) }
    }

    /// Returns the size in bytes.
    pub(super) const fn size(&self) -> u64 {
        self.stamp.size
    }

    /// Opens the file at `offset`, if it is as it was.
    ///
    /// # Errors
    /// [`Kind::Mismatch`] if it has changed or is gone, [`Kind::Io`].
    pub(super) fn open(&self, offset: u64) -> Result<Unchanged<'_>, Error> {
        let subject = || format!("file {}", self.path.display());
        let mut file = system::open_followed(&self.path).map_err(|unopened| match unopened.found {
            system::Found::Refusal => Error::io(subject(), &unopened.error),
            _ => self.changed(),
        })?;
        self.check(&file)?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| Error::io(subject(), &error))?;
        Ok(Unchanged { stamped: self, left: self.size() - offset, file })
    }

    fn check(&self, file: &File) -> Result<(), Error> {
        let metadata = file.metadata().map_err(|error| Error::io(format!("file {}", self.path.display()), &error))?;
        if Stamp::of(&metadata) == self.stamp { Ok(()) } else { Err(self.changed()) }
    }

    fn changed(&self) -> Error {
        let what = format!("file {}: expected no change while it is read, found one", self.path.display());
        Error::new(Kind::Mismatch, what).help("run it again when nothing writes to it")
    }
}

/// Reads a file from an offset to its end, and checks there that it has not changed.
pub(super) struct Unchanged<'a> {
    stamped: &'a Stamped,
    file: File,
    left: u64,
}

impl Read for Unchanged<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() || self.left == 0 {
            return Ok(0);
        }
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.file.read(&mut buffer[..most])?;
        self.left -= count as u64;
        if count == 0 {
            return Err(self.stamped.changed().into_io());
        }
        if self.left == 0 {
            self.stamped.check(&self.file).map_err(Error::into_io)?;
        }
        Ok(count)
    }
}
