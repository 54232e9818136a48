//! Files that a command creates: complete under their final name, or absent.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use crate::base::fault::{Class, Fault, differs};
use crate::cli::pem::shown;
use crate::cli::world::World;
use crate::outfile::{Place, check_name, look};
use crate::system;

/// Number of temporary names to try.
const TRIES: usize = 16;

/// A new file next to `target` under an unused temporary name; removed when dropped before it gets
/// its final name.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    target: PathBuf,
    file: File,
}

impl Draft {
    /// Creates the file, with `mode` as far as the umask allows.
    ///
    /// # Errors
    /// Those of the system.
    pub fn beside(target: &Path, mode: u32) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(io::Error::other)?;
            let mut path = target.as_os_str().to_owned();
            path.push(format!(".{:016x}.partial", u64::from_ne_bytes(random)));
            let path = PathBuf::from(path);
            match system::create(&path, mode) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => tries += 1,
                created => return created.map(|file| Self { path, target: target.to_owned(), file }),
            }
        }
    }

    /// Returns the open file.
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Writes the content durably.
    ///
    /// # Errors
    /// Those of the system.
    pub fn fill(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = &self.file;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Renames the file to its final name durably, unless that name is taken.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`]; those of the system.
    pub fn settle(self) -> io::Result<()> {
        name(&self.path, &self.target)?;
        system::sync_name(&self.target)
    }

    /// Renames the file to its final name durably, replacing any file of that name.
    ///
    /// # Errors
    /// Those of the system.
    pub fn replace(self) -> io::Result<()> {
        std::fs::rename(&self.path, &self.target)?;
        system::sync_name(&self.target)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Fails if the file already has its final name.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Checks that [`create`] would create the file, before there is anything to write.
///
/// # Errors
/// Those of [`create`].
pub fn check(path: &Path, world: &World) -> Result<(), Fault> {
    let full = world.path(path);
    check_name(&full).map_err(|refusal| refusal.into_fault(&shown(path), "file"))?;
    if full.symlink_metadata().is_ok() { Err(exists(path)) } else { Ok(()) }
}

/// Creates the file `path` with content `bytes` and `mode`; durable on return.
///
/// # Errors
/// Class usage if the file exists or is a bundle's; class io.
pub fn create(path: &Path, mode: u32, bytes: &[u8], world: &World) -> Result<(), Fault> {
    check(path, world)?;
    let done = Draft::beside(&world.path(path), mode).and_then(|draft| {
        draft.fill(bytes)?;
        draft.settle()
    });
    done.map_err(|error| if error.kind() == io::ErrorKind::AlreadyExists { exists(path) } else { failed(path, &error) })
}

/// Returns the device, pipe or open stream that `path` names, which is written to directly; `None`
/// if [`create`] would create a file.
///
/// # Errors
/// Those of [`create`].
pub fn stream(path: &Path, world: &World) -> Result<Option<File>, Fault> {
    match look(&world.path(path), |_| Ok(false)) {
        Ok(Place::Stream(stream)) => Ok(Some(stream)),
        _ => check(path, world).map(|()| None),
    }
}

/// Returns the fault for a file that cannot be written.
pub fn failed(path: &Path, error: &io::Error) -> Fault {
    Fault::new(Class::Io, format!("{}: {error}", shown(path))).help("choose a directory that you can write to")
}

/// Renames a file, unless the new name is taken: [`io::ErrorKind::AlreadyExists`].
pub fn name(partial: &Path, full: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, partial, CWD, full, RenameFlags::NOREPLACE) {
        // Not every file system supports NOREPLACE; then the name is checked just before.
        Err(Errno::INVAL | Errno::NOSYS) if full.symlink_metadata().is_err() => std::fs::rename(partial, full),
        Err(Errno::INVAL | Errno::NOSYS) => Err(io::ErrorKind::AlreadyExists.into()),
        done => done.map_err(io::Error::from),
    }
}

/// Returns the fault for a file that already exists.
pub fn exists(path: &Path) -> Fault {
    let what = differs(shown(path), "no such file", "one");
    Fault::new(Class::Usage, what).help("choose another name; it is never overwritten")
}
