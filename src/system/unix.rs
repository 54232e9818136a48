//! Unix: descriptors, modes, `flock`, `/etc`.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, FlockOperation, Mode, OFlags, fcntl_getfl, fcntl_setfl, flock, fstat, openat};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

use super::{Access, Found, Unopened};

/// How often a file that comes and goes while it is opened is tried again.
const TRIES: usize = 16;
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
// NONBLOCK: a FIFO that was put under the name must not stop us.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// The signals that ask a process to end.
pub const SIGNALS: &[i32] = &[SIGHUP, SIGINT, SIGTERM];

/// The signal that ends a process which writes a file above its limit; caught, the write fails instead.
pub const TOO_LARGE: Option<i32> = Some(SIGXFSZ);

/// The largest file, in bytes, that this process may write (`ulimit -f`); `None` without a limit.
pub fn file_size_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// How many bytes of addresses this process may have (`ulimit -v`); `None` without a limit.
pub fn address_space() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Makes the C library reserve no addresses for threads one by one, where it does.
pub fn be_frugal() {
    #[cfg(all(target_os = "linux", target_env = "gnu", feature = "guard"))]
    #[allow(unsafe_code, reason = "it sets a number of the C library's allocator")]
    // SAFETY: no thread but this one runs yet, and the call takes plain numbers.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Variables that name a folder for states beside those of the XDG base directories.
pub const STATES: &[&str] = &[];

/// Opens a plain file for reading; no link is followed to it. Pipes and devices are looked at and not opened, which would
/// be felt at their other end.
///
/// # Errors
/// What is in its place.
pub fn open_file(path: &Path) -> Result<File, Unopened> {
    open_plain(FILE, |flags| rustix::fs::open(path, flags, Mode::empty()))
}

/// Opens a plain file for reading as [`open_file`] does, but follows a link to it: for files that the operator names and
/// often keeps behind links, such as keys.
///
/// # Errors
/// What is in its place.
pub fn open_followed(path: &Path) -> Result<File, Unopened> {
    open_plain(FILE.difference(OFlags::NOFOLLOW), |flags| rustix::fs::open(path, flags, Mode::empty()))
}

/// Opens a plain file to read and write, which is made with `mode` where there is none; with whether it was made. No link is
/// followed, and pipes and devices are looked at and not opened.
///
/// # Errors
/// What is in its place.
pub fn open_or_create(path: &Path, access: Access, mode: u32) -> Result<(File, bool), Unopened> {
    let flags = match access {
        Access::Write => FILE | OFlags::RDWR,
        Access::Append => FILE | OFlags::RDWR | OFlags::APPEND,
    };
    let mut tries = 0;
    loop {
        match rustix::fs::open(path, flags | OFlags::CREATE | OFlags::EXCL, Mode::from_raw_mode(mode)) {
            Ok(file) => return Ok((File::from(file), true)),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(no_file(error)),
        }
        match open_plain(flags, |flags| rustix::fs::open(path, flags, Mode::empty())) {
            // Whoever had it took it away.
            Err(unopened) if unopened.found == Found::Nothing && tries < TRIES => tries += 1,
            opened => return opened.map(|file| (file, false)),
        }
    }
}

/// Opens a character device or a pipe for writing, or what this process has open under a name such as `/dev/stdout`; `None`
/// where `path` is none of them. A block device is none: what is written there replaces what it holds.
///
/// # Errors
/// The system's; a pipe that nobody reads.
pub fn open_stream(path: &Path) -> io::Result<Option<File>> {
    let name = path.to_str().unwrap_or_default();
    let number = ["/dev/fd/", "/proc/self/fd/"].iter().find_map(|folder| name.strip_prefix(folder));
    match (name, number) {
        ("/dev/stdout", _) | (_, Some("1")) => {
            return io::stdout().as_fd().try_clone_to_owned().map(|fd| Some(fd.into()));
        }
        ("/dev/stderr", _) | (_, Some("2")) => {
            return io::stderr().as_fd().try_clone_to_owned().map(|fd| Some(fd.into()));
        }
        _ => {}
    }
    // The names of open files are links by nature.
    let is_open = number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    let flags = OFlags::CLOEXEC | if is_open { OFlags::empty() } else { OFlags::NOFOLLOW };
    let seen = match rustix::fs::open(path, flags | OFlags::PATH, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        seen => fstat(&seen?)?,
    };
    if !matches!(FileType::from_raw_mode(seen.st_mode), FileType::CharacterDevice | FileType::Fifo) {
        return Ok(None);
    }
    let file = match rustix::fs::open(path, flags | OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty()) {
        Err(Errno::NXIO) => return Err(io::Error::other("expected a program that reads it, found none")),
        file => file?,
    };
    let now = fstat(&file)?;
    if (now.st_dev, now.st_ino) != (seen.st_dev, seen.st_ino) {
        return Err(io::Error::other("another file was put in its place"));
    }
    // Writing waits for who reads.
    fcntl_setfl(&file, fcntl_getfl(&file)?.difference(OFlags::NONBLOCK))?;
    Ok(Some(File::from(file)))
}

/// Looks at what `open` leads to, then opens it; what was put in its place meanwhile is not it.
fn open_plain(flags: OFlags, open: impl Fn(OFlags) -> Result<OwnedFd, Errno>) -> Result<File, Unopened> {
    // What is opened so is neither read nor waited for.
    let look = OFlags::PATH | OFlags::CLOEXEC | flags.intersection(OFlags::NOFOLLOW);
    let seen = open(look).map_err(no_file)?;
    let before = fstat(&seen).map_err(no_file)?;
    match FileType::from_raw_mode(before.st_mode) {
        FileType::RegularFile => {}
        FileType::Symlink => return Err(no_file(Errno::LOOP)),
        kind => {
            let found = if kind == FileType::Directory { "a directory" } else { "another kind" };
            let error = io::Error::other(format!("expected a plain file, found {found}"));
            return Err(Unopened { found: Found::OtherKind, error });
        }
    }
    let file = open(flags).map_err(no_file)?;
    let now = fstat(&file).map_err(no_file)?;
    if (now.st_dev, now.st_ino) == (before.st_dev, before.st_ino) {
        return Ok(File::from(file));
    }
    Err(Unopened { found: Found::Refusal, error: io::Error::other("another file was put in its place") })
}

fn no_file(error: Errno) -> Unopened {
    let found = match error {
        Errno::NOENT => Found::Nothing,
        Errno::LOOP => Found::Link,
        Errno::NXIO => Found::OtherKind,
        _ => Found::Refusal,
    };
    Unopened { found, error: error.into() }
}

fn no_folder(error: Errno) -> Unopened {
    let found = match error {
        Errno::NOENT => Found::Nothing,
        Errno::LOOP | Errno::NOTDIR => Found::OtherKind,
        _ => Found::Refusal,
    };
    Unopened { found, error: error.into() }
}

/// A folder that is open: what is opened in it lies in it, whatever becomes of its name.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens a folder that is no link.
    ///
    /// # Errors
    /// What is in its place.
    pub fn open(path: &Path) -> Result<Self, Unopened> {
        rustix::fs::open(path, FOLDER, Mode::empty()).map(Self).map_err(no_folder)
    }

    /// Opens a folder in it that is no link.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn folder(&self, name: &str) -> Result<Self, Unopened> {
        openat(&self.0, name, FOLDER, Mode::empty()).map(Self).map_err(no_folder)
    }

    /// Opens a file in it as [`open_file`] does.
    ///
    /// # Errors
    /// As [`open_file`].
    pub fn file(&self, name: &str) -> Result<File, Unopened> {
        open_plain(FILE, |flags| openat(&self.0, name, flags, Mode::empty()))
    }

    /// Calls `each` with the name of every entry.
    ///
    /// # Errors
    /// The system's; entries may have come before.
    pub fn entries(&self, mut each: impl FnMut(&OsStr)) -> io::Result<()> {
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                each(OsStr::from_bytes(name.to_bytes()));
            }
        }
        Ok(())
    }
}

