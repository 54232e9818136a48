//! Checks a state's own file before its content counts: it must be plain, and writable by its owner alone.
//!
//! It opens nothing and knows no content.

use std::fs::File;
use std::io;

use crate::system;

/// Returns `file` if it is a plain file that only its owner can write.
///
/// # Errors
/// The file system's; a file that others can write, or that is no plain file.
pub(super) fn checked(file: File) -> io::Result<File> {
    let metadata = file.metadata()?;
    if metadata.is_file() && system::mode(&metadata).is_none_or(|mode| mode & 0o022 == 0) {
        Ok(file)
    } else {
        Err(io::Error::other("expected a plain file that only its owner can write"))
    }
}
