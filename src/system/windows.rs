//! Windows: opens links themselves and not their targets, and uses sharing modes in place of locks.
//!
//! Access control lists are not read: [`mode`] and [`owner`] return `None`, and private files and
//! folders get the list inherited from their folder.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::os::windows::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use signal_hook::consts::{SIGINT, SIGTERM};

use super::{Access, Found, Hop, Unopened};

// Constants of the Windows API.
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x0400;
const FILE_SHARE_READ: u32 = 1;
const FILE_SHARE_WRITE: u32 = 2;
const FILE_SHARE_DELETE: u32 = 4;
const ERROR_SHARING_VIOLATION: i32 = 32;

/// Signals that ask a process to end: Ctrl-C, and those that the C library raises itself.
pub const SIGNALS: &[i32] = &[SIGINT, SIGTERM];

/// There is no signal for a file that is too large.
pub const TOO_LARGE: Option<i32> = None;

/// Returns `None`, since there is no such limit.
pub const fn file_size_limit() -> Option<u64> {
    None
}

/// Returns `None`, since there is no such limit.
pub const fn address_space() -> Option<u64> {
    None
}

/// Returns `None`, since there is no such limit.
pub const fn raise_open_files() -> Option<usize> {
    None
}

/// Does nothing.
pub const fn be_frugal() {}

/// Does nothing: this system's allocator keeps no large buffers.
pub const fn return_buffers() {}

/// Variables that name a folder for state files, in addition to those of the XDG base directories.
pub const STATES: &[&str] = &["LOCALAPPDATA"];

/// Opens a file or folder and returns its metadata. Does not follow links and junctions.
fn open(path: &Path, share: u32) -> Result<(File, Metadata), Unopened> {
    let refused = |error: io::Error| {
        let found = if error.kind() == io::ErrorKind::NotFound { Found::Nothing } else { Found::Refusal };
        Unopened { found, error }
    };
    // The second flag allows opening folders, which the metadata identifies.
    let flags = FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS;
    let file = OpenOptions::new().read(true).custom_flags(flags).share_mode(share).open(path).map_err(refused)?;
    let metadata = file.metadata().map_err(refused)?;
    // Refuse every reparse point: opened like this, it would give bytes that are not the file's.
    if metadata.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        let found = if metadata.is_symlink() { Found::Link } else { Found::OtherKind };
        return Err(Unopened { found, error: io::Error::other("a reparse point, which is not followed") });
    }
    Ok((file, metadata))
}

/// Opens a file for reading, without following a link. It may be of another kind; the metadata
/// shows that.
///
/// # Errors
/// [`Unopened`], with what was found there.
pub fn open_file(path: &Path) -> Result<File, Unopened> {
    open(path, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE).map(|(file, _)| file)
}

/// Opens a file like [`open_file`], which follows no link here.
///
/// # Errors
/// [`Unopened`], with what was found there.
pub fn open_linked(path: &Path) -> Result<(File, Vec<Hop>), Unopened> {
    open_file(path).map(|file| (file, Vec::new()))
}

/// Opens a file for reading, and follows a link.
///
/// # Errors
/// Errors of the system.
pub fn open_followed(path: &Path) -> Result<File, Unopened> {
    File::open(path).map_err(|error| {
        let found = if error.kind() == io::ErrorKind::NotFound { Found::Nothing } else { Found::Refusal };
        Unopened { found, error }
    })
}

/// Opens a file for reading and writing, or creates it. Also returns whether it was created. Does
/// not follow a link.
///
/// # Errors
/// [`Unopened`], with what was found there.
pub fn open_or_create(path: &Path, _: Access, _: u32) -> Result<(File, bool), Unopened> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    made_or_opened(&options, path)
}

fn made_or_opened(options: &OpenOptions, path: &Path) -> Result<(File, bool), Unopened> {
    let refused = |error: io::Error| Unopened { found: Found::Refusal, error };
    let (file, is_new) = match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (options.open(path).map_err(refused)?, false),
        made => (made.map_err(refused)?, true),
    };
    let metadata = file.metadata().map_err(refused)?;
    if metadata.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        let error = io::Error::other("a reparse point, which is not followed");
        return Err(Unopened { found: Found::Link, error });
    }
    Ok((file, is_new))
}

/// Returns `None`, since streams are not supported.
///
/// # Errors
/// None.
#[allow(clippy::unnecessary_wraps, reason = "it can fail on other systems")]
pub const fn open_stream(_: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

/// An open folder. Until it is closed, neither it nor the folders that it was opened through can be
/// renamed or deleted, so that their names keep their meaning.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    held: Vec<Arc<File>>,
}

impl Folder {
    /// Opens a folder that is not a link.
    ///
    /// # Errors
    /// [`Unopened`], with what was found there.
    pub fn open(path: &Path) -> Result<Self, Unopened> {
        Self::held(path.to_owned(), Vec::new())
    }

