//! Standard input and files as streams that may pause: pipes, FIFOs, terminals. A read returns
//! [`io::ErrorKind::WouldBlock`] if no data arrives for a moment, so that the reader can check for
//! cancellation.
//!
//! Regular files are read without this.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Opens the file at `path`, of any kind. Does not wait for the writer of a FIFO.
///
/// # Errors
/// Errors of the system.
pub fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let mut options = File::options();
    options.read(true);
    // Linux only: there, a FIFO that had no writer yet counts as paused, not as ended.
    #[cfg(target_os = "linux")]
    if std::os::unix::fs::FileTypeExt::is_fifo(&path.metadata()?.file_type()) {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    }
    Ok(waited_for(options.open(path)?))
}

/// Returns the standard input of this process, without what was already read through [`io::stdin`].
///
/// # Errors
/// Errors of the system.
#[cfg(unix)]
pub fn stdin() -> io::Result<Box<dyn Read + Send>> {
    use std::os::fd::AsFd as _;
    Ok(waited_for(File::from(io::stdin().as_fd().try_clone_to_owned()?)))
}

/// Returns the standard input of this process.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn stdin() -> io::Result<Box<dyn Read + Send>> {
    Ok(Box::new(io::stdin()))
}

/// Returns the reading end of a pipe from another process.
#[cfg(feature = "online")]
pub fn of_process(file: File) -> Box<dyn Read + Send> {
    waited_for(file)
}

#[cfg(unix)]
fn waited_for(file: File) -> Box<dyn Read + Send> {
    let is_regular = file.metadata().is_ok_and(|found| found.is_file());
    if is_regular { Box::new(file) } else { Box::new(Waiting(file)) }
}

#[cfg(not(unix))]
fn waited_for(file: File) -> Box<dyn Read + Send> {
    Box::new(file)
}

/// A file that is read only when data or its end is available.
#[cfg(unix)]
struct Waiting(File);

#[cfg(unix)]
impl Read for Waiting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        /// Time to wait for data.
        const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 150_000_000 };
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&MOMENT))? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => self.0.read(buffer),
        }
    }
}
