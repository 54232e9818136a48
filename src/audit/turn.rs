//! Waits for the lock of a file that several runs use: a log, or the file of a state's id.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::system::{self, Turn};

/// Number of attempts to get another run's lock, and the pause between them. Ten seconds in total.
const TRIES: usize = 1000;
const PAUSE: Duration = Duration::from_millis(10);

/// Waits for the lock, which other runs hold only for moments.
///
/// # Errors
/// System errors; [`io::ErrorKind::ResourceBusy`] if another program keeps the lock.
pub(super) fn wait<'a>(file: &'a File, path: &Path, readers: bool) -> io::Result<Turn<'a>> {
    for _ in 0..TRIES {
        match system::turn(file, path, readers)? {
            Some(turn) => return Ok(turn),
            None => std::thread::sleep(PAUSE),
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "another program has held its lock for ten seconds"))
}
