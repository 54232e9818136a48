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
}
