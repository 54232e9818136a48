//! Finds the absolute path of a program before it is started.
//!
//! The system's search treats an empty entry of PATH, and `.`, as the current directory, which may
//! be the medium. This search uses only absolute entries, and the program is started by exactly the
//! path found.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Failure, Surroundings};

/// Search path used without a PATH.
const DEFAULT: &str = "/usr/bin:/bin";

/// Name of the variable.
const PATH: &str = "PATH";

/// Returns the absolute path of `program`. Searches a name in the absolute entries of PATH;
/// resolves a path against the working directory of the program.
///
/// # Errors
/// [`Failure::Absent`], [`Failure::Broken`].
pub fn search(program: &str, surroundings: &Surroundings) -> Result<PathBuf, Failure> {
    if program.contains('/') {
        let path = surroundings.dir.join(program);
        return std::path::absolute(path).map_err(Failure::Broken);
    }
    if program.is_empty() {
        return Err(Failure::Absent);
    }
    let path = surroundings.env.get(OsStr::new(PATH)).map_or(OsStr::new(DEFAULT), OsString::as_os_str);
    absolute(path).map(|dir| Path::new(dir).join(program)).find(|file| is_program(file)).ok_or(Failure::Absent)
}

/// Returns the environment for a program: that of the caller, with only the absolute entries of
/// PATH, so that the program does not search the current directory either. Always sets PATH, since
/// with none or an empty one some shells search the current directory.
pub fn environment(surroundings: &Surroundings) -> BTreeMap<OsString, OsString> {
    let mut env = surroundings.env.clone();
    let entries: Vec<&OsStr> = env.get(OsStr::new(PATH)).into_iter().flat_map(|path| absolute(path)).collect();
    let path = if entries.is_empty() { DEFAULT.into() } else { entries.join(OsStr::new(":")) };
    env.insert(PATH.into(), path);
    env
}

/// Returns the absolute entries of PATH.
fn absolute(path: &OsStr) -> impl Iterator<Item = &OsStr> {
    path.as_bytes().split(|byte| *byte == b':').map(OsStr::from_bytes).filter(|dir| Path::new(dir).is_absolute())
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &Path, mode: u32) {
        std::fs::write(path, "#!/bin/sh\necho found\n").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_absolute_entries_of_path_are_searched() {
        let (medium, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let there = bin.path().join("clamdscan");
        std::fs::create_dir(medium.path().join("bin")).unwrap();
        for planted in ["clamdscan", "bin/clamdscan"] {
            place(&medium.path().join(planted), 0o755);
        }
        let own = bin.path().to_str().unwrap();
        let at = |path: &str| {
            let env = [(PATH.into(), path.into())].into();
            search("clamdscan", &Surroundings { env, dir: medium.path().to_owned() })
        };
        for path in ["", ".", ":", "bin", "./bin:.", "../x"] {
            assert!(matches!(at(path), Err(Failure::Absent)), "{path:?}");
            assert!(matches!(at(&format!("{path}:{own}")), Err(Failure::Absent)), "{path:?}: not there yet");
        }
        // Directories and files that are not executable are skipped.
        let before = tempfile::tempdir().unwrap();
        std::fs::create_dir(before.path().join("clamdscan")).unwrap();
        let text = tempfile::tempdir().unwrap();
        place(&text.path().join("clamdscan"), 0o644);
        place(&there, 0o755);
        for path in ["", ".", ":", "bin", "./bin:.", before.path().to_str().unwrap(), text.path().to_str().unwrap()] {
            assert_eq!(at(&format!("{path}:{own}")).unwrap(), there, "{path:?}");
        }
    }

    #[test]
    fn a_path_is_made_absolute_and_not_searched_for() {
        let surroundings = Surroundings { env: [(PATH.into(), "/usr/bin".into())].into(), dir: "/srv/x".into() };
        assert_eq!(search("./scan", &surroundings).unwrap(), Path::new("/srv/x/scan"));
        assert_eq!(search("/opt/scan", &surroundings).unwrap(), Path::new("/opt/scan"));
        assert!(matches!(search("", &surroundings), Err(Failure::Absent)));
        // Without a PATH.
        assert!(search("sh", &Surroundings::default()).unwrap().is_absolute());
    }

    #[test]
    fn what_a_program_starts_is_not_looked_for_here_either() {
        for (path, given) in [
            (Some(".:/usr/bin::bin:/bin"), "/usr/bin:/bin"),
            (Some("/bin"), "/bin"),
            (Some("."), DEFAULT),
            (Some(""), DEFAULT),
            (None, DEFAULT),
        ] {
            let path = path.map(|path| (PATH.into(), path.into()));
            let env: BTreeMap<OsString, OsString> = path.into_iter().chain([("X".into(), ".:a".into())]).collect();
            let made = environment(&Surroundings { env, dir: PathBuf::new() });
            let expected: BTreeMap<OsString, OsString> =
                [(PATH.into(), given.into()), ("X".into(), ".:a".into())].into();
            assert_eq!(made, expected);
        }
    }
}