/// Reads exactly `buffer` from `offset`.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] where the file ends before; the system's.
pub fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buffer, offset)
}

/// The permission bits; `None` where the system has none.
pub fn mode(metadata: &Metadata) -> Option<u32> {
    Some(metadata.mode() & 0o7777)
}

/// The user's number that a file belongs to; `None` where the system has none.
pub fn owner(metadata: &Metadata) -> Option<u32> {
    Some(metadata.uid())
}

/// The number of the file system that a file lies on; `None` where the system has none.
pub fn device(metadata: &Metadata) -> Option<u64> {
    Some(metadata.dev())
}

/// The user's number that this process works as.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Makes a new file to write, with `mode` as far as the umask lets it.
///
/// # Errors
/// The system's, [`io::ErrorKind::AlreadyExists`] among them.
pub fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Makes a folder for its owner alone.
///
/// # Errors
/// As [`create`].
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Makes a folder that only its owner can write in, and those above it that are not there.
///
/// # Errors
/// As [`create`].
pub fn make_folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o755).recursive(true).create(path)
}

/// Waits until the names in a folder are on the medium.
///
/// # Errors
/// The system's.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    match File::from(rustix::fs::open(path, flags, Mode::empty())?).sync_all() {
        // Some file systems know no fsync of directories.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        done => done,
    }
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a program that is just being started has it open, too, until it runs.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Takes the lock that a file stands for, which is made where it is not there and stays; `None` where somebody has it.
///
/// # Errors
/// The system's; a link is not followed, and what is no plain file not opened.
pub fn lock(path: &Path) -> io::Result<Option<Lock>> {
    let (file, _) = open_or_create(path, Access::Write, 0o600)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock(file))),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A turn at a file that several runs use; it ends when this is dropped.
