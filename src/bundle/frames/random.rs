//! The tar stream of some frames, read from their volumes in small pieces; every byte of the frames
//! themselves is compared or hashed here (`spec/frame.md`).
//!
//! What the pieces hold is not judged here: headers, padding and content are [`super::members`]'s.

use std::ops::Range;

use xxhash_rust::xxh64::Xxh64;

use crate::bundle::Error;
use crate::bundle::format::frame::{self, BLOCK_HEADER, CHECKSUM, RAW_BLOCK, STORED_HEADER};
use crate::bundle::format::offsets::Geometry;
use crate::bundle::volumes::local::Volumes;
use crate::oci::{Digest, Hasher};

/// Raw blocks of a stored frame that are read at once: 0.9 MiB, what a job holds.
const READ_BLOCKS: usize = 7;

/// The tar stream of some frames, piece by piece; the frames themselves are checked on the way.
pub trait Pieces {
    /// The next piece of the stream, empty at the end of the last frame.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`], [`crate::base::fault::Class::Integrity`], and
    /// [`crate::base::fault::Class::Format`] for a packed frame against its rules; each with volume and offset.
    fn next_piece(&mut self) -> Result<&[u8], Error>;
}

/// Reads frames in order.
pub struct Plain<'a> {
    geometry: &'a Geometry,
    volumes: &'a Volumes,
    frames: Range<usize>,
    state: State,
    buffer: Vec<u8>,
    // The part of `buffer` (or of the packed frame's content) that was not given yet.
    ready: Range<usize>,
    broken: Option<usize>,
}

#[allow(clippy::large_enum_variant, reason = "one value a job; boxing would only move it")]
enum State {
    /// Between frames.
    Between,
    /// Within a stored frame.
    Stored {
        /// Its index.
        frame: usize,
        /// Plain bytes that were taken from the medium.
        read: u64,
        /// Over what was given.
        content: Xxh64,
        /// Over the frame's bytes, where the manifest has a digest for it.
        whole: Option<Hasher>,
    },
    /// A packed frame's content stands in `content`.
    Packed {
        /// What it decompressed to.
        content: Vec<u8>,
    },
}

impl<'a> Plain<'a> {
    /// Over `frames`.
    pub const fn new(geometry: &'a Geometry, volumes: &'a Volumes, frames: Range<usize>) -> Self {
        Self { geometry, volumes, frames, state: State::Between, buffer: Vec::new(), ready: 0..0, broken: None }
    }

    /// The frame that could not be read, or did not hold.
    pub const fn broken(&self) -> Option<usize> {
        self.broken
    }

    fn begin(&mut self, frame: usize) -> Result<(), Error> {
        let place = self.geometry.place(frame);
        let Some(digest) = place.packed else {
            let mut header = [0; STORED_HEADER];
            self.volumes.read_exact(place.volume, place.offset, &mut header)?;
            if header != frame::stored_header(u32::try_from(place.plain).unwrap_or_default()) {
                return Err(self.refuse(frame, "frame header differs from the computed one"));
            }
            let whole = place.digest.map(|digest| {
                let mut hasher = Hasher::new(digest.algorithm());
                hasher.update(&header);
                hasher
            });
            self.state = State::Stored { frame, read: 0, content: Xxh64::new(0), whole };
            return Ok(());
        };
        // A packed frame is below 16 MiB: the manifest's rules say so.
        self.buffer.resize(usize::try_from(place.size).unwrap_or_default(), 0);
        self.volumes.read_exact(place.volume, place.offset, &mut self.buffer)?;
        let found = Digest::of(digest.algorithm(), &self.buffer);
        if found != digest {
            return Err(self.refuse(frame, &format!("expected {digest}, found {found}")));
        }
        let mut content = Vec::new();
        frame::unpack(&self.buffer, place.plain, &mut content).map_err(|why| why.at(&self.at(frame)))?;
        self.ready = 0..content.len();
        self.state = State::Packed { content };
        Ok(())
    }

