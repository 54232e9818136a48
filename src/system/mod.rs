//! System-dependent functions: opening files without following links, reading at an offset,
//! permissions, locks, signals, places of settings.
//!
//! One interface, with one file per system. Decides nothing: callers choose what to refuse, and the
//! error texts.

pub mod memory;
pub mod pipe;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
mod unix_links;
#[cfg(unix)]
mod unix_lock;
#[cfg(windows)]
mod windows;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

#[cfg(unix)]
pub use self::unix::{
    Folder, SIGNALS, STATES, TOO_LARGE, address_space, be_frugal, create, device, file_size_limit, ignored_signals,
    keep_memory, make_folders, make_private_folder, mode, open_file, open_followed, open_or_create, open_stream, owner,
    raise_open_files, read_exact_at, return_buffers, shared, sync_folder, user,
};
#[cfg(unix)]
pub use self::unix_links::open_linked;
#[cfg(unix)]
pub use self::unix_lock::{Claim, Lock, Turn, claim, lock, turn};
#[cfg(windows)]
pub use self::windows::{
    Claim, Folder, Lock, SIGNALS, STATES, TOO_LARGE, Turn, address_space, be_frugal, claim, create, device,
    file_size_limit, ignored_signals, keep_memory, lock, make_folders, make_private_folder, mode, open_file,
    open_followed, open_linked, open_or_create, open_stream, owner, raise_open_files, read_exact_at, return_buffers,
    shared, sync_folder, turn, user,
};

/// How a file is opened for changes. It can always be read too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Writes anywhere.
    Write,
    /// Writes only at the end. This works for append-only files (`chattr +a`).
    Append,
}

/// A link, or a folder in which a name was looked up, on the way to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Its path.
    pub path: PathBuf,
    /// Whether it is a link; else it is a folder.
    pub is_link: bool,
    /// User ID of its owner.
    pub owner: u32,
    /// Permission bits of a folder.
    pub mode: u32,
    /// Whether the folder's file system is mounted read-only.
    pub is_read_only: bool,
}

/// Reason why a file or folder was not opened.
#[derive(Debug)]
pub struct Unopened {
    /// Kind of thing found there.
    pub found: Found,
    /// Error of the system.
    pub error: io::Error,
}

/// Kind of thing found in place of a file or folder that can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing exists there.
    Nothing,
    /// A symbolic link, or anything else that stands for another name.
    Link,
    /// Neither a file nor a folder, or not the requested one of the two.
    OtherKind,
    /// Something that the system refused to open.
    Refusal,
}

impl From<Unopened> for io::Error {
    fn from(unopened: Unopened) -> Self {
        unopened.error
    }
}

/// Creates a new file for writing and removes one that a killed run left under this name. Does not
/// follow a link there.
///
/// # Errors
/// Errors of the system.
pub fn create_anew(path: &Path, mode: u32) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => create(path, mode),
    }
}

