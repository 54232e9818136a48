//! Opens a file through symbolic links, and tells everything on the way that could have led elsewhere.
//!
//! Goes from folder to folder with open handles, so that what is told is what was used.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, StatVfsMountFlags, fstat, fstatvfs, openat, readlinkat};
use rustix::io::Errno;

use super::unix::{FILE, no_file, open_file, open_plain};
use super::{Found, Hop, Unopened};

/// Maximum number of links on the way, as in the kernel.
const MOST: usize = 40;
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const ENTER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A folder on the way.
struct Here {
    folder: OwnedFd,
    path: PathBuf,
}

impl Here {
    fn hop(&self) -> Result<Hop, Errno> {
        let stat = fstat(&self.folder)?;
        let is_read_only = fstatvfs(&self.folder)?.f_flag.contains(StatVfsMountFlags::RDONLY);
        Ok(Hop {
            path: self.path.clone(),
            is_link: false,
            owner: stat.st_uid,
            mode: stat.st_mode & 0o7777,
            is_read_only,
        })
    }
}

/// Opens a plain file for reading, like [`open_file`]; if it is a link, opens what it leads to. Returns
/// also every link, and every folder in which a name was looked up, from the folder of the first link
/// on; nothing if the file is no link.
///
/// # Errors
/// [`Unopened`], with what was found there.
pub fn open_linked(path: &Path) -> Result<(File, Vec<Hop>), Unopened> {
    match open_file(path) {
        Err(unopened) if unopened.found == Found::Link => {}
        opened => return opened.map(|file| (file, Vec::new())),
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = rustix::fs::open(above, ENTER, Mode::empty()).map_err(no_file)?;
    let mut here = Here { folder, path: above.to_owned() };
    let mut hops = vec![here.hop().map_err(no_file)?];
    // The next name is the last one.
    let mut names: Vec<OsString> = path.file_name().map(OsStr::to_owned).into_iter().collect();
    let mut links = 0;
    while let Some(name) = names.pop() {
        let at = here.path.join(&name);
        let enter = |name: &OsStr| openat(&here.folder, name, ENTER, Mode::empty()).map_err(no_file);
        match name.as_bytes() {
            b"" | b"." => continue,
            b"/" | b".." => here = Here { folder: enter(&name)?, path: at },
            _ => {
                let seen = openat(&here.folder, &name, LOOK, Mode::empty()).map_err(no_file)?;
                let stat = fstat(&seen).map_err(no_file)?;
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Symlink => {
                        links += 1;
                        if links > MOST {
                            return Err(no_file(Errno::LOOP));
                        }
                        hops.push(Hop { path: at, is_link: true, owner: stat.st_uid, mode: 0, is_read_only: false });
                        let target = readlinkat(&seen, c"", Vec::new()).map_err(no_file)?.into_bytes();
                        let parts = target.split(|byte| *byte == b'/').rev();
                        names.extend(parts.map(|part| OsString::from_vec(part.to_vec())));
                        if target.starts_with(b"/") {
                            names.push("/".into());
                        }
                        continue;
                    }
                    FileType::Directory => here = Here { folder: seen, path: at },
                    FileType::RegularFile if names.is_empty() => {
                        let open = |flags: OFlags| openat(&here.folder, &name, flags, Mode::empty());
                        return open_plain(FILE, open).map(|file| (file, hops));
                    }
                    _ => return Err(other()),
                }
            }
        }
        hops.push(here.hop().map_err(no_file)?);
    }
    Err(other())
}

fn other() -> Unopened {
    let error = io::Error::other("expected a plain file, found another kind");
    Unopened { found: Found::OtherKind, error }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_and_folder_on_the_way_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        fs::create_dir_all(at("mount/..2026")).unwrap();
        fs::create_dir(at("elsewhere")).unwrap();
        fs::write(at("mount/..2026/file"), b"content").unwrap();
        symlink("..2026", at("mount/..data")).unwrap();
        symlink("..data/file", at("mount/file")).unwrap();
        symlink(at("mount/./file"), at("elsewhere/file")).unwrap();
        symlink("../mount//file", at("elsewhere/up")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("mount", at("folder")).unwrap();
        symlink("..2026/file/", at("mount/slash")).unwrap();
        let told = |name: &str| {
            let (mut file, hops) = open_linked(&at(name)).unwrap();
            let mut text = String::new();
            io::Read::read_to_string(&mut file, &mut text).unwrap();
            assert_eq!(text, "content", "{name}");
            let shown = |hop: &Hop| {
                let path = hop.path.strip_prefix(&root).map_or_else(|_| hop.path.clone(), Path::to_path_buf);
                format!("{}{}", path.display(), if hop.is_link { "@" } else { "" })
            };
            hops.iter().map(shown).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told("mount/..2026/file"), "");
        let mounted = "mount mount/file@ mount/..data@ mount/..2026";
        assert_eq!(told("mount/file"), mounted);
        assert_eq!(
            told("elsewhere/up"),
            "elsewhere elsewhere/up@ elsewhere/.. elsewhere/../mount \
            elsewhere/../mount/file@ elsewhere/../mount/..data@ elsewhere/../mount/..2026"
        );
        let absolute = told("elsewhere/file");
        assert!(absolute.starts_with("elsewhere elsewhere/file@ / "), "{absolute}");
        assert!(absolute.ends_with(mounted), "{absolute}");
        let refused = [
            ("none", Found::Nothing),
            ("loop", Found::Link),
            ("folder", Found::OtherKind),
            ("mount/slash", Found::OtherKind),
        ];
        for (name, found) in refused {
            assert_eq!(open_linked(&at(name)).unwrap_err().found, found, "{name}");
        }
        fs::remove_file(at("mount/..2026/file")).unwrap();
        assert_eq!(open_linked(&at("mount/file")).unwrap_err().found, Found::Nothing);
    }
}
