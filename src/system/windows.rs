//! Windows: handles that are opened on a link and not through it, sharing modes in place of locks, no modes.
//!
//! Who can write a file is in its access control list, which is not read here: [`mode`] and [`owner`] know nothing, and
//! what is made for its owner alone has the list that its folder hands down.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::os::windows::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use signal_hook::consts::{SIGINT, SIGTERM};

use super::{Access, Found, Unopened};

// Values of the Windows API, by their names there.
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x0400;
const FILE_SHARE_READ: u32 = 1;
const FILE_SHARE_WRITE: u32 = 2;
const FILE_SHARE_DELETE: u32 = 4;
const ERROR_SHARING_VIOLATION: i32 = 32;

/// The signals that ask a process to end, as far as there are such: Ctrl-C, and what the C library makes itself.
pub const SIGNALS: &[i32] = &[SIGINT, SIGTERM];

/// No signal tells of a file that is too large.
pub const TOO_LARGE: Option<i32> = None;

/// No limit of this kind is known here.
pub const fn file_size_limit() -> Option<u64> {
    None
}

/// No limit of this kind is known here.
pub const fn address_space() -> Option<u64> {
    None
}

/// Nothing is reserved here.
pub const fn be_frugal() {}

/// Variables that name a folder for states beside those of the XDG base directories.
pub const STATES: &[&str] = &["LOCALAPPDATA"];

/// Opens a file or folder itself, where it is a link or a junction too, and looks what it is.
fn open(path: &Path, share: u32) -> Result<(File, Metadata), Unopened> {
    let refused = |error: io::Error| {
        let found = if error.kind() == io::ErrorKind::NotFound { Found::Nothing } else { Found::Refusal };
        Unopened { found, error }
    };
    // With the second flag a folder can be opened, too: its metadata tells that it is one.
    let flags = FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS;
    let file = OpenOptions::new().read(true).custom_flags(flags).share_mode(share).open(path).map_err(refused)?;
    let metadata = file.metadata().map_err(refused)?;
    // Any reparse point: read like this, it would give bytes that are not the file's.
    if metadata.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        let found = if metadata.is_symlink() { Found::Link } else { Found::OtherKind };
        return Err(Unopened { found, error: io::Error::other("a reparse point, which is not followed") });
    }
    Ok((file, metadata))
}

/// Opens a file for reading; no link is followed to it. It may still be of another kind, which its metadata tells.
///
/// # Errors
/// What is in its place.
pub fn open_file(path: &Path) -> Result<File, Unopened> {
    open(path, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE).map(|(file, _)| file)
}

/// Opens a file for reading, behind a link too.
///
/// # Errors
/// The system's.
pub fn open_followed(path: &Path) -> Result<File, Unopened> {
    File::open(path).map_err(|error| {
        let found = if error.kind() == io::ErrorKind::NotFound { Found::Nothing } else { Found::Refusal };
        Unopened { found, error }
    })
}

/// Opens a file to read and write, which is made where there is none; with whether it was made. No link is followed.
///
/// # Errors
/// What is in its place.
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

/// Nothing is a stream here.
///
/// # Errors
/// None.
#[allow(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub const fn open_stream(_: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

/// A folder that is open. Until it is closed, neither it nor a folder that it was opened through can be renamed or deleted,
/// so that their names lead where they led.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    held: Vec<Arc<File>>,
}

impl Folder {
    /// Opens a folder that is no link.
    ///
    /// # Errors
    /// What is in its place.
    pub fn open(path: &Path) -> Result<Self, Unopened> {
        Self::held(path.to_owned(), Vec::new())
    }

    fn held(path: PathBuf, mut held: Vec<Arc<File>>) -> Result<Self, Unopened> {
        // Not to be shared with who deletes: that is what holds it.
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

    /// Opens a folder in it that is no link.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn folder(&self, name: &str) -> Result<Self, Unopened> {
        Self::held(self.path.join(name), self.held.clone())
    }

    /// Opens a file in it as [`open_file`] does.
    ///
    /// # Errors
    /// As [`open_file`].
    pub fn file(&self, name: &str) -> Result<File, Unopened> {
        open_file(&self.path.join(name))
    }

