//! Standard input and files as streams that may stand still: pipes, FIFOs, terminals. Whoever reads one is told when
//! nothing came for a moment ([`io::ErrorKind::WouldBlock`]), so that it can look whether its run was ended meanwhile.
//!
//! Regular files are read as they are.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Opens the file at `path`, whatever its kind; does not wait for the writer of a FIFO.
///
/// # Errors
/// The system's.
pub fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let mut options = File::options();
    options.read(true);
    // Where a FIFO that had no writer yet counts as one that stands still, and not as one that ended.
    #[cfg(target_os = "linux")]
    if std::os::unix::fs::FileTypeExt::is_fifo(&path.metadata()?.file_type()) {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    }
    Ok(waited_for(options.open(path)?))
}

/// This process's standard input, past what was read of it through [`io::stdin`].
///
/// # Errors
/// The system's.
#[cfg(unix)]
pub fn stdin() -> io::Result<Box<dyn Read + Send>> {
    use std::os::fd::AsFd as _;
    Ok(waited_for(File::from(io::stdin().as_fd().try_clone_to_owned()?)))
}

/// This process's standard input.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn stdin() -> io::Result<Box<dyn Read + Send>> {
    Ok(Box::new(io::stdin()))
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

/// A file that is read only when something came, or its end.
#[cfg(unix)]
struct Waiting(File);

#[cfg(unix)]
impl Read for Waiting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        /// How long is waited.
        const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 150_000_000 };
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&MOMENT))? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => self.0.read(buffer),
        }
    }
}
