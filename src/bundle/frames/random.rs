//! Reads the tar stream of some frames from their volumes in small pieces. Compares or hashes every
//! byte of the frames themselves (`spec/frame.md`).
//!
//! Does not check the content of the pieces: [`super::members`] checks headers, padding and
//! content.

use std::ops::Range;
use std::sync::Arc;

use super::spares::{Spare, Spares};
use crate::bundle::Error;
use crate::bundle::format::frame::{BLOCK_HEADER, CHECKSUM, RAW_BLOCK, STORED_HEADER};
use crate::bundle::format::frame_check::{StoredCheck, open_packed};
use crate::bundle::format::offsets::{Offsets, Place};
use crate::bundle::volumes::files::Files;
use crate::oci::Digest;

/// Number of raw blocks of a stored frame read at once. A job holds these 0.9 MiB.
const READ_BLOCKS: usize = 7;

/// The tar stream of some frames, piece by piece. The frames themselves are checked while reading.
pub trait Pieces {
    /// Returns the next piece of the stream, which is empty after the last frame.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`], [`crate::base::fault::Class::Integrity`], and
    /// [`crate::base::fault::Class::Format`] for a packed frame that breaks its rules; each with
    /// volume and offset.
    fn next_piece(&mut self) -> Result<&[u8], Error>;
}

/// Reads frames in order.
pub struct RandomReader<'a> {
    offsets: &'a Offsets,
    volumes: &'a Files,
    frames: Range<usize>,
    state: State,
    // Blocks of a stored frame.
    buffer: Vec<u8>,
    spares: Arc<Spares>,
    broken: Option<usize>,
}

#[allow(clippy::large_enum_variant, reason = "one value a job; boxing would only move it")]
enum State {
    /// Between frames.
    Between,
    /// Within a stored frame.
    Stored {
        /// Index of the frame.
        frame: usize,
        /// Check of the part that was returned.
        check: StoredCheck,
        /// Number of its bytes that were read.
        read: u64,
        /// Position in `buffer` of the first byte that was read but not checked yet.
        unchecked: usize,
    },
    /// Within a packed frame.
    Packed {
        /// Its content.
        content: Spare,
        /// Number of its bytes that were returned.
        given: usize,
    },
}

impl<'a> RandomReader<'a> {
    /// Returns a reader of `frames`.
    pub fn new(offsets: &'a Offsets, volumes: &'a Files, frames: Range<usize>) -> Self {
        let spares = Arc::default();
        Self { offsets, volumes, frames, state: State::Between, buffer: Vec::new(), spares, broken: None }
    }

    /// Takes large buffers from `spares`.
    #[must_use]
    pub fn sparing(mut self, spares: &Arc<Spares>) -> Self {
        self.spares = Arc::clone(spares);
        self
    }

    /// Returns the frame that could not be read or failed its check.
    pub const fn broken(&self) -> Option<usize> {
        self.broken
    }

    fn begin(&mut self, frame: usize) -> Result<(), Error> {
        let place = self.offsets.place(frame);
        let Some(digest) = place.packed else {
            let mut header = [0; STORED_HEADER];
            self.volumes.read_exact(place.volume, place.offset, &mut header)?;
            let check = StoredCheck::begin(&header, place.plain, place.digest)
                .map_err(|problem| self.refuse(frame, problem))?;
            self.buffer.clear();
            self.state = State::Stored { frame, check, read: STORED_HEADER as u64, unchecked: 0 };
            return Ok(());
        };
        let content = self.unpacked(frame, &place, digest)?;
        // A stored frame's buffer is of no use here.
        self.buffer = Vec::new();
        self.state = State::Packed { content, given: 0 };
        Ok(())
    }

    /// Reads and unpacks a packed frame.
    fn unpacked(&self, frame: usize, place: &Place, digest: Digest) -> Result<Spare, Error> {
        // Below 17 MiB by the manifest's rules, both.
        let [size, plain] = [place.size, place.plain].map(|bytes| usize::try_from(bytes).unwrap_or_default());
        let mut packed = self.spares.take(size);
        packed.bytes().resize(size, 0);
        self.volumes.read_exact(place.volume, place.offset, packed.bytes())?;
        let mut content = self.spares.take(plain);
        open_packed(&packed, digest, place.plain, || self.at(frame), content.bytes())?;
        Ok(content)
    }