    fn held(path: PathBuf, mut held: Vec<Arc<File>>) -> Result<Self, Unopened> {
        // Without FILE_SHARE_DELETE the folder cannot be renamed or deleted.
        let (file, metadata) = open(&path, FILE_SHARE_READ | FILE_SHARE_WRITE).map_err(|unopened| {
            let found = if unopened.found == Found::Link { Found::OtherKind } else { unopened.found };
            Unopened { found, ..unopened }
        })?;
        if !metadata.is_dir() {
            return Err(Unopened { found: Found::OtherKind, error: io::ErrorKind::NotADirectory.into() });
        }
        held.push(Arc::new(file));
        Ok(Self { path, held })
    }

    /// Opens a subfolder that is not a link.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn folder(&self, name: &str) -> Result<Self, Unopened> {
        Self::held(self.path.join(name), self.held.clone())
    }

    /// Opens a file in this folder as [`open_file`] does.
    ///
    /// # Errors
    /// As [`open_file`].
    pub fn file(&self, name: &str) -> Result<File, Unopened> {
        open_file(&self.path.join(name))
    }

    /// Calls `each` with the name of every entry.
    ///
    /// # Errors
    /// Errors of the system; `each` may have been called before.
    pub fn entries(&self, mut each: impl FnMut(&OsStr)) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            each(&entry?.file_name());
        }
        Ok(())
    }
}

/// Fills `buffer` from `offset`. Moves the file position, which no other code relies on.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] if the file ends too early; errors of the system.
pub fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.seek_read(buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                buffer = &mut buffer[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns the permission bits; `None` on systems without them.
pub const fn mode(_: &Metadata) -> Option<u32> {
    None
}

/// Returns the user ID of a file's owner; `None` on systems without user IDs.
pub const fn owner(_: &Metadata) -> Option<u32> {
    None
}

/// Returns the device number of a file's file system; `None` on systems without device numbers.
pub const fn device(_: &Metadata) -> Option<u64> {
    None
}

/// Returns `u32::MAX`: there are no user IDs, and the user is never root.
pub const fn user() -> u32 {
    u32::MAX
}

/// Creates a new file for writing. Ignores the mode.
///
/// # Errors
/// Errors of the system, including [`io::ErrorKind::AlreadyExists`].
pub fn create(path: &Path, _: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Creates a folder.
///
/// # Errors
/// As [`create`].
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir(path)
}

/// Creates a folder and its missing parents.
///
/// # Errors
/// As [`create`].
pub fn make_folders(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Does nothing: folders cannot be synced, and NTFS keeps names in its journal.
///
/// # Errors
/// None.
#[allow(clippy::unnecessary_wraps, reason = "it can fail on other systems")]
pub const fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock of a lock file, which is created if missing and never removed. `None` if it is
/// already locked.
///
/// # Errors
/// Errors of the system. Does not follow a link.
pub fn lock(path: &Path) -> io::Result<Option<Lock>> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false);
    // No sharing: the system refuses a second open.
    match options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).share_mode(0).open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(Lock { _file: file })),
        Ok(_) => Err(io::Error::other("expected a plain file, found a link")),
        Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A lock on an open file that several runs use. Released on drop.
#[derive(Debug)]
pub struct Turn<'a> {
    _lock: Option<Lock>,
    _file: PhantomData<&'a File>,
}

/// Locks the open file at `path`, using a lock file next to it. `None` if another run has it.
/// Readers take no lock, so that they write nothing.
///
/// # Errors
/// Errors of the system.
pub fn turn<'a>(_: &'a File, path: &Path, readers: bool) -> io::Result<Option<Turn<'a>>> {
    if readers {
        return Ok(Some(Turn { _lock: None, _file: PhantomData }));
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    Ok(lock(Path::new(&beside))?.map(|lock| Turn { _lock: Some(lock), _file: PhantomData }))
}

/// A file for reading and writing, which no other process can open for writing.
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

/// Opens a file, or creates it. `None` if another process has it open.
///
/// # Errors
/// Errors of the system. Does not follow a link.
pub fn claim(path: &Path) -> Result<Option<Claim>, Unopened> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).share_mode(FILE_SHARE_READ).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    match made_or_opened(&options, path) {
        Ok((file, is_new)) => Ok(Some(Claim { file, is_new })),
        Err(unopened) if unopened.error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(None),
        Err(unopened) => Err(unopened),
    }
}

/// Returns 0: the system does not tell which signals are ignored.
pub const fn ignored_signals() -> u64 {
    0
}

/// Returns the folder for machine-wide settings, where only administrators can write. `var` looks
/// up environment variables. Does not use `%ProgramData%`, where every user can create folders, or
/// a path without a drive, which could be on the medium. The state of programs is in a folder of
/// the user ([`STATES`]).
pub fn shared(var: impl Fn(&str) -> Option<OsString>) -> [PathBuf; 2] {
    let found = var("ProgramFiles").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = found.unwrap_or_else(|| PathBuf::from(r"C:\Program Files"));
    [folder.clone(), folder]
}

/// Does nothing: crash dumps are a setting of the machine, and packmule reads no secrets on
/// Windows.
///
/// # Errors
/// None.
pub const fn keep_memory() -> io::Result<()> {
    Ok(())
}
