//! Unix: descriptors, modes, `/etc`.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, openat};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

use super::{Access, Found, Unopened};

/// Number of retries for a file that is repeatedly created and removed while it is opened.
const TRIES: usize = 16;
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
// NONBLOCK: opening a FIFO must not block.
pub(super) const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// Signals that ask a process to end.
pub const SIGNALS: &[i32] = &[SIGHUP, SIGINT, SIGTERM];

/// Signal that ends a process which writes a file above its limit. If it is caught, the write fails
/// instead.
pub const TOO_LARGE: Option<i32> = Some(SIGXFSZ);

/// Returns the maximum size of a file, in bytes, that this process may write (`ulimit -f`); `None`
/// without a limit.
pub fn file_size_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Returns the maximum address space of this process, in bytes (`ulimit -v`); `None` without a
/// limit.
pub fn address_space() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Raises the number of files that this process may have open as far as the system allows, and
/// returns it; `None` without a limit.
pub fn raise_open_files() -> Option<usize> {
    let now = getrlimit(Resource::Nofile);
    // Ignore a refusal: then the old limit stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    getrlimit(Resource::Nofile).current.map(|most| usize::try_from(most).unwrap_or(usize::MAX))
}

/// Stops the C library from reserving address space for each thread, if it does so.
pub fn be_frugal() {
    #[cfg(all(target_os = "linux", target_env = "gnu", feature = "guard"))]
    #[allow(unsafe_code, reason = "it sets a parameter of the C library's allocator")]
    // SAFETY: no other thread runs yet, and the call takes plain numbers.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Makes the C library return memory to the system when a buffer of 1 MiB or more is dropped. By
/// default glibc keeps buffers of up to 32 MiB after the first one was dropped, so that the buffers
/// of one stage and of the next are in memory together.
pub fn return_buffers() {
    #[cfg(all(target_os = "linux", target_env = "gnu", feature = "guard"))]
    #[allow(unsafe_code, reason = "it sets a parameter of the C library's allocator")]
    // SAFETY: the call takes plain numbers, and the library locks its own parameters.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
    }
}

/// Variables that name a folder for state files, in addition to those of the XDG base directories.
pub const STATES: &[&str] = &[];

/// Opens a plain file for reading, without following a link. Does not open pipes and devices, since
/// that would affect their other end.
///
/// # Errors
/// [`Unopened`], with what was found there.
pub fn open_file(path: &Path) -> Result<File, Unopened> {
    open_plain(FILE, |flags| rustix::fs::open(path, flags, Mode::empty()))
}

/// Like [`open_file`], but follows a link: for files that the operator names and often links to,
/// such as keys.
///
/// # Errors
/// [`Unopened`], with what was found there.
pub fn open_followed(path: &Path) -> Result<File, Unopened> {
    open_plain(FILE.difference(OFlags::NOFOLLOW), |flags| rustix::fs::open(path, flags, Mode::empty()))
}

/// Opens a plain file for reading and writing, or creates it with `mode`. Also returns whether it
/// was created. Does not follow a link, and does not open pipes and devices.
///
/// # Errors
/// [`Unopened`], with what was found there.
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
            // The file was removed in the meantime.
            Err(unopened) if unopened.found == Found::Nothing && tries < TRIES => tries += 1,
            opened => return opened.map(|file| (file, false)),
        }
    }
}

/// Opens a character device or a pipe for writing, or an open file of this process under a name
/// such as `/dev/stdout`. `None` if `path` is none of them. Block devices are excluded, since
/// writing would destroy their content.
///
/// # Errors
/// Errors of the system; a pipe without a reader.
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
    // The names of open files are always links.
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
    // Writes block until the reader is ready.
    fcntl_setfl(&file, fcntl_getfl(&file)?.difference(OFlags::NONBLOCK))?;
    Ok(Some(File::from(file)))
}

/// Checks the file that `open` leads to, then opens it. Fails if the file was replaced in between.
pub(super) fn open_plain(flags: OFlags, open: impl Fn(OFlags) -> Result<OwnedFd, Errno>) -> Result<File, Unopened> {
    // Opening with PATH neither reads nor waits.
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

pub(super) fn no_file(error: Errno) -> Unopened {
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

/// An open folder. Files are opened relative to it, even if it is renamed.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens a folder that is not a link.
    ///
    /// # Errors
    /// [`Unopened`], with what was found there.
    pub fn open(path: &Path) -> Result<Self, Unopened> {
        rustix::fs::open(path, FOLDER, Mode::empty()).map(Self).map_err(no_folder)
    }

    /// Opens a subfolder that is not a link.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn folder(&self, name: &str) -> Result<Self, Unopened> {
        openat(&self.0, name, FOLDER, Mode::empty()).map(Self).map_err(no_folder)
    }

    /// Opens a file in this folder as [`open_file`] does.
    ///
    /// # Errors
    /// As [`open_file`].
    pub fn file(&self, name: &str) -> Result<File, Unopened> {
        open_plain(FILE, |flags| openat(&self.0, name, flags, Mode::empty()))
    }

    /// Calls `each` with the name of every entry.
    ///
    /// # Errors
    /// Errors of the system; `each` may have been called before.
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

/// Fills `buffer` from `offset`.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] if the file ends too early; errors of the system.
pub fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buffer, offset)
}

/// Returns the permission bits; `None` on systems without them.
pub fn mode(metadata: &Metadata) -> Option<u32> {
    Some(metadata.mode() & 0o7777)
}

/// Returns the user ID of a file's owner; `None` on systems without user IDs.
pub fn owner(metadata: &Metadata) -> Option<u32> {
    Some(metadata.uid())
}

/// Returns the device number of a file's file system; `None` on systems without device numbers.
pub fn device(metadata: &Metadata) -> Option<u64> {
    Some(metadata.dev())
}

/// Returns the effective user ID of this process.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Creates a new file for writing, with `mode` restricted by the umask.
///
/// # Errors
/// Errors of the system, including [`io::ErrorKind::AlreadyExists`].
pub fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Creates a folder that only its owner can access.
///
/// # Errors
/// As [`create`].
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Creates a folder that only its owner can write in, and its missing parents.
///
/// # Errors
/// As [`create`].
pub fn make_folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o755).recursive(true).create(path)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// Errors of the system.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    match File::from(rustix::fs::open(path, flags, Mode::empty())?).sync_all() {
        // Some file systems do not support fsync of directories.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        done => done,
    }
}

/// Returns the signals that this process was started to ignore: bit 0 is signal 1. 0 if the system
/// does not tell.
pub fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
}

/// Returns the folder for machine-wide settings, and the folder for the state of programs run by
/// root. The parameter looks up environment variables.
pub fn shared(_: impl Fn(&str) -> Option<OsString>) -> [PathBuf; 2] {
    ["/etc", "/var/lib"].map(PathBuf::from)
}

/// Keeps the memory of this process and its children out of core dumps, and on Linux also hides it
/// from other programs of the user.
///
/// # Errors
/// Errors of the system.
pub fn keep_memory() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // The limit does not apply to a dump that is piped to a program (core(5)).
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
