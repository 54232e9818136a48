//! Checks a state's own file before its content is used: it must be a regular file that only its
//! owner can write.
//!
//! Opens nothing and does not interpret the content.

use std::fs::File;
use std::io;

use crate::system;

/// Returns `file` if it is a regular file that only its owner can write.
///
/// # Errors
/// Errors of the file system; a file that others can write, or that is not a regular file.
pub(super) fn checked(file: File) -> io::Result<File> {
    let metadata = file.metadata()?;
    if metadata.is_file() && system::mode(&metadata).is_none_or(|mode| mode & 0o022 == 0) {
        Ok(file)
    } else {
        Err(io::Error::other("expected a plain file that only its owner can write"))
    }
}
