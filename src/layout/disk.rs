//! The files of a layout: opened relative to its directory, and never through a symbolic link below
//! it.
//!
//! Handles only names and bytes; the other files interpret the bytes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, RenameFlags, mkdirat, openat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use crate::base::fault::differs;
use crate::content::{Error, Kind};
use crate::oci::{Algorithm, Digest};

/// Prefix of the names of unfinished files.
const PARTIAL: &str = ".partial-";

/// The directory of a layout.
pub(super) struct Disk {
    root: OwnedFd,
    serial: AtomicU64,
}

/// Identifies a file and its state, to detect that it was replaced or changed.
#[derive(PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    size: i64,
    changed: (i64, u64),
}

/// A file under a temporary name. Removed on drop unless it was renamed to its final name.
pub(super) struct Partial {
    folder: OwnedFd,
    temporary: String,
    name: String,
    file: File,
    done: bool,
}

fn named(error: Errno) -> io::Error {
    if error == Errno::LOOP { io::Error::other("is a symbolic link") } else { error.into() }
}

fn absent_is_none<T>(result: Result<T, Errno>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(named(error)),
    }
}

/// Returns an error if `needed` bytes do not fit into the `free` bytes at `path`.
pub(super) fn check_room(path: &Path, needed: u64, free: u64) -> Result<(), Error> {
    if needed <= free {
        return Ok(());
    }
    let what = differs(format_args!("layout {}", path.display()), format_args!("room for {needed} bytes"), free);
    Err(Error::new(Kind::Io, what).help("make room, or name another directory"))
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
// NONBLOCK: opening a FIFO must not block.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

impl Disk {
    /// Opens the directory. `path` itself may be a link.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { root, serial: AtomicU64::new(0) })
    }

    fn folder(&self, algorithm: Algorithm) -> io::Result<Option<OwnedFd>> {
        let Some(blobs) = absent_is_none(openat(&self.root, "blobs", FOLDER, Mode::empty()))? else { return Ok(None) };
        absent_is_none(openat(&blobs, algorithm.name(), FOLDER, Mode::empty()))
    }

    fn make_folder(&self, algorithm: Algorithm) -> io::Result<OwnedFd> {
        let make = |parent: &OwnedFd, name: &str| -> io::Result<OwnedFd> {
            match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
                Ok(()) => rustix::fs::fsync(parent)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            openat(parent, name, FOLDER, Mode::empty()).map_err(named)
        };
        make(&make(&self.root, "blobs")?, algorithm.name())
    }

    fn regular(file: OwnedFd) -> io::Result<(File, u64)> {
        let file = File::from(file);
        let found = file.metadata()?;
        if found.is_file() { Ok((file, found.len())) } else { Err(io::Error::other("is not a regular file")) }
    }

    /// Opens the file of a blob and returns it with its size.
    pub(super) fn blob(&self, digest: Digest) -> io::Result<Option<(File, u64)>> {
        let Some(folder) = self.folder(digest.algorithm())? else { return Ok(None) };
        absent_is_none(openat(&folder, digest.hex(), FILE, Mode::empty()))?.map(Self::regular).transpose()
    }

    /// Returns the digests of all blobs, sorted.
    pub(super) fn blobs(&self) -> io::Result<Vec<Digest>> {
        let mut all = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let Some(folder) = self.folder(algorithm)? else { continue };
            for entry in Dir::read_from(&folder)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy();
                all.extend(format!("{}:{name}", algorithm.name()).parse::<Digest>().ok());
            }
        }
        all.sort_unstable();
        Ok(all)
    }

    /// Reads a file in the top directory, of at most `max` bytes.
    pub(super) fn read(&self, name: &str, max: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = absent_is_none(openat(&self.root, name, FILE, Mode::empty()))? else { return Ok(None) };
        let (file, size) = Self::regular(file)?;
        if size > max {
            return Err(io::Error::other(format!("expected at most {max} bytes, found {size}")));
        }
        let mut bytes = Vec::new();
        file.take(max + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Returns the stamp of a file in the top directory.
    pub(super) fn stamp(&self, name: &str) -> io::Result<Option<Stamp>> {
        let found = absent_is_none(statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW))?;
        Ok(found.map(|found| Stamp {
            file: (found.st_dev, found.st_ino),
            size: found.st_size,
            changed: (found.st_mtime, found.st_mtime_nsec),
        }))
    }

    /// Opens an existing file in the top directory, for a lock.
    pub(super) fn top(&self, name: &str) -> io::Result<File> {
        let (file, _) = Self::regular(openat(&self.root, name, FILE, Mode::empty()).map_err(named)?)?;
        Ok(file)
    }

    /// Reports whether the directory is empty, except for files left by an interrupted run.
    pub(super) fn is_empty(&self) -> io::Result<bool> {
        for entry in Dir::read_from(&self.root)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") && !name.starts_with(PARTIAL.as_bytes()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn partial(&self, folder: OwnedFd, name: String) -> io::Result<Partial> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let temporary = format!("{PARTIAL}{}-{serial}", std::process::id());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(&folder, &temporary, flags, Mode::from_raw_mode(0o644))?);
        Ok(Partial { folder, temporary, name, file, done: false })
    }

    /// Creates a temporary file for a new blob.
    pub(super) fn new_blob(&self, digest: Digest) -> io::Result<Partial> {
        self.partial(self.make_folder(digest.algorithm())?, digest.hex())
    }

    /// Removes a blob, if it exists.
    pub(super) fn remove(&self, digest: Digest) -> io::Result<()> {
        let Some(folder) = self.folder(digest.algorithm())? else { return Ok(()) };
        absent_is_none(unlinkat(&folder, digest.hex(), AtFlags::empty())).map(drop)
    }

    /// Writes a file in the top directory atomically: at any time, the complete old or new file is
    /// there.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut partial = self.partial(self.root.try_clone()?, name.to_owned())?;
        partial.write_all(bytes)?;
        partial.sync()?;
        partial.publish()?;
        Ok(rustix::fs::fsync(&self.root)?)
    }

    /// Writes a file in the top directory unless it exists; keeps an existing file, since others
    /// may hold a lock on it.
    pub(super) fn begin(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut partial = self.partial(self.root.try_clone()?, name.to_owned())?;
        partial.write_all(bytes)?;
        partial.sync()?;
        let is_there = || absent_is_none(openat(&self.root, name, FILE, Mode::empty())).map(|found| found.is_some());
        match partial.publish_new() {
            // Another run was faster, and may have removed our temporary file.
            Err(Errno::EXIST | Errno::NOENT | Errno::INVAL | Errno::NOSYS) if is_there()? => Ok(()),
            // Not every file system supports NOREPLACE. The check just before must do.
            Err(Errno::INVAL | Errno::NOSYS) => self.replace(name, bytes),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(rustix::fs::fsync(&self.root)?),
        }
    }

    /// Returns the number of bytes that this user can still write to the file system.
    pub(super) fn free(&self) -> io::Result<u64> {
        let found = rustix::fs::fstatvfs(&self.root)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Makes all data written to this file system durable, in one call for many small files.
    pub(super) fn sync_all(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.root)?)
    }

    /// Makes the names of the blobs durable.
    pub(super) fn sync_folders(&self) -> io::Result<()> {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            if let Some(folder) = self.folder(algorithm)? {
                rustix::fs::fsync(&folder)?;
            }
        }
        Ok(())
    }

    /// Removes the files left by an interrupted run. The caller must hold the lock.
    pub(super) fn sweep(&self) -> io::Result<()> {
        let folders = [self.folder(Algorithm::Sha256)?, self.folder(Algorithm::Sha512)?];
        for folder in folders.iter().flatten().chain([&self.root]) {
            for entry in Dir::read_from(folder)? {
                let entry = entry?;
                if entry.file_name().to_bytes().starts_with(PARTIAL.as_bytes()) {
                    unlinkat(folder, entry.file_name(), AtFlags::empty())?;
                }
            }
        }
        Ok(())
    }
}

impl Partial {
    /// Opens another handle of the file, for reading.
    pub(super) fn reader(&self) -> io::Result<File> {
        openat(&self.folder, &*self.temporary, FILE, Mode::empty()).map(File::from).map_err(named)
    }

    /// Makes the content durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Renames the file to its final name unless that exists.
    fn publish_new(mut self) -> Result<(), Errno> {
        renameat_with(&self.folder, &self.temporary, &self.folder, &self.name, RenameFlags::NOREPLACE)?;
        self.done = true;
        Ok(())
    }

    /// Renames the file to its final name. The content must be complete, checked and durable.
    pub(super) fn publish(mut self) -> io::Result<()> {
        renameat(&self.folder, &self.temporary, &self.folder, &self.name)?;
        self.done = true;
        Ok(())
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            // Ignore a failure here; the next writer removes the file.
            let _ = unlinkat(&self.folder, &self.temporary, AtFlags::empty());
        }
    }
}