/// Makes the name of a file or folder durable.
///
/// # Errors
/// Errors of the system.
pub fn sync_name(path: &Path) -> io::Result<()> {
    sync_folder(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Creates a folder and its missing parents, accessible only to the owner, and makes their names
/// durable.
///
/// # Errors
/// Errors of the system.
pub fn make_private_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        make_private_folders(above)?;
    }
    match make_private_folder(folder) {
        // Another run created it at the same time.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        done => done?,
    }
    sync_name(folder)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_opened_and_read_at_offsets() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert_eq!(open_file(&path).unwrap_err().found, Found::Nothing);
        fs::write(&path, b"0123456789").unwrap();
        let file = open_file(&path).unwrap();
        let mut four = [0; 4];
        for (offset, expected) in [(6, b"6789"), (0, b"0123"), (3, b"3456")] {
            read_exact_at(&file, &mut four, offset).unwrap();
            assert_eq!(&four, expected);
        }
        assert_eq!(read_exact_at(&file, &mut four, 7).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn folders_give_their_entries_and_what_lies_in_them() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("root/below")).unwrap();
        fs::write(dir.path().join("root/below/file"), b"x").unwrap();
        assert_eq!(Folder::open(&dir.path().join("none")).unwrap_err().found, Found::Nothing);
        let root = Folder::open(&dir.path().join("root")).unwrap();
        assert_eq!(root.folder("none").unwrap_err().found, Found::Nothing);
        let below = root.folder("below").unwrap();
        assert_eq!(below.folder("file").unwrap_err().found, Found::OtherKind);
        assert_eq!(below.file("file").unwrap().metadata().unwrap().len(), 1);
        let entries = |folder: &Folder| {
            let mut entries = Vec::new();
            folder.entries(|name| entries.push(name.to_owned())).unwrap();
            entries
        };
        assert_eq!(entries(&root), ["below"]);
        assert_eq!(entries(&below), ["file"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_seen_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        fs::write(dir.path().join("file"), b"x").unwrap();
        for (target, link) in [("folder", "to-folder"), ("file", "to-file")] {
            std::os::unix::fs::symlink(target, dir.path().join(link)).unwrap();
        }
        assert_eq!(open_file(&dir.path().join("to-file")).unwrap_err().found, Found::Link);
        assert_eq!(Folder::open(&dir.path().join("to-folder")).unwrap_err().found, Found::OtherKind);
        let here = Folder::open(dir.path()).unwrap();
        assert_eq!(here.folder("to-folder").unwrap_err().found, Found::OtherKind);
        assert_eq!(here.file("to-file").unwrap_err().found, Found::Link);
        let mut count = 0;
        here.entries(|_| count += 1).unwrap();
        assert_eq!(count, 4);
    }

    #[cfg(unix)]
    #[test]
    fn b17_a_pipe_is_looked_at_and_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
        // The writer keeps waiting for a reader.
        let writer = std::thread::spawn({
            let path = path.clone();
            move || fs::OpenOptions::new().write(true).open(path).is_ok()
        });
        for _ in 0..50 {
            assert_eq!(open_file(&path).unwrap_err().found, Found::OtherKind);
            let here = Folder::open(dir.path()).unwrap();
            assert_eq!(here.file("pipe").unwrap_err().found, Found::OtherKind);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert!(!writer.is_finished());
        // Releases the writer.
        drop(fs::File::open(&path).unwrap());
        assert!(writer.join().unwrap());
    }

    #[test]
    fn what_is_held_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = lock(&path).unwrap();
        assert!(held.is_some() && lock(&path).unwrap().is_none());
        drop(held);
        assert!(lock(&path).unwrap().is_some());
    }

    #[test]
    fn one_writes_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let files = [0, 1].map(|_| open_or_create(&path, Access::Write, 0o600).unwrap().0);
        let held = turn(&files[0], &path, false).unwrap();
        assert!(held.is_some() && turn(&files[1], &path, false).unwrap().is_none());
        drop(held);
        assert!(turn(&files[1], &path, false).unwrap().is_some());
    }

    #[test]
    fn what_is_claimed_is_a_file_and_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let held = claim(&path).unwrap().unwrap();
        assert!(held.is_new() && claim(&path).unwrap().is_none());
        drop(held);
        assert!(!claim(&path).unwrap().unwrap().is_new());
        assert!(claim(dir.path()).is_err() && claim(&dir.path().join("none/file")).is_err());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&path, dir.path().join("link")).unwrap();
            assert!(claim(&dir.path().join("link")).is_err());
        }
    }

    #[test]
    fn what_is_private_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, file) = (dir.path().join("folder"), dir.path().join("folder/file"));
        make_private_folder(&folder).unwrap();
        create(&file, 0o600).unwrap();
        sync_folder(&folder).unwrap();
        assert_eq!(create(&file, 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        for (path, expected) in [(&folder, 0o700), (&file, 0o600)] {
            let found = mode(&fs::metadata(path).unwrap());
            assert!(found.is_none_or(|found| found & 0o777 & !expected == 0), "{found:?}");
        }
    }
}
