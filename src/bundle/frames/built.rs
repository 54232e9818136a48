//! A frame in memory, as it is or will be on the medium: one buffer, no second copy.
//!
//! A stored frame keeps the plain bytes and returns headers and blocks as slices. A packed frame
//! keeps only the packed bytes and unpacks them when its plain bytes are needed.

use std::borrow::Cow;
use std::io::IoSlice;

use std::sync::Arc;

use super::pool::{Lease, Pool};
use crate::bundle::format::frame::{self, BLOCK_HEADER, CHECKSUM, MAX_PLAIN, RAW_BLOCK, STORED_HEADER, stored_size};
use crate::bundle::format::frame_check::check_stored;
use crate::bundle::format::manifest;
use crate::oci::Digest;
use crate::system::memory::Exhausted;

use xxhash_rust::xxh64::{Xxh64, xxh64};

/// Returns a pool of at most `count` buffers, each as large as the largest frame, stored ones included.
pub fn frame_buffers(count: usize) -> Arc<Pool> {
    // No truncation: about 16 MiB.
    Pool::sized(count, usize::try_from(stored_size(MAX_PLAIN)).unwrap_or_default())
}

/// A frame in memory.
#[derive(Debug)]
pub struct Built {
    buffer: Lease,
    length: usize,
    plain: u64,
    kind: Kind,
    // XXH64 of the content of a stored frame, of the bytes of a packed one.
    sum: u64,
}

#[derive(Debug)]
enum Kind {
    Stored { head: [u8; STORED_HEADER], full: [u8; BLOCK_HEADER], last: [u8; BLOCK_HEADER], sum: [u8; CHECKSUM] },
    Packed(Digest),
}

fn stored(plain: &[u8]) -> (Kind, u64) {
    let mut hasher = Xxh64::new(0);
    hasher.update(plain);
    let last = plain.len() - (plain.len().div_ceil(RAW_BLOCK) - 1) * RAW_BLOCK;
    let kind = Kind::Stored {
        head: frame::stored_header(u32::try_from(plain.len()).unwrap_or(u32::MAX)),
        full: frame::block_header(RAW_BLOCK, false),
        last: frame::block_header(last, true),
        sum: frame::checksum(&hasher),
    };
    (kind, hasher.digest())
}

/// Returns the sum of the frame's bytes as they are on a medium, to compare with [`Built::sum`];
/// `None` for a stored frame that is not as it was written.
pub fn sum_of(bytes: &[u8], entry: &manifest::Frame) -> Option<u64> {
    if entry.size.is_some() { Some(xxh64(bytes, 0)) } else { check_stored(bytes, entry.plain, None).ok() }
}

impl Built {
    /// Builds a stored frame from the first `plain` bytes of `buffer` (at least one).
    pub fn stored(buffer: Lease, plain: usize) -> Self {
        let (kind, sum) = stored(&buffer[..plain]);
        Self { length: plain, plain: plain as u64, kind, buffer, sum }
    }