    /// Returns where the next block's content is in `buffer`, or `None` at the end of the frame.
    fn stored_block(&mut self) -> Result<Option<Range<usize>>, Error> {
        // Size in bytes of the blocks read at once.
        const BLOCKS: u64 = (READ_BLOCKS * (BLOCK_HEADER + RAW_BLOCK)) as u64;
        let State::Stored { frame, check, read, unchecked } = &mut self.state else { return Ok(None) };
        let frame = *frame;
        if *unchecked == self.buffer.len() {
            let place = self.offsets.place(frame);
            let left = place.size.saturating_sub(*read);
            let count = if left <= BLOCKS + CHECKSUM as u64 { left } else { BLOCKS };
            self.buffer.resize(usize::try_from(count).unwrap_or_default(), 0);
            self.volumes.read_exact(place.volume, place.offset + *read, &mut self.buffer)?;
            *read += count;
            *unchecked = 0;
        }
        let from = *unchecked;
        let (checked, content) = match check.next_block() {
            Some(length) => {
                *unchecked += length;
                (check.block(&self.buffer[from..from + length]), Some(from + BLOCK_HEADER..from + length))
            }
            None => {
                let checked = match std::mem::replace(&mut self.state, State::Between) {
                    State::Stored { check, .. } => check.end(&self.buffer[from..]).map(drop),
                    State::Between | State::Packed { .. } => Ok(()),
                };
                (checked, None)
            }
        };
        checked.map_err(|problem| self.refuse(frame, problem))?;
        Ok(content)
    }

    fn at(&self, frame: usize) -> String {
        let place = self.offsets.place(frame);
        format!("volume {}, offset {}, frame {}", self.volumes.file_name(place.volume), place.offset, frame + 1)
    }

    fn refuse(&self, frame: usize, problem: &str) -> Error {
        Error::integrity(format!("{}: {problem}", self.at(frame)))
    }
}

impl Pieces for RandomReader<'_> {
    fn next_piece(&mut self) -> Result<&[u8], Error> {
        match self.advance() {
            Ok(range) => Ok(match &self.state {
                State::Packed { content, .. } => &content[range],
                State::Between | State::Stored { .. } => &self.buffer[range],
            }),
            Err(error) => {
                self.broken = self.frames.start.checked_sub(1);
                Err(error)
            }
        }
    }
}

impl RandomReader<'_> {
    /// Returns where the next piece is in `buffer`, or in the content of a packed frame.
    fn advance(&mut self) -> Result<Range<usize>, Error> {
        loop {
            if matches!(self.state, State::Between) {
                match self.frames.next() {
                    None => return Ok(0..0),
                    Some(frame) => self.begin(frame)?,
                }
            }
            if let State::Packed { content, given } = &mut self.state {
                let from = *given;
                let to = content.len().min(from + RAW_BLOCK);
                if from < to {
                    // In small pieces, so that whoever takes them needs little memory of its own.
                    *given = to;
                    return Ok(from..to);
                }
                self.state = State::Between;
                continue;
            }
            if let Some(range) = self.stored_block()? {
                return Ok(range);
            }
        }
    }
}

/// Returns the whole content of some frames, in a buffer of `spares`.
///
/// # Errors
/// Those of [`Pieces::next_piece`].
pub fn whole(offsets: &Offsets, volumes: &Files, frames: Range<usize>, spares: &Arc<Spares>) -> Result<Spare, Error> {
    let mut reader = RandomReader::new(offsets, volumes, frames.clone()).sparing(spares);
    if frames.len() == 1 {
        let place = offsets.place(frames.start);
        if let Some(digest) = place.packed {
            return reader.unpacked(frames.start, &place, digest);
        }
    }
    let length = offsets.plain(frames);
    let mut content = spares.take(usize::try_from(length).unwrap_or_default());
    loop {
        let piece = reader.next_piece()?;
        if piece.is_empty() {
            return Ok(content);
        }
        content.bytes().extend_from_slice(piece);
    }
}
