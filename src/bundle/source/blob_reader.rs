//! Reads one blob from the frames of its unit: by position, or while a bundle is read in one pass.
//!
//! Frame and tar bytes are compared while reading. The blob's digest is compared by the cursor if
//! it was told to, otherwise by whoever wraps the reader ([`crate::content::checked::Checked`]).

use std::io::{self, Read};

use crate::bundle::Error;
use crate::bundle::frames::members::{Cursor, Seen};
use crate::bundle::frames::random::Pieces;
use crate::content;

/// Reads the content of one blob.
pub(in crate::bundle) struct BlobReader<'a, P> {
    pieces: P,
    pub(super) cursor: Cursor<'a>,
    pub(super) content: Content,
    // Number of bytes taken from the stream.
    pub(super) taken: u64,
    // Whether some of the content was returned, so that nobody else can read all of it.
    pub(super) is_begun: bool,
    // Set at the end of the unit or after an error.
    pub(super) ended: Option<Result<(), Error>>,
}

/// Content of one member that was taken from the stream but not returned yet.
pub(super) struct Content {
    member: usize,
    pub(super) is_wanted: bool,
    bytes: Vec<u8>,
    given: usize,
}

impl Content {
    fn clear(&mut self) {
        self.bytes.clear();
        self.given = 0;
    }
}

impl Seen for Content {
    fn content(&mut self, member: usize, bytes: &[u8]) {
        if self.is_wanted && member == self.member {
            self.bytes.extend_from_slice(bytes);
        }
    }
}

impl<'a, P: Pieces> BlobReader<'a, P> {
    /// Returns a reader of the content of `member`. `pieces` and `cursor` must be at the beginning
    /// of its unit.
    pub(in crate::bundle) fn new(pieces: P, cursor: Cursor<'a>, member: usize) -> Self {
        let content = Content { member, is_wanted: true, bytes: Vec::new(), given: 0 };
        Self { pieces, cursor, content, taken: 0, is_begun: false, ended: None }
    }

    /// Takes the next piece of the stream.
    pub(super) fn step(&mut self) {
        self.content.clear();
        let taken = self.pieces.next_piece().and_then(|piece| {
            self.taken += piece.len() as u64;
            self.cursor.take_all(piece, &mut self.content).map(|()| piece.is_empty())
        });
        self.ended = match taken {
            Ok(false) => None,
            Ok(true) => Some(Ok(())),
            Err(error) => {
                self.content.clear();
                Some(Err(error))
            }
        };
    }
}

impl<P: Pieces> Read for BlobReader<'_, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.content.given == self.content.bytes.len() {
            match &self.ended {
                Some(Ok(())) => return Ok(0),
                Some(Err(error)) => return Err(content::Error::from(error.clone()).into_io()),
                None => self.step(),
            }
        }
        self.is_begun = true;
        let count = (&self.content.bytes[self.content.given..]).read(buffer)?;
        self.content.given += count;
        Ok(count)
    }
}
