//! Reads blobs, whole or in parts, as streams with at most two chunks in memory.
//!
//! A whole blob is compared with its digest before its last bytes are returned
//! ([`Checked`]); so is a part that reaches the end of a blob, the first time. A stream that fails
//! ends in an error, on which the connection or the HTTP/2 stream is reset.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, stream};
use self_cell::self_cell;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::index::{Held, Index};
use crate::content::Error;
use crate::content::checked::{Checked, read_some};
use crate::oci::{Descriptor, Digest};

/// Number of bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// A blob to read.
pub(super) struct Blob {
    pub(super) index: Arc<Index>,
    pub(super) held: Held,
    pub(super) digest: Digest,
}

/// A piece of an answer.
pub(super) enum Segment {
    /// Text between parts.
    Text(String),
    /// Part of the blob.
    Part(Range<u64>),
}

type Reader<'a> = Box<dyn Read + Send + 'a>;

self_cell!(
    /// An open blob: the place, and the reader that borrows from it.
    struct Open {
        owner: Blob,
        #[covariant]
        dependent: Reader,
    }
);

impl Blob {
    fn descriptor(&self) -> Descriptor {
        Descriptor::new("application/octet-stream", self.digest, self.held.size)
    }

    fn whole(&self) -> Result<Reader<'_>, Error> {
        let descriptor = self.descriptor();
        let content = self.held.source.blob(&self.held.repository, &descriptor)?;
        Ok(Box::new(Remembered { blob: self, content: Checked::new(content, descriptor), is_whole: false }))
    }

    fn part(&self, range: &Range<u64>) -> Result<Reader<'_>, Error> {
        let length = range.end - range.start;
        let is_end = range.end == self.held.size;
        if is_end && !self.index.is_checked(&self.digest) {
            return Ok(Box::new(Skipped { content: self.whole()?, left: range.start }));
        }
        let (repository, descriptor) = (&self.held.repository, self.descriptor());
        let ranges = self.held.source.ranges();
        let found = ranges.map_or(Ok(None), |ranges| ranges.range(repository, &descriptor, range.start, length))?;
        let content = match found {
            Some(content) => content,
            None => Box::new(Skipped { content: self.held.source.blob(repository, &descriptor)?, left: range.start }),
        };
        Ok(Box::new(Exactly { content: content.take(length), left: length }))
    }
}

/// Remembers a blob as checked once all of it was returned.
struct Remembered<'a, R> {
    blob: &'a Blob,
    content: R,
    is_whole: bool,
}

impl<R: Read> Read for Remembered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        if count == 0 && !buffer.is_empty() && !self.is_whole {
            self.is_whole = true;
            self.blob.index.remember(self.blob.digest);
        }
        Ok(count)
    }
}

/// Drops the first `left` bytes.
struct Skipped<R> {
    content: R,
    left: u64,
}

impl<R: Read> Read for Skipped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left > 0 {
            let skipped = io::copy(&mut self.content.by_ref().take(self.left), &mut io::sink())?;
            if skipped < self.left {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.left = 0;
        }
        self.content.read(buffer)
    }
}

/// Fails if the content ends before `left` more bytes.
struct Exactly<R> {
    content: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.left = self.left.saturating_sub(count as u64);
        if count == 0 && !buffer.is_empty() && self.left > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(count)
    }
}

/// Reads segments one after the other, and opens each when its turn comes.
struct Segments<'a> {
    blob: &'a Blob,
    rest: VecDeque<Segment>,
    current: Option<Reader<'a>>,
}

impl Read for Segments<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(current) = &mut self.current {
                match current.read(buffer)? {
                    0 if !buffer.is_empty() => self.current = None,
                    count => return Ok(count),
                }
            }
            self.current = match self.rest.pop_front() {
                None => return Ok(0),
                Some(Segment::Text(text)) => Some(Box::new(io::Cursor::new(text))),
                Some(Segment::Part(range)) => Some(self.blob.part(&range).map_err(Error::into_io)?),
            };
        }
    }
}

/// One chunk, and the reader of the next unless this was the last.
type Step = (io::Result<Bytes>, Option<Open>);

/// Reads until a chunk is full. An empty chunk is the end.
fn step(mut open: Open) -> Step {
    let size = usize::try_from(open.borrow_owner().held.size).unwrap_or(usize::MAX);
    // One byte more than a small blob has, to see its end.
    let mut chunk = vec![0; CHUNK.min(size.saturating_add(1))];
    let mut filled = 0;
    while filled < chunk.len() {
        match open.with_dependent_mut(|_, reader| read_some(reader, &mut chunk[filled..])) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) => return (Err(error), None),
        }
    }
    chunk.truncate(filled);
    (Ok(Bytes::from(chunk)), Some(open))
}

/// Opens a blob, whole or in segments, and reads its first chunk. Blocks.
fn begin(blob: Blob, segments: Option<VecDeque<Segment>>) -> Result<(Bytes, Open), Error> {
    let digest = blob.digest;
    let open = Open::try_new(blob, |blob| match segments {
        None => blob.whole(),
        Some(rest) => Ok(Box::new(Segments { blob, rest, current: None }) as Reader<'_>),
    })?;
    match step(open) {
        (Ok(first), Some(open)) => Ok((first, open)),
        (Ok(_), None) => Err(Error::from_io(format!("blob {digest}"), io::ErrorKind::UnexpectedEof.into())),
        (Err(error), _) => Err(Error::from_io(format!("blob {digest}"), error)),
    }
}

/// Opens a blob on the pool of `handle` and reads its first chunk, so that content that is wrong or
/// unreadable at its beginning is an error and not a broken stream. The stream holds `permit` until
/// it ends; `told` receives an error that occurs later.
pub(super) async fn stream(
    handle: &Handle,
    blob: Blob,
    segments: Option<VecDeque<Segment>>,
    permit: OwnedSemaphorePermit,
    told: Box<dyn Fn(Error) + Send>,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, Error> {
    let digest = blob.digest;
    let begun = handle.spawn_blocking(move || begin(blob, segments)).await;
    let (first, open) = begun.map_err(|error| Error::from_io("a reading thread", io::Error::other(error)))??;
    let mut flowing = Flowing { digest, first: Some(first), next: None, handle: handle.clone(), told, _permit: permit };
    flowing.ahead(open);
    Ok(stream::unfold(flowing, Flowing::next))
}

struct Flowing {
    digest: Digest,
    first: Option<Bytes>,
    next: Option<JoinHandle<Step>>,
    handle: Handle,
    told: Box<dyn Fn(Error) + Send>,
    _permit: OwnedSemaphorePermit,
}

impl Flowing {
    /// Reads the next chunk while the last one is sent.
    fn ahead(&mut self, open: Open) {
        self.next = Some(self.handle.spawn_blocking(move || step(open)));
    }

    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        if let Some(first) = self.first.take() {
            return (!first.is_empty()).then_some((Ok(first), self));
        }
        let (chunk, open) = match self.next.take()?.await {
            Ok(step) => step,
            Err(error) => (Err(io::Error::other(error)), None),
        };
        match chunk {
            Ok(chunk) if chunk.is_empty() => None,
            Ok(chunk) => {
                if let Some(open) = open {
                    self.ahead(open);
                }
                Some((Ok(chunk), self))
            }
            Err(error) => {
                (self.told)(Error::from_io(format!("blob {}", self.digest), error));
                Some((Err(io::Error::other("the content is not what its digest promises, or cannot be read")), self))
            }
        }
    }
}
