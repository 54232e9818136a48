//! Finds a bundle by its path in a directory of this machine, and opens it.
//!
//! All other files that read bundles know only [`Volumes`](crate::content::volumes::Volumes), not
//! paths.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::open::untrusted::{Untrusted, open_at};
use super::volumes::local::Directories;
use super::{Error, Name};
use crate::base::fault::Class;

/// Finds the bundle that `path` names: `DIR/NAME`, `DIR/NAME.json`, or a directory with one bundle.
///
/// # Errors
/// [`Class::Usage`] if a directory holds several, [`Class::Format`] if the path names something
/// else, [`Class::Io`] if there is none.
pub fn locate(path: &Path) -> Result<(PathBuf, Name), Error> {
    let shown = path.display();
    if path.is_dir() {
        let mut names: Vec<Name> = std::fs::read_dir(path)
            .map_err(|error| Error::io(&shown, &error))?
            .filter_map(Result::ok)
            // An empty manifest does not count.
            .filter(|entry| entry.metadata().is_ok_and(|metadata| metadata.len() > 0))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter_map(|file| Name::new(file.strip_suffix(".json")?).ok())
            .collect();
        names.sort();
        return match (names.pop(), names.len()) {
            (Some(name), 0) => Ok((path.to_owned(), name)),
            (None, _) => Err(Error::new(Class::Io, format!("{shown}: expected a bundle, found no NAME.json"))
                .help("name the directory that holds NAME.json, or DIR/NAME")),
            (Some(_), more) => {
                Err(Error::new(Class::Usage, format!("{shown}: expected one bundle, found {}", more + 1))
                    .help("name it: DIR/NAME"))
            }
        };
    }
    let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
    let dir = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let not_a_bundle = || {
        Error::format(format!("{shown}: not a bundle"))
            .help("name a bundle as DIR/NAME, its NAME.json, or a directory that holds one")
    };
    let stem = file.strip_suffix(".json");
    let name = Name::new(stem.unwrap_or(file))
        .map_err(|error| if path.symlink_metadata().is_ok() { not_a_bundle() } else { error })?;
    if stem.is_none() && path.symlink_metadata().is_ok() {
        return Err(not_a_bundle());
    }
    Ok((dir, name))
}

/// Opens the bundle at `path` like [`open_at`].
///
/// # Errors
/// As [`locate`] and [`open_at`].
pub fn open(path: &Path) -> Result<Untrusted, Error> {
    open_spread(path, Vec::new())
}

/// Opens the bundle at `path`, whose volumes may also lie in `dirs`.
///
/// # Errors
/// As [`locate`] and [`open_at`].
pub fn open_spread(path: &Path, dirs: Vec<PathBuf>) -> Result<Untrusted, Error> {
    let (dir, name) = locate(path)?;
    let dirs = std::iter::once(dir).chain(dirs).collect();
    open_at(Arc::new(Directories::new(dirs)), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_found_by_each_of_its_names() {
        let name = Name::new("b").unwrap();
        for path in ["b", "b.json", "./b"] {
            assert_eq!(locate(path.as_ref()), Ok((".".into(), name.clone())), "{path}");
        }
        assert_eq!(locate("usb/b".as_ref()), Ok(("usb".into(), name.clone())));
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(locate(dir.path()).unwrap_err().class, Class::Io);
        std::fs::write(dir.path().join("b.json"), "{").unwrap();
        assert_eq!(locate(dir.path()), Ok((dir.path().to_owned(), name.clone())));
        // Where nothing can be deleted, an empty file is left of another bundle.
        std::fs::write(dir.path().join("c.json"), "").unwrap();
        assert_eq!(locate(dir.path()), Ok((dir.path().to_owned(), name)));
        std::fs::write(dir.path().join("c.json"), "{").unwrap();
        assert_eq!(locate(dir.path()).unwrap_err().class, Class::Usage);
    }
}