    /// Builds a frame from the first `plain` bytes of `buffer`, packed if that saves enough.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn packed(mut buffer: Lease, plain: usize, level: i32) -> Result<Self, Exhausted> {
        Ok(match frame::pack(&buffer[..plain], level)? {
            // Saves enough, so it is smaller than the plain bytes.
            Some(packed) => {
                buffer[..packed.len()].copy_from_slice(&packed);
                let (kind, sum) = (Kind::Packed(Digest::sha256(&packed)), xxh64(&packed, 0));
                Self { length: packed.len(), plain: plain as u64, kind, buffer, sum }
            }
            None => Self::stored(buffer, plain),
        })
    }

    /// Reads the frame at the start of `buffer`, as it was on a medium. Returns `None` if its bytes
    /// do not match `entry` or their own checksum.
    pub fn read(mut buffer: Lease, entry: &manifest::Frame) -> Option<Self> {
        let size = usize::try_from(entry.stored_size()).ok()?;
        if let Some(digest) = entry.digest.as_deref().copied() {
            if Digest::sha256(&buffer[..size]) != digest {
                return None;
            }
            let sum = xxh64(&buffer[..size], 0);
            return Some(Self { buffer, length: size, plain: entry.plain, kind: Kind::Packed(digest), sum });
        }
        let plain = usize::try_from(entry.plain).ok()?;
        check_stored(&buffer[..size], entry.plain, None).ok()?;
        let mut to = 0;
        while to < plain {
            let length = RAW_BLOCK.min(plain - to);
            let at = STORED_HEADER + (to / RAW_BLOCK + 1) * BLOCK_HEADER + to;
            buffer.copy_within(at..at + length, to);
            to += length;
        }
        Some(Self::stored(buffer, plain))
    }

    /// Returns a sum of the frame as it is in memory, to compare with what the medium returns later.
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// Returns the frame's entry in the manifest.
    pub fn entry(&self) -> manifest::Frame {
        match self.kind {
            Kind::Stored { .. } => manifest::Frame { digest: None, plain: self.plain, size: None },
            Kind::Packed(digest) => {
                manifest::Frame { digest: Some(Box::new(digest)), plain: self.plain, size: Some(self.length as u64) }
            }
        }
    }

    /// Returns the frame's bytes on the medium, in order.
    pub fn slices(&self) -> Vec<IoSlice<'_>> {
        let bytes = &self.buffer[..self.length];
        let Kind::Stored { head, full, last, sum } = &self.kind else { return vec![IoSlice::new(bytes)] };
        let mut blocks = bytes.chunks(RAW_BLOCK).peekable();
        let mut slices = vec![IoSlice::new(head)];
        while let Some(block) = blocks.next() {
            slices.push(IoSlice::new(if blocks.peek().is_some() { full } else { last }));
            slices.push(IoSlice::new(block));
        }
        slices.push(IoSlice::new(sum));
        slices
    }

    /// Returns the frame's bytes of the tar stream, or `None` if a packed frame does not unpack
    /// because of bad memory.
    pub fn plain(&self) -> Option<Cow<'_, [u8]>> {
        let bytes = &self.buffer[..self.length];
        match self.kind {
            Kind::Stored { .. } => Some(Cow::Borrowed(bytes)),
            Kind::Packed(_) => {
                let mut out = Vec::new();
                frame::unpack(bytes, self.plain, &mut out).ok()?;
                Some(Cow::Owned(out))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn lease(bytes: &[u8]) -> Lease {
        let ((), mut lease) = frame_buffers(1).take(&AtomicBool::new(false), || Some(())).unwrap();
        lease[..bytes.len()].copy_from_slice(bytes);
        lease
    }

    #[test]
    fn slices_are_the_frame_and_read_back() {
        for size in [1, 512, RAW_BLOCK - 1, RAW_BLOCK, RAW_BLOCK + 1, 3 * RAW_BLOCK] {
            let plain: Vec<u8> = (0..size).map(|index| u8::try_from(index % 251).unwrap()).collect();
            for built in [Built::stored(lease(&plain), size), Built::packed(lease(&plain), size, 3).unwrap()] {
                let bytes: Vec<u8> = built.slices().iter().flat_map(|slice| slice.to_vec()).collect();
                let entry = built.entry();
                assert_eq!(bytes.len() as u64, entry.stored_size());
                if entry.digest.is_none() {
                    assert_eq!(bytes, frame::store(&plain));
                }
                assert_eq!(built.plain().unwrap(), plain);
                let again = Built::read(lease(&bytes), &entry).unwrap();
                assert_eq!(again.plain().unwrap(), plain);
                assert_eq!((again.sum(), sum_of(&bytes, &entry)), (built.sum(), Some(built.sum())));
                for flip in [0, 10, bytes.len() / 2, bytes.len() - 1] {
                    let mut wrong = bytes.clone();
                    wrong[flip] ^= 1;
                    assert!(Built::read(lease(&wrong), &entry).is_none(), "{size} {flip}");
                    assert_ne!(sum_of(&wrong, &entry), Some(built.sum()), "{size} {flip}");
                }
            }
        }
    }
}
