//! Whether a file system and the process can take a bundle: largest file, free space.

use std::fmt;
use std::path::Path;

use crate::base::fault::{Class, differs};
use crate::bundle::Error;

/// Size in bytes of the largest file on FAT32.
const FAT_FILE: u64 = (4 << 30) - 1;
/// `f_type` of FAT in statfs.
const FAT_MAGIC: u64 = 0x4d44;

/// Returns the number of bytes that are free on the file system of `path` for this user.
///
/// # Errors
/// Those of the system.
pub fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Checks that a file system of this kind holds files of `largest` bytes.
pub(super) fn holds(shown: &impl fmt::Display, kind: u64, largest: u64) -> Result<(), Error> {
    if kind == FAT_MAGIC && largest > FAT_FILE {
        return Err(Error::new(
            Class::Usage,
            differs(shown, format_args!("volumes of at most {FAT_FILE} bytes on FAT"), largest),
        )
        .help("use --volume-size fat32"));
    }
    Ok(())
}

/// Returns a warning if the process may not write files of up to `largest` bytes.
pub(super) fn exceeds(shown: &impl fmt::Display, limit: Option<u64>, largest: u64) -> Option<String> {
    let limit = limit.filter(|limit| largest > *limit)?;
    Some(format!(
        "{shown}: files may have up to {largest} bytes, but this process may write at most {limit} (ulimit -f)"
    ))
}

/// Checks that `have` bytes are enough for `least`. Returns a warning if they are less than `most`.
pub(super) fn room(shown: &impl fmt::Display, have: u64, least: u64, most: u64) -> Result<Option<String>, Error> {
    if least > have {
        return Err(Error::new(Class::Io, differs(shown, format_args!("room for {least} bytes"), have))
            .help("make room, or name another directory with -o"));
    }
    Ok((most > have).then(|| format!("{shown}: up to {most} bytes may be needed, {have} are available")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x4_a_limit_of_the_process_is_told_before_the_start() {
        let told = |limit, largest| exceeds(&"usb", limit, largest);
        assert_eq!((told(None, 9), told(Some(9), 9)), (None, None));
        assert!(told(Some(8), 9).is_some_and(|text| text.contains("up to 9 bytes") && text.contains("at most 8")));
    }

    #[test]
    fn what_just_fits_has_room() {
        let room = |least, most| room(&"usb", 1000, least, most);
        assert_eq!(room(1000, 1000), Ok(None));
        assert!(room(1000, 1001).unwrap().unwrap().contains("up to 1001 bytes"));
        assert_eq!(room(1001, 1001).unwrap_err().class, Class::Io);
        for (kind, largest, fits) in [
            (0x4d44, 4_294_967_295, true),
            (0x4d44, 4_294_967_296, false),
            (0x4d44, u64::MAX, false),
            (0xef53, u64::MAX, true),
        ] {
            assert_eq!(holds(&"usb", kind, largest).is_ok(), fits, "{kind:#x}, {largest}");
        }
    }

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

    #[test]
    fn what_lies_in_the_directory_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let name = Name::new("b").unwrap();
        let output = Output::open(dir.path(), &name, false).unwrap();
        let put = |file: &str, bytes: &str| std::fs::write(dir.path().join(file), bytes).unwrap();
        assert!(!output.has_manifest() && !output.overwrite());
        put("b.json", "");
        assert!(!output.has_manifest(), "an empty one is none");
        put("b.json", "{\"absent\":[");
        assert!(output.has_manifest());
        for number in [0, 1, 12] {
            std::fs::write(dir.path().join(format!("b.{number:04}.tar.zst")), b"\x28\xb5\x2f\xfd").unwrap();
            put(&format!("b.{number:04}.tar.zst.partial"), "x");
        }
        assert_eq!(output.volumes(), Ok(vec![1, 12]));
        assert_eq!(output.partial_volumes(), Ok(vec![1, 12]));
        // A missing file counts as removed; one that cannot be removed is an error.
        output.remove(&output.path("none")).unwrap();
        output.remove_all(&output.path("none")).unwrap();
        std::fs::create_dir(output.path("folder")).unwrap();
        assert_eq!(output.remove(&output.path("folder")).unwrap_err().class, Class::Io);
        assert_eq!(output.remove_all(&output.path("b.json/below")).unwrap_err().class, Class::Io);
        drop(output);
        assert!(Output::open(dir.path(), &name, true).unwrap().overwrite());
    }
}
