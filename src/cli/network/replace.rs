//! Atomic replacement of a user's small file, readable only by its owner (0600).

use std::fs::DirBuilder;
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, fchown};
use std::path::Path;

use crate::base::fault::Class;
use crate::cli::writing::newfile::Draft;
use crate::system::{self, Found};

/// Replaces the content of `path` with `bytes`. A link stays; the file that it points to is
/// replaced. `before` is the content that was read from it (`None`: there was no file). Missing
/// directories are created for the user alone. The owner stays.
///
/// # Errors
/// [`io::ErrorKind::ResourceBusy`] if the file has changed since it was read; errors of the file
/// system. The file is then unchanged.
pub fn replace(path: &Path, before: Option<&[u8]>, bytes: &[u8]) -> io::Result<()> {
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let draft = Draft::beside(&target, 0o600)?;
    if let Ok(old) = target.metadata() {
        let new = draft.file().metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            fchown(draft.file(), Some(old.uid()), Some(old.gid()))?;
        }
    }
    draft.fill(bytes)?;
    // A device at this path is not replaced.
    let now = match system::open_file(&target) {
        Ok(mut file) => {
            let mut now = zeroize::Zeroizing::new(Vec::new());
            file.read_to_end(&mut now)?;
            Some(now)
        }
        Err(unopened) if unopened.found == Found::Nothing => None,
        Err(unopened) => return Err(unopened.error),
    };
    if now.as_ref().map(|now| now.as_slice()) != before {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another program has just changed it"));
    }
    draft.replace()
}

/// Returns the class of a failure of [`replace`].
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
        let pipe = dir.path().join("a/b/pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        assert!(replace(&pipe, None, b"three").is_err() && replace(&pipe, Some(b""), b"three").is_err());
        assert!(!pipe.metadata().unwrap().is_file());
        std::fs::remove_file(pipe).unwrap();
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
