//! Checks the bytes of frames: stored ones block by block or whole, packed ones whole
//! (`spec/frame.md`).
//!
//! Returns what is wrong with a frame; callers add where the frame is.

use xxhash_rust::xxh64::Xxh64;

use super::frame::{self, BLOCK_HEADER, RAW_BLOCK, STORED_HEADER};
use crate::base::fault::differs;
use crate::bundle::Error;
use crate::oci::{Digest, Hasher};

/// Checks the bytes of a stored frame in order, without needing all of them in memory.
pub struct StoredCheck {
    // Number of content bytes still to come.
    left: usize,
    content: Xxh64,
    // Hash of the frame's bytes, if the manifest has a digest for it.
    whole: Option<(Digest, Hasher)>,
}

impl StoredCheck {
    /// Starts with the header of a frame that holds `content` bytes.
    ///
    /// # Errors
    /// If the header differs from the computed one.
    pub fn begin(header: &[u8], content: u64, digest: Option<Digest>) -> Result<Self, &'static str> {
        if header != frame::stored_header(u32::try_from(content).unwrap_or_default()) {
            return Err("frame header differs from the computed one");
        }
        let whole = digest.map(|digest| {
            let mut hasher = Hasher::new(digest.algorithm());
            hasher.update(header);
            (digest, hasher)
        });
        Ok(Self { left: usize::try_from(content).unwrap_or_default(), content: Xxh64::new(0), whole })
    }

    /// Returns the length of the next block including its header, or `None` after the last one.
    pub fn next_block(&self) -> Option<usize> {
        (self.left > 0).then(|| BLOCK_HEADER + self.left.min(RAW_BLOCK))
    }

    /// Takes the next block, of the length that [`StoredCheck::next_block`] returns.
    ///
    /// # Errors
    /// If its header differs from the computed one.
    pub fn block(&mut self, block: &[u8]) -> Result<(), &'static str> {
        let (header, content) = block.split_at(BLOCK_HEADER);
        self.left = self.left.saturating_sub(content.len());
        if header != frame::block_header(content.len(), self.left == 0) {
            return Err("block header differs from the computed one");
        }
        self.content.update(content);
        if let Some((_, hasher)) = &mut self.whole {
            hasher.update(block);
        }
        Ok(())
    }

    /// Finishes with the checksum after the last block. Returns the XXH64 of the content, of which
    /// the frame holds one half.
    ///
    /// # Errors
    /// If the content does not match the checksum, or the frame its digest.
    pub fn end(self, checksum: &[u8]) -> Result<u64, &'static str> {
        if checksum != frame::checksum(&self.content) {
            return Err("content differs from the frame's checksum");
        }
        if let Some((expected, mut hasher)) = self.whole {
            hasher.update(checksum);
            if hasher.finish() != expected {
                return Err("frame differs from its digest");
            }
        }
        Ok(self.content.digest())
    }
}

/// Checks a whole stored frame that holds `content` bytes. `bytes` must have the size of such a
/// frame. Returns the XXH64 of the content.
///
/// # Errors
/// Those of [`StoredCheck`].
pub fn check_stored(bytes: &[u8], content: u64, digest: Option<Digest>) -> Result<u64, &'static str> {
    let (header, mut rest) = bytes.split_at(STORED_HEADER);
    let mut check = StoredCheck::begin(header, content, digest)?;
    while let Some(length) = check.next_block() {
        let (block, after) = rest.split_at(length);
        check.block(block)?;
        rest = after;
    }
    check.end(rest)
}

/// Compares a packed frame with its digest, then unpacks its `content` bytes into `out`. `at`
/// returns where the frame is.
///
/// # Errors
/// [`crate::base::fault::Class::Integrity`] for another digest; those of [`frame::unpack`].
pub fn open_packed(
    bytes: &[u8],
    digest: Digest,
    content: u64,
    at: impl Fn() -> String,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let found = Digest::of(digest.algorithm(), bytes);
    if found != digest {
        return Err(Error::integrity(differs(at(), digest, found)));
    }
    frame::unpack(bytes, content, out).map_err(|why| why.at(&at()))
}
