//! Finds a bundle by its path in a directory of this machine, and opens it.
//!
//! All other files that read bundles know only [`Volumes`](crate::content::volumes::Volumes), not
//! paths.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walkdir::WalkDir;

use super::open::untrusted::{Untrusted, open_at};
use super::volumes::local::Directories;
use super::{Error, Name};
use crate::base::fault::{Class, differs};

/// Levels of directories below a given one in which a bundle is searched for.
const DEPTH: usize = 4;

/// Number of entries below a directory after which the search for a bundle ends.
const MOST: usize = 10_000;

/// Finds the bundle that `path` names: `DIR/NAME`, `DIR/NAME.json`, or a directory with one bundle,
/// in it or, if it has none itself, below it (a mount point).
///
/// # Errors
/// [`Class::Usage`] if a directory holds several, [`Class::Format`] if the path names something
/// else, [`Class::Io`] if there is none.
pub fn locate(path: &Path) -> Result<(PathBuf, Name), Error> {
    let shown = path.display();
    if path.is_dir() {
        let names = names_in(path).map_err(|error| Error::io(&shown, &error))?;
        return match &names[..] {
            [name] => Ok((path.to_owned(), name.clone())),
            [] => below(path),
            _ => Err(Error::new(Class::Usage, differs(shown, "one bundle", names.len())).help("name it: DIR/NAME")),
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

/// Returns the names of the manifests in `dir`, sorted. An empty manifest does not count.
fn names_in(dir: &Path) -> std::io::Result<Vec<Name>> {
    let mut names: Vec<Name> = std::fs::read_dir(dir)?
        .filter_map(Result::ok)
        .filter(|entry| entry.metadata().is_ok_and(|metadata| metadata.len() > 0))
        .filter_map(|entry| name_of(&entry.file_name()))
        .collect();
    names.sort();
    Ok(names)
}

/// Returns the bundle's name and the number in the name of a volume's file.
pub fn volume_of(file: &str) -> Option<(Name, usize)> {
    let name = Name::new(file.split_once('.')?.0).ok()?;
    let number = name.volume_number(file)?;
    Some((name, number))
}

/// Returns the error for a volume, or a directory with volumes, whose manifest is not there.
pub fn on_another_medium(shown: impl fmt::Display, (name, number): &(Name, usize)) -> Error {
    let manifest = name.manifest();
    Error::new(Class::Io, format!("{shown}: this is volume {number} of {name}; its manifest is on another medium"))
        .help(format!("insert the medium with {manifest} and name that; --volume-dir names further directories"))
}

/// Returns the first volume in a directory.
fn volume_in(dir: &Path) -> Option<(Name, usize)> {
    let entries = std::fs::read_dir(dir).ok()?;
    entries.filter_map(Result::ok).filter_map(|entry| volume_of(entry.file_name().to_str()?)).min()
}

fn name_of(file: &OsStr) -> Option<Name> {
    Name::new(file.to_str()?.strip_suffix(".json")?).ok()
}

/// Finds the only bundle in the directories below `dir`, without following links or leaving the
/// file system. There, a manifest counts only next to its first volume or its directory of form flat.
fn below(dir: &Path) -> Result<(PathBuf, Name), Error> {
    let shown = dir.display();
    let walk = WalkDir::new(dir).min_depth(2).max_depth(DEPTH).same_file_system(true).sort_by_file_name();
    let mut found = Vec::new();
    for entry in walk.into_iter().take(MOST).filter_map(Result::ok).filter(|entry| entry.file_type().is_file()) {
        let (Some(name), Some(parent)) = (name_of(entry.file_name()), entry.path().parent()) else { continue };
        let holds = |file: String| parent.join(file).symlink_metadata().is_ok();
        if holds(format!("{name}.0001.tar.zst")) || holds(format!("{name}.oci")) {
            found.push((parent.to_owned(), name));
        }
    }
    match found.len() {
        0 => Err(volume_in(dir).map_or_else(
            || {
                Error::new(Class::Io, differs(&shown, "a bundle", "no NAME.json"))
                    .help("name the directory that holds NAME.json, or DIR/NAME")
            },
            |volume| on_another_medium(&shown, &volume),
        )),
        1 => Ok(found.remove(0)),
        more => {
            let (dir, name) = &found[0];
            Err(Error::new(Class::Usage, differs(shown, "one bundle", format_args!("{more} below it")))
                .help(format!("name one of them: {}", dir.join(name.to_string()).display())))
        }
    }
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

    #[test]
    fn a_directory_with_a_volume_alone_says_whose_it_is() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["twin.0003.tar.zst", "twin.0002.tar.zst", "other.2.tar.zst"] {
            std::fs::write(dir.path().join(file), "x").unwrap();
        }
        let fault = locate(dir.path()).unwrap_err();
        assert!(
            fault.class == Class::Io && fault.what.ends_with("volume 2 of twin; its manifest is on another medium")
        );
        assert!(fault.help.unwrap().contains("twin.json"));
    }

    #[test]
    fn a_bundle_is_found_below_a_mount_point() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "{").unwrap();
        };
        // Neither is a bundle: one has no volume, the other is too deep.
        put("from/site/settings.json");
        put("1/2/3/4/deep.json");
        put("1/2/3/4/deep.0001.tar.zst");
        assert_eq!(locate(dir.path()).unwrap_err().class, Class::Io);
        put("from/site/b.json");
        put("from/site/b.0001.tar.zst");
        std::os::unix::fs::symlink(dir.path().join("from"), dir.path().join("link")).unwrap();
        let name = Name::new("b").unwrap();
        assert_eq!(locate(dir.path()), Ok((dir.path().join("from/site"), name)));
        put("flat/c.json");
        std::fs::create_dir(dir.path().join("flat/c.oci")).unwrap();
        let fault = locate(dir.path()).unwrap_err();
        assert_eq!(fault.class, Class::Usage);
        assert!(fault.what.contains("found 2 below it") && fault.help.unwrap().contains("flat/c"), "{}", fault.what);
    }
}