#[derive(Debug)]
pub struct Turn<'a>(&'a File);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // It ends with the open file in any case.
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

/// Takes a turn at an open file, alone or with other readers; `None` where another run has it. Opens nothing.
///
/// # Errors
/// The system's.
pub fn turn<'a>(file: &'a File, _: &Path, readers: bool) -> io::Result<Option<Turn<'a>>> {
    let kind = if readers { FlockOperation::NonBlockingLockShared } else { FlockOperation::NonBlockingLockExclusive };
    match flock(file, kind) {
        Ok(()) => Ok(Some(Turn(file))),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A file to read and to write, this process' alone as long as all others ask with [`claim`].
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

impl Drop for Claim {
    fn drop(&mut self) {
        // As of a lock.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Opens a plain file, which is made where it is not there; `None` where somebody has claimed it.
///
/// # Errors
/// What is in its place; a link is not followed, a pipe not waited for.
pub fn claim(path: &Path) -> Result<Option<Claim>, Unopened> {
    let (file, is_new) = open_or_create(path, Access::Write, 0o644)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Claim { file, is_new })),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(Unopened { found: Found::Refusal, error: error.into() }),
    }
}

/// The signals that this process was started to ignore, as bits from 1; none where the system does not say.
pub fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
}

/// Where the machine's own settings lie, and where programs that root runs keep what they know. `_` gives a variable of the
/// environment.
pub fn shared(_: impl Fn(&str) -> Option<OsString>) -> [PathBuf; 2] {
    ["/etc", "/var/lib"].map(PathBuf::from)
}

/// Keeps the memory of this process out of core dumps, its children's too, and on Linux from other programs of its user.
///
/// # Errors
/// The system's.
pub fn keep_memory() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // The limit does not hold for a dump that is piped to a program (core(5)).
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn u1_memory_is_kept_out_of_dumps() {
        use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};
        super::keep_memory().unwrap();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
