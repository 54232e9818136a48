//! SIZE on the command line: `700MiB`, `1GB`, `4096`; and the named sizes of volumes.

use crate::base::fault::{Class, Fault, expects};

/// Parses a number of bytes: digits, then nothing, `B`, or a decimal (`kB MB GB TB`) or binary
/// (`KiB MiB GiB TiB`) unit.
///
/// # Errors
/// Class usage.
pub fn parse(text: &str) -> Result<u64, Fault> {
    let wrong = || {
        Fault::new(Class::Usage, expects(format_args!("size {text:?}"), "a number of bytes"))
            .help("write it as 700MiB, 1GB or 4096")
    };
    crate::base::size::parse(text).ok_or_else(wrong)
}

/// Parses `--volume-size`: a size, or `none`, `fat32`, `dvd` (4 GiB − 1, the largest file in ISO
/// 9660) or `bd`.
///
/// # Errors
/// Class usage.
pub fn volume(text: &str) -> Result<u64, Fault> {
    match text {
        "none" => Ok(u64::MAX),
        "fat32" | "dvd" => Ok((4 << 30) - 1),
        "bd" => Ok(23 << 30),
        other => parse(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse("700MiB").unwrap(), 700 << 20);
        assert_eq!(parse("1GB").unwrap(), 1_000_000_000);
        assert_eq!(parse("4096").unwrap(), 4096);
        for wrong in ["", "MiB", "1.5GiB", "-1", "1XB", "99999999999GiB", "1 mib"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(volume("fat32").unwrap(), 4_294_967_295);
    }
}
