//! Reads the files of a layer: one decompression, chosen by the first bytes and not by the media
//! type, and the tar archive in it.
//!
//! Content that is no archive under any of them is reported as such; the caller scans it whole.
//! Writes nothing to disk and follows no names. Stops when content expands beyond the limits.
//! Archives within files are left to the scanner.

use std::io::{self, BufReader, Cursor, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use super::archive::{self, Wrong};
use crate::flow::{Cancelled, Flow};

/// Largest accepted zstd window as a power of two: 128 MiB, the default of the zstd program.
const WINDOW_LOG: u32 = 27;

/// Limit for expanded content: `floor + ratio × size` bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cap {
    pub floor: u64,
    pub ratio: u64,
}

/// Limit for one layer.
pub(super) const LAYER: Cap = Cap { floor: 256 << 20, ratio: 200 };
/// Limit for all layers of a run together.
pub(super) const RUN: Cap = Cap { floor: 16 << 30, ratio: 200 };

impl Cap {
    pub(super) const fn of(self, size: u64) -> u64 {
        self.floor.saturating_add(self.ratio.saturating_mul(size))
    }
}

/// Limits the expanded content.
struct Expanding<'a, R> {
    inner: R,
    left: u64,
    run: &'a AtomicU64,
    flow: &'a Flow,
}

impl<R: Read> Read for Expanding<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.flow.is_cancelled() {
            return Err(crate::content::Error::from(Cancelled).into_io());
        }
        let count = self.inner.read(buffer)?;
        let taken = count as u64;
        let run = self.run.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(taken));
        match (self.left.checked_sub(taken), run) {
            (Some(left), Ok(_)) => {
                self.left = left;
                Ok(count)
            }
            (None, _) => Err(io::Error::other("more content than may be in a layer of its size (limits exceeded)")),
            (_, Err(_)) => Err(io::Error::other("more content than may be in all layers (limits exceeded)")),
        }
    }
}

/// Passes the path and content of each regular file of the layer in `reader` to `file`. `cap`
/// limits the expanded content of the layer, and `run` holds the rest of the limit for the whole
/// run. Reads to the end and returns the number of files.
///
/// # Errors
/// [`Wrong`] if not all of its files were passed on; [`Wrong::NoArchive`] if it is no archive.
pub(super) fn files(
    mut reader: &mut dyn Read,
    cap: u64,
    run: &AtomicU64,
    flow: &Flow,
    file: &mut archive::File<'_>,
) -> Result<u64, Wrong> {
    let mut first = Vec::with_capacity(4);
    Read::take(&mut reader, 4).read_to_end(&mut first)?;
    let all = Cursor::new(first.clone()).chain(reader);
    let plain: Box<dyn Read> = match *first {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(64 << 10, all))),
        // A frame, or a skippable frame.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            let mut decoder = zstd::stream::read::Decoder::new(all)?;
            decoder.window_log_max(WINDOW_LOG)?;
            Box::new(decoder)
        }
        // Programs that unpack layers also undo these.
        [0xfd, b'7', b'z', b'X'] | [b'B', b'Z', b'h', ..] => {
            return Err(Wrong::Archive("one in a compression that cannot be undone here (xz, bzip2)".to_owned()));
        }
        _ => Box::new(all),
    };
    let mut expanding = BufReader::with_capacity(64 << 10, Expanding { inner: plain, left: cap, run, flow });
    archive::walk(&mut expanding, file)
}

#[cfg(test)]
mod tests;