    /// The next block's content, or `None` at the end of the frame.
    fn stored_block(&mut self) -> Result<Option<Range<usize>>, Error> {
        const STEP: usize = BLOCK_HEADER + RAW_BLOCK;
        let State::Stored { frame, read, content, whole } = &mut self.state else { return Ok(None) };
        let (frame, place) = (*frame, self.geometry.place(*frame));
        let left = place.plain - *read;
        let index = usize::try_from(*read / RAW_BLOCK as u64).unwrap_or_default();
        if left == 0 {
            let slot = index_end(place.plain);
            let found = &self.buffer[slot..slot + CHECKSUM];
            let good = found == frame::checksum(content);
            let whole_found = whole.take().map(|mut hasher| {
                hasher.update(found);
                hasher.finish()
            });
            let whole_good = whole_found == place.digest;
            self.state = State::Between;
            if !good {
                return Err(self.refuse(frame, "content differs from the frame's checksum"));
            }
            if !whole_good {
                return Err(self.refuse(frame, "frame differs from its digest"));
            }
            return Ok(None);
        }
        let slot = index % READ_BLOCKS;
        if slot == 0 {
            let blocks = left.div_ceil(RAW_BLOCK as u64);
            let take =
                blocks.min(READ_BLOCKS as u64) * BLOCK_HEADER as u64 + left.min((READ_BLOCKS * RAW_BLOCK) as u64);
            let checksum = if blocks <= READ_BLOCKS as u64 { CHECKSUM as u64 } else { 0 };
            let offset = place.offset + STORED_HEADER as u64 + index as u64 * STEP as u64;
            self.buffer.resize(usize::try_from(take + checksum).unwrap_or_default(), 0);
            self.volumes.read_exact(place.volume, offset, &mut self.buffer)?;
        }
        let length = usize::try_from(left).map_or(RAW_BLOCK, |left| left.min(RAW_BLOCK));
        let start = slot * STEP;
        let block = start + BLOCK_HEADER..start + BLOCK_HEADER + length;
        let last = left <= RAW_BLOCK as u64;
        if self.buffer[start..block.start] != frame::block_header(length, last) {
            return Err(self.refuse(frame, "block header differs from the computed one"));
        }
        content.update(&self.buffer[block.clone()]);
        if let Some(whole) = whole {
            whole.update(&self.buffer[start..block.end]);
        }
        *read += length as u64;
        Ok(Some(block))
    }

    fn at(&self, frame: usize) -> String {
        let place = self.geometry.place(frame);
        format!("volume {}, offset {}, frame {}", self.volumes.file_name(place.volume), place.offset, frame + 1)
    }

    fn refuse(&self, frame: usize, problem: &str) -> Error {
        Error::integrity(format!("{}: {problem}", self.at(frame)))
    }
}

impl Pieces for Plain<'_> {
    fn next_piece(&mut self) -> Result<&[u8], Error> {
        match self.advance() {
            Ok(range) => Ok(&self.buffer[range]),
            Err(error) => {
                self.broken = self.frames.start.checked_sub(1);
                Err(error)
            }
        }
    }
}

impl Plain<'_> {
    /// Where the next piece stands in `buffer`.
    fn advance(&mut self) -> Result<Range<usize>, Error> {
        loop {
            if matches!(self.state, State::Between) {
                match self.frames.next() {
                    None => return Ok(0..0),
                    Some(frame) => self.begin(frame)?,
                }
            }
            if !self.ready.is_empty() {
                let ready = std::mem::replace(&mut self.ready, 0..0);
                if let State::Packed { content } = std::mem::replace(&mut self.state, State::Between) {
                    self.buffer = content;
                    return Ok(ready);
                }
                unreachable!("only packed frames leave content ready");
            }
            if let Some(range) = self.stored_block()? {
                return Ok(range);
            }
        }
    }
}

/// Where the checksum stands in the buffer after the last blocks of a frame were read.
fn index_end(plain: u64) -> usize {
    let blocks = plain.div_ceil(RAW_BLOCK as u64);
    let before = (blocks - 1) / READ_BLOCKS as u64 * READ_BLOCKS as u64;
    let bytes = plain - before * RAW_BLOCK as u64 + (blocks - before) * BLOCK_HEADER as u64;
    usize::try_from(bytes).unwrap_or_default()
}

/// The whole content of some frames.
///
/// # Errors
/// As [`Pieces::next_piece`].
pub fn whole(geometry: &Geometry, volumes: &Volumes, frames: Range<usize>) -> Result<Vec<u8>, Error> {
    let length = geometry.plain(frames.clone());
    let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    let mut plain = Plain::new(geometry, volumes, frames);
    loop {
        let piece = plain.next_piece()?;
        if piece.is_empty() {
            return Ok(content);
        }
        content.extend_from_slice(piece);
    }
}
