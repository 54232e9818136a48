//! Replacing a small file of the user's: whole or not at all, for its owner alone (0600).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use crate::base::fault::Class;

/// Gives `path` the content `bytes`; a link stays one, and what it leads to is replaced. `before` is what was
/// read from it (`None`: there was no file). Folders that are not there are made, for the user alone. The
/// owner stays.
///
/// # Errors
/// [`io::ErrorKind::ResourceBusy`] where the file is no longer as it was read; the file system's own. The file is
/// then as it was.
pub fn replace(path: &Path, before: Option<&[u8]>, bytes: &[u8]) -> io::Result<()> {
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let partial = dir.join(format!(".{name}.{:016x}", u64::from_ne_bytes(random)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    let written = || -> io::Result<()> {
        if let Ok(old) = target.metadata() {
            let new = file.metadata()?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        let now = match std::fs::read(&target) {
            Ok(now) => Some(zeroize::Zeroizing::new(now)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if now.as_ref().map(|now| now.as_slice()) != before {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another program has just changed it"));
        }
        std::fs::rename(&partial, &target)?;
        File::open(dir)?.sync_all()
    }();
    if written.is_err() {
        // Gone already where only the folder could not be synced.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

/// What a failure of [`replace`] is.
pub fn class(error: &io::Error) -> Class {
    if error.kind() == io::ErrorKind::ResourceBusy { Class::Lock } else { Class::Io }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn whole_private_and_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/f");
        replace(&path, None, b"one").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        replace(&link, Some(b"one"), b"two").unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!((std::fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o600));
        for before in [None, Some(&b"one"[..])] {
            assert_eq!(replace(&path, before, b"three").unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
