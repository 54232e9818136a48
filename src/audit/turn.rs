//! Waiting for a turn at a file that several runs use: a log, or the file of a state's id.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::system::{self, Turn};

/// How often another run's lock is waited for, and how long each time: together ten seconds.
const TRIES: usize = 1000;
const PAUSE: Duration = Duration::from_millis(10);

/// Waits for a turn, which others have for moments only.
///
/// # Errors
/// The system's; [`io::ErrorKind::ResourceBusy`] where another program does not let go.
pub(super) fn wait<'a>(file: &'a File, path: &Path, readers: bool) -> io::Result<Turn<'a>> {
    for _ in 0..TRIES {
        match system::turn(file, path, readers)? {
            Some(turn) => return Ok(turn),
            None => std::thread::sleep(PAUSE),
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "another program has held its lock for ten seconds"))
}
