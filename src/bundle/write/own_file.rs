//! Files and folders of an unfinished run, and the error of a failed write. A medium may come from
//! anywhere, so links and files with a second name are refused.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use super::room::free_bytes;
use crate::bundle::Error;
use crate::system::{self, Access, Found};

/// Returns the error of a failed write, with advice if the disk is full or the file too large.
pub fn write_error(path: &Path, error: &std::io::Error) -> Error {
    let refused = Error::io(path.display(), error);
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            let free = path.parent().and_then(|dir| free_bytes(dir).ok());
            let free = free.map_or_else(String::new, |free| format!("; {free} bytes are free"));
            Error { what: refused.what + &free, ..refused }
                .help("make room and run the same export again: it goes on where it stopped")
        }
        std::io::ErrorKind::FileTooLarge => match system::file_size_limit() {
            None => refused.help("the file system allows no larger file: use --volume-size fat32"),
            Some(limit) => Error {
                what: format!("{}; this process may write files of at most {limit} bytes (ulimit -f)", refused.what),
                ..refused
            }
            .help("raise the limit, or use a --volume-size below it (at least 32MiB)"),
        },
        _ => refused,
    }
}

/// Creates a file at `path` and replaces one that was left there. Never follows a link.
pub(in crate::bundle) fn create(path: &Path) -> std::io::Result<File> {
    system::create_anew(path, 0o644)
}

/// Opens a file of an unfinished run for reading and appending; creates it if it is missing. A
/// medium may come from anywhere, so links and files with a second name are refused.
pub(in crate::bundle) fn open_own(path: &Path) -> std::io::Result<File> {
    let other = "expected a plain file with no other name, found another kind or a second name; remove it";
    let (file, _) = system::open_or_create(path, Access::Append, 0o644).map_err(|unopened| match unopened.found {
        Found::Link | Found::OtherKind => std::io::Error::other(other),
        Found::Nothing | Found::Refusal => unopened.error,
    })?;
    if file.metadata()?.nlink() == 1 { Ok(file) } else { Err(std::io::Error::other(other)) }
}

/// Creates a folder of an unfinished run if it is missing. Refuses a link.
pub(in crate::bundle) fn make_own_folder(path: &Path) -> std::io::Result<()> {
    let Err(error) = DirBuilder::new().mode(0o755).create(path) else { return Ok(()) };
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(std::io::Error::other("expected a folder, found a link or file; remove it")),
        Err(_) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_runs_own_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["new", "old", "twin"] {
            open_own(&path(name)).unwrap();
        }
        open_own(&path("old")).unwrap();
        std::fs::hard_link(path("twin"), path("other name")).unwrap();
        std::os::unix::fs::symlink("old", path("link")).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        for name in ["twin", "link", "pipe"] {
            assert!(open_own(&path(name)).is_err(), "{name}");
        }
        make_own_folder(&path("folder")).unwrap();
        make_own_folder(&path("folder")).unwrap();
        std::os::unix::fs::symlink("folder", path("to folder")).unwrap();
        for name in ["to folder", "old"] {
            assert!(make_own_folder(&path(name)).unwrap_err().to_string().contains("expected a folder"), "{name}");
        }
        assert_eq!(make_own_folder(&path("none/below")).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    }
}
