//! Lists files that are next to a bundle but not part of it. Never opens them.

use std::collections::BTreeSet;

use super::files::Files;
use crate::content::volumes::Entry;

/// Maximum number of names listed; the others are only counted.
pub const NAMED: usize = 20;

/// Files and folders that do not belong to the bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// The first names in order, at most [`NAMED`]. Names of folders end with a slash.
    pub names: Vec<String>,
    /// Number of files and folders that are not in `names`.
    pub more: usize,
}

/// Lists the foreign files next to `files`. Skips a folder that cannot be listed; whoever needs the
/// folder reports that.
pub(in crate::bundle) fn beside(files: &Files) -> Beside {
    let name = files.name();
    let own = [name.manifest(), name.signatures(), name.checksums(), name.flat()];
    let mut names = BTreeSet::new();
    let mut count = 0;
    let mut take = |entry: Entry<'_>| {
        if own.iter().any(|own| own == entry.name) || name.volume_number(entry.name).is_some() {
            return;
        }
        names.insert(if entry.is_folder { format!("{}/", entry.name) } else { entry.name.to_owned() });
        count += 1;
        if names.len() > NAMED {
            names.pop_last();
        }
    };
    // Counts what was listed before an error.
    let _ = files.place().list("", &mut take);
    Beside { more: count - names.len(), names: names.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::bundle::Name;
    use crate::bundle::volumes::local::Directories;

    fn beside(dirs: &[PathBuf], name: &Name) -> Beside {
        super::beside(&Files::new(Arc::new(Directories::new(dirs.to_vec())), name.clone()))
    }

    #[test]
    fn all_that_is_not_the_bundles_is_named_or_counted() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let name = Name::new("b").unwrap();
        let paths = dirs.each_ref().map(|dir| dir.path().to_owned());
        for own in ["b.json", "b.sig.json", "b.sha256", "b.0001.tar.zst", "b.0000.tar.zst"] {
            std::fs::write(paths[0].join(own), b"").unwrap();
        }
        std::fs::create_dir(paths[0].join("b.oci")).unwrap();
        assert_eq!(beside(&paths, &name), Beside::default());
        std::fs::write(paths[1].join("autorun.inf"), b"").unwrap();
        std::fs::write(paths[0].join("b.1.tar.zst"), b"").unwrap();
        std::fs::create_dir(paths[0].join("c")).unwrap();
        std::os::unix::fs::symlink("/etc", paths[0].join("d")).unwrap();
        let found = beside(&paths, &name);
        assert_eq!((found.names, found.more), (["autorun.inf", "b.1.tar.zst", "c/", "d"].map(Into::into).to_vec(), 0));
        for number in 0..NAMED {
            std::fs::write(paths[0].join(format!("e{number:02}")), b"").unwrap();
        }
        let found = beside(&paths, &name);
        assert_eq!((found.names.len(), found.more, found.names[0].as_str()), (NAMED, 4, "autorun.inf"));
        assert_eq!(beside(&[paths[0].join("none")], &name), Beside::default());
    }
}