    /// Calls `each` with the name of every entry.
    ///
    /// # Errors
    /// The system's; entries may have come before.
    pub fn entries(&self, mut each: impl FnMut(&OsStr)) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            each(&entry?.file_name());
        }
        Ok(())
    }
}

/// Reads exactly `buffer` from `offset`. Moves the file's own place, which nobody here goes by.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] where the file ends before; the system's.
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

/// The permission bits; `None` where the system has none.
pub const fn mode(_: &Metadata) -> Option<u32> {
    None
}

/// The user's number that a file belongs to; `None` where the system has none.
pub const fn owner(_: &Metadata) -> Option<u32> {
    None
}

/// The number of the file system that a file lies on; `None` where the system has none.
pub const fn device(_: &Metadata) -> Option<u64> {
    None
}

/// The user's number that this process works as: users have none, and nobody is root.
pub const fn user() -> u32 {
    u32::MAX
}

/// Makes a new file to write; modes are not known here.
///
/// # Errors
/// The system's, [`io::ErrorKind::AlreadyExists`] among them.
pub fn create(path: &Path, _: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Makes a folder.
///
/// # Errors
/// As [`create`].
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir(path)
}

/// Makes a folder and those above it that are not there.
///
/// # Errors
/// As [`create`].
pub fn make_folders(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Nothing to wait for: folders cannot be synced here, NTFS keeps names in its journal.
///
/// # Errors
/// None.
#[allow(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub const fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock that a file stands for, which is made where it is not there and stays; `None` where somebody has it.
///
/// # Errors
/// The system's; a link is not followed.
pub fn lock(path: &Path) -> io::Result<Option<Lock>> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false);
    // Shared with nobody: the second one is refused by the system.
    match options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).share_mode(0).open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(Lock { _file: file })),
        Ok(_) => Err(io::Error::other("expected a plain file, found a link")),
        Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A turn at a file that several runs use; it ends when this is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    _lock: Option<Lock>,
    _file: PhantomData<&'a File>,
}

/// Takes a turn at the open file at `path`; `None` where another run has it. A lock file beside it stands for the turn;
/// readers take none, so that they write nothing.
///
/// # Errors
/// The system's.
pub fn turn<'a>(_: &'a File, path: &Path, readers: bool) -> io::Result<Option<Turn<'a>>> {
    if readers {
        return Ok(Some(Turn { _lock: None, _file: PhantomData }));
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    Ok(lock(Path::new(&beside))?.map(|lock| Turn { _lock: Some(lock), _file: PhantomData }))
}

/// A file to read and to write, which nobody else can open to write.
#[derive(Debug)]
pub struct Claim {
    file: File,
    is_new: bool,
}

impl Claim {
    /// The file.
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Whether it was made.
    pub const fn is_new(&self) -> bool {
        self.is_new
    }
}

/// Opens a file, which is made where it is not there; `None` where somebody else has it open.
///
/// # Errors
/// The system's; a link is not followed.
pub fn claim(path: &Path) -> Result<Option<Claim>, Unopened> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).share_mode(FILE_SHARE_READ).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    match made_or_opened(&options, path) {
        Ok((file, is_new)) => Ok(Some(Claim { file, is_new })),
        Err(unopened) if unopened.error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(None),
        Err(unopened) => Err(unopened),
    }
}

/// The signals that this process was started to ignore: none, the system does not say.
pub const fn ignored_signals() -> u64 {
    0
}

/// Where the machine's own settings lie: where only administrators write. `var` gives a variable of the environment. Not
/// `%ProgramData%`, where every user may make a folder, and no path without a drive, which would be one of the medium. What
/// programs keep goes to a folder of the user ([`STATES`]).
pub fn shared(var: impl Fn(&str) -> Option<OsString>) -> [PathBuf; 2] {
    let found = var("ProgramFiles").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = found.unwrap_or_else(|| PathBuf::from(r"C:\Program Files"));
    [folder.clone(), folder]
}

/// Does nothing: what Windows keeps of a crash is the machine's own setting, and only programs that read no secret run there.
///
/// # Errors
/// None.
pub const fn keep_memory() -> io::Result<()> {
    Ok(())
}
