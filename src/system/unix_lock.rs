//! Unix: locks on files by `flock`.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::unix::open_or_create;
use super::{Access, Found, Unopened};

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a program that is just being started also has it open
        // until it runs.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Takes the lock of a lock file, which is created if missing and never removed. `None` if it is
/// already locked.
///
/// # Errors
/// Errors of the system. Does not follow a link, and opens only plain files.
pub fn lock(path: &Path) -> io::Result<Option<Lock>> {
    let (file, _) = open_or_create(path, Access::Write, 0o600)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock(file))),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A lock on an open file that several runs use. Released on drop.
#[derive(Debug)]
pub struct Turn<'a>(&'a File);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Closing the file releases it in any case.
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

/// Locks an open file, exclusively or shared with other readers. `None` if another run has it.
/// Opens no file.
///
/// # Errors
/// Errors of the system.
pub fn turn<'a>(file: &'a File, _: &Path, readers: bool) -> io::Result<Option<Turn<'a>>> {
    let kind = if readers { FlockOperation::NonBlockingLockShared } else { FlockOperation::NonBlockingLockExclusive };
    match flock(file, kind) {
        Ok(()) => Ok(Some(Turn(file))),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A file for reading and writing, exclusive among processes that use [`claim`].
#[derive(Debug)]
pub struct Claim {
    file: File,
    is_new: bool,
}

impl Claim {
    /// Returns the file.
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Reports whether the file was created.
    pub const fn is_new(&self) -> bool {
        self.is_new
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // As for a lock.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Opens a plain file, or creates it. `None` if another process has claimed it.
///
/// # Errors
/// [`Unopened`], with what was found there. Does not follow a link or wait for a pipe.
pub fn claim(path: &Path) -> Result<Option<Claim>, Unopened> {
    let (file, is_new) = open_or_create(path, Access::Write, 0o644)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Claim { file, is_new })),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(Unopened { found: Found::Refusal, error: error.into() }),
    }
}
