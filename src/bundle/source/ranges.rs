//! Reads parts of blobs of a trusted bundle: only the frames that a part lies in.
//!
//! Frames are checked while reading, but a part has no digest of its own. Whoever needs the whole
//! blob must check its digest.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use crate::base::fault::differs;
use crate::bundle::format::tar::{Tar, padded};
use crate::bundle::frames::random::{Pieces, RandomReader};
use crate::bundle::open::trusted::Trusted;
use crate::content::{self, Kind, Ranges};
use crate::oci::{Descriptor, Repository};

/// Reader of a part of the tar stream.
struct Part<'a> {
    pieces: RandomReader<'a>,
    // Bytes before the part that were not skipped yet.
    skip: u64,
    // Bytes of the part that were not read yet.
    left: u64,
    // Read, but not returned yet.
    ready: Vec<u8>,
    given: usize,
}

impl Part<'_> {
    /// Reads the next piece that contains a byte of the part, or nothing at the end.
    fn fill(&mut self) -> Result<(), crate::bundle::Error> {
        self.ready.clear();
        self.given = 0;
        while self.ready.is_empty() && self.left > 0 {
            let piece = self.pieces.next_piece()?;
            if piece.is_empty() {
                return Err(crate::bundle::Error::integrity("frame is shorter than its members"));
            }
            let skipped = usize::try_from(self.skip).map_or(piece.len(), |skip| skip.min(piece.len()));
            let piece = &piece[skipped..];
            let taken = usize::try_from(self.left).map_or(piece.len(), |left| left.min(piece.len()));
            self.ready.extend_from_slice(&piece[..taken]);
            self.skip -= skipped as u64;
            self.left -= taken as u64;
        }
        Ok(())
    }
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.ready.len() {
            self.fill().map_err(|error| content::Error::from(error).into_io())?;
        }
        let count = (&self.ready[self.given..]).read(buffer)?;
        self.given += count;
        Ok(count)
    }
}

impl Trusted {
    /// Reads the bytes `part` of a blob that has frames of its own.
    fn part(&self, index: usize, part: Range<u64>) -> Part<'_> {
        let (offsets, member) = (self.offsets(), Tar::of_blob(index));
        let unit = offsets.unit_of(member);
        let content = offsets.tar.end(member) - padded(self.manifest().blobs[index].size);
        let mut skip = content - offsets.tar.start(unit.members.start) + part.start;
        let mut frames = unit.frames.clone();
        while frames.len() > 1 && skip >= offsets.place(frames.start).plain {
            skip -= offsets.place(frames.start).plain;
            frames.start += 1;
        }
        let left = part.end - part.start;
        let pieces = RandomReader::new(offsets, self.volumes(), frames).sparing(self.cache.spares());
        Part { pieces, skip, left, ready: Vec::new(), given: 0 }
    }
}

impl Ranges for Trusted {
    fn range(
        &self,
        _: &Repository,
        descriptor: &Descriptor,
        offset: u64,
        length: u64,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, content::Error> {
        let index = self.blob_of(descriptor.digest)?;
        let blob = &self.manifest().blobs[index];
        let end = offset.checked_add(length).filter(|end| *end <= blob.size).ok_or_else(|| {
            let (digest, size) = (blob.digest, blob.size);
            let what = differs(
                format_args!("blob {digest}"),
                format_args!("a range within {size} bytes"),
                format_args!("{length} at {offset}"),
            );
            content::Error::new(Kind::Refused, what)
        })?;
        if let Some(flat) = self.flat() {
            return Ok(Some(Box::new(flat.part(&blob.digest, blob.size, offset..end)?)));
        }
        if self.is_shared(index) {
            let mut whole = self.shared(index)?;
            whole
                .seek(SeekFrom::Start(offset))
                .map_err(|error| content::Error::io(format_args!("blob {}", blob.digest), &error))?;
            return Ok(Some(Box::new(whole.take(length))));
        }
        Ok(Some(Box::new(self.part(index, offset..end))))
    }
}
