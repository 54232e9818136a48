//! Finds files that have the name of a bundle's file but are not part of a bundle: an export must
//! not replace them.
//!
//! Recognizes files by their first bytes, because a damaged bundle may be replaced, too. Changes
//! nothing.

use std::path::Path;
use std::sync::Arc;

use super::volumes::files::Files;
use super::volumes::local::{Directories, read_capped};
use super::{Error, Name};
use crate::base::fault::{Class, differs};
use crate::outfile::{MANIFEST_BEGINS, begins, is_manifest};
use crate::system::{self, Found};

/// First bytes of every signature file.
const SIGNATURES_BEGIN: &[u8] = b"{\"payload\":\"";
/// First bytes of every volume: a zstd frame.
const VOLUME_BEGINS: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Maximum size of a list of checksums in bytes: 10,000 lines of at most 150.
const MAX_CHECKSUMS: u64 = 2 << 20;
/// Entries of a bundle of form flat.
const FLAT: [&str; 3] = ["oci-layout", "index.json", "blobs"];

/// Refuses the first file in `dir` that has a final name of bundle `name` but is not part of a
/// bundle.
///
/// # Errors
/// [`Class::Usage`]; [`Class::Io`] for a link or another kind of file.
pub fn check(dir: &Path, name: &Name) -> Result<(), Error> {
    let manifest = dir.join(name.manifest());
    check_begin(&manifest, MANIFEST_BEGINS)?;
    // Next to a manifest they belong to its bundle, however damaged.
    if !is_manifest(&manifest) {
        check_begin(&dir.join(name.signatures()), SIGNATURES_BEGIN)?;
        for number in Files::new(Arc::new(Directories::new(vec![dir.to_owned()])), name.clone()).present()? {
            check_begin(&dir.join(name.volume(number)), VOLUME_BEGINS)?;
        }
        check_checksums(&dir.join(name.checksums()), name)?;
    }
    check_flat(&dir.join(name.flat()))
}

/// Returns the error that refuses to replace `path`.
pub fn refused(path: &Path) -> Error {
    let what = differs(path.display(), "a file of a bundle or none", "another file");
    Error::new(Class::Usage, what).help("choose another name; packmule replaces only files that it wrote")
}

fn check_begin(path: &Path, first: &[u8]) -> Result<(), Error> {
    let io = |error: std::io::Error| Error::io(path.display(), &error);
    match system::open_file(path) {
        Ok(file) if file.metadata().map_err(io)?.len() == 0 || begins(&file, first).map_err(io)? => Ok(()),
        Ok(_) => Err(refused(path)),
        Err(unopened) if unopened.found == Found::Nothing => Ok(()),
        Err(unopened) => Err(io(unopened.error)),
    }
}

fn check_checksums(path: &Path, name: &Name) -> Result<(), Error> {
    let found = read_capped(path, MAX_CHECKSUMS).map_err(|error| match error.class {
        Class::Format => refused(path),
        _ => error,
    })?;
    let Some(bytes) = found else { return Ok(()) };
    let text = String::from_utf8_lossy(&bytes);
    let is_own = |line: &str| {
        let file = line.split_once("  ").map(|(_, file)| file);
        file.is_some_and(|file| file == name.manifest() || name.volume_number(file).is_some())
    };
    if text.lines().all(is_own) { Ok(()) } else { Err(refused(path)) }
}

fn check_flat(path: &Path) -> Result<(), Error> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(_) => return Err(refused(path)),
    };
    for entry in entries {
        let file = entry.map_err(|error| Error::io(path.display(), &error))?.file_name();
        if !file.to_str().is_some_and(|file| FLAT.contains(&file)) {
            return Err(refused(path));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_has_a_bundles_name_is_not_taken_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let name = Name::new("app").unwrap();
        let at = |file: &str| dir.path().join(file);
        let checked = || check(dir.path(), &name).map_err(|error| error.class);
        let digest = "0".repeat(64);
        let sums = format!("{digest}  app.json\n{digest}  app.0001.tar.zst\n");
        let own = [("app.sig.json", "{\"payload\":\"e30=\""), ("app.sha256", &*sums), ("app.0001.tar.zst", "")];
        for (file, text) in own {
            std::fs::write(at(file), text).unwrap();
            assert_eq!(checked(), Ok(()), "{file}");
        }
        let sums = format!("{digest}  app.iso\n");
        let others = [("app.sig.json", "{}"), ("app.sha256", &*sums), ("app.0002.tar.zst", "a text")];
        for (file, text) in others {
            let before = std::fs::read(at(file)).ok();
            std::fs::write(at(file), text).unwrap();
            assert_eq!(checked(), Err(Class::Usage), "{file}");
            std::fs::write(at("app.json"), "{\"absent\":[], and then damage").unwrap();
            assert_eq!(checked(), Ok(()), "{file} of a damaged bundle");
            std::fs::write(at("app.json"), "{\"name\":\"app\"}").unwrap();
            assert_eq!(checked(), Err(Class::Usage), "another manifest");
            std::fs::remove_file(at("app.json")).unwrap();
            std::fs::remove_file(at(file)).unwrap();
            before.iter().for_each(|before| std::fs::write(at(file), before).unwrap());
        }
        std::fs::write(at("app.oci"), "a file").unwrap();
        assert_eq!(checked(), Err(Class::Usage));
        std::fs::remove_file(at("app.oci")).unwrap();
        std::fs::create_dir_all(at("app.oci/blobs")).unwrap();
        assert_eq!(checked(), Ok(()));
        std::fs::write(at("app.oci/notes.txt"), "mine").unwrap();
        assert_eq!(checked(), Err(Class::Usage));
    }
}
