//! Files that a command makes and never overwrites: whole under their name, or not there.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::pem::shown;
use super::world::World;
use crate::base::fault::{Class, Fault};
use crate::system;

/// Makes the file `path` of `bytes` with `mode`; durable when this returns.
///
/// # Errors
/// Class usage where it exists, io.
pub fn create(path: &Path, mode: u32, bytes: &[u8], world: &World) -> Result<(), Fault> {
    let full = world.path(path);
    if full.symlink_metadata().is_ok() {
        return Err(exists(path));
    }
    let mut partial = full.clone().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let failed = |error: io::Error| {
        Fault::new(Class::Io, format!("{}: {error}", shown(path))).help("choose a directory that you can write to")
    };
    let write = || {
        let mut file = system::create_anew(&partial, mode)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    let done = write().and_then(|()| name(&partial, &full));
    if let Err(error) = done {
        let _ = std::fs::remove_file(&partial);
        return Err(if error.kind() == io::ErrorKind::AlreadyExists { exists(path) } else { failed(error) });
    }
    system::sync_name(&full).map_err(failed)
}

/// Gives a file its name, unless something has it: [`io::ErrorKind::AlreadyExists`].
pub fn name(partial: &Path, full: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, partial, CWD, full, RenameFlags::NOREPLACE) {
        // Not every file system knows it: looked at again just before.
        Err(Errno::INVAL | Errno::NOSYS) if full.symlink_metadata().is_err() => std::fs::rename(partial, full),
        Err(Errno::INVAL | Errno::NOSYS) => Err(io::ErrorKind::AlreadyExists.into()),
        done => done.map_err(io::Error::from),
    }
}

/// The fault of a file that is there already.
pub fn exists(path: &Path) -> Fault {
    let what = format!("{}: expected no such file, found one", shown(path));
    Fault::new(Class::Usage, what).help("choose another name; it is never overwritten")
}
