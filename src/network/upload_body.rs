//! Upload bodies: the calling thread reads content in large pieces, the runtime sends them.
//!
//! Pieces are passed on without copying, and their buffers are reused; only a few exist at a time.
//! A body that fails never reaches the server complete.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::Poll;

use bytes::Bytes;
use reqwest::Body;
use tokio::sync::mpsc;

use crate::content::{Error, Kind};

/// Size of a piece, in bytes. Large, so that threads rarely synchronize; a transfer uses about four
/// of them.
const PIECE: usize = 256 << 10;

/// A buffer that is returned for reuse once it has been sent.
struct Lent {
    buffer: Vec<u8>,
    used: usize,
    home: SyncSender<Vec<u8>>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.used]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // If nobody waits for it, or enough buffers are there, it is freed.
        let _ = self.home.try_send(std::mem::take(&mut self.buffer));
    }
}

/// Reads content in pieces and checks that it has exactly the expected size.
pub struct UploadBody<'a> {
    reader: Box<dyn Read + Send + 'a>,
    left: u64,
    size: u64,
    subject: String,
    home: SyncSender<Vec<u8>>,
    back: Receiver<Vec<u8>>,
    ended: bool,
    kept: Kept,
}

/// The pieces that may have to be sent again of content that cannot be read again.
#[derive(Default)]
struct Kept {
    /// Whether pieces are kept.
    is_on: bool,
    pieces: VecDeque<Bytes>,
    /// Where the first of them begins.
    start: u64,
    /// The next byte to give.
    at: u64,
}

impl Kept {
    /// Returns up to `most` bytes from where it stands, if it has them.
    fn next(&mut self, most: u64) -> Option<Bytes> {
        let mut start = self.start;
        for piece in &self.pieces {
            let end = start + piece.len() as u64;
            if self.at < end {
                // Both are within the piece.
                let from = usize::try_from(self.at - start).unwrap_or(0);
                let until = usize::try_from((end - start).min(self.at - start + most)).unwrap_or(from);
                self.at += (until - from) as u64;
                return Some(piece.slice(from..until));
            }
            start = end;
        }
        None
    }

    /// Forgets what lies before byte `to`, in whole pieces.
    fn forget(&mut self, to: u64) {
        while let Some(first) = self.pieces.front()
            && self.start + first.len() as u64 <= to
        {
            self.start += first.len() as u64;
            self.pieces.pop_front();
        }
    }
}

impl<'a> UploadBody<'a> {
    /// Makes a body from `reader`, which must give `size` bytes.
    pub fn new(reader: Box<dyn Read + Send + 'a>, size: u64, subject: &str) -> Self {
        let (home, back) = sync_channel(2);
        let kept = Kept::default();
        Self { reader, left: size, size, subject: subject.to_owned(), home, back, ended: false, kept }
    }

    /// Keeps what is read from here on, or no longer; what is no longer kept is given once more and forgotten.
    pub fn keep(&mut self, is_on: bool) {
        self.kept.is_on = is_on;
    }

    /// Forgets what lies before byte `to`: it will not be sent again.
    pub fn forget(&mut self, to: u64) {
        self.kept.forget(to);
    }

    /// Goes back or on to byte `to`. `false` where that has passed and is not kept.
    pub fn go_to(&mut self, to: u64) -> Result<bool, Error> {
        if to < self.kept.start {
            return Ok(false);
        }
        let read = self.size - self.left;
        self.kept.at = to.min(read);
        self.skip(to.saturating_sub(read))?;
        Ok(true)
    }

    /// Reads the next piece, of at most `most` bytes. It is full unless `most` or the end of the
    /// content is reached. Returns the last piece only after the reader has ended without an error.
    pub fn piece(&mut self, most: u64) -> Result<Bytes, Error> {
        let kept = self.kept.next(most);
        let piece = match kept {
            Some(piece) => piece,
            None => self.new_piece(most)?,
        };
        if !self.kept.is_on {
            self.kept.forget(self.kept.at);
        }
        Ok(piece)
    }

    /// Reads the next piece from the reader.
    fn new_piece(&mut self, most: u64) -> Result<Bytes, Error> {
        let want = usize::try_from(self.left.min(most)).map_or(PIECE, |left| left.min(PIECE));
        let mut buffer = self.back.try_recv().unwrap_or_default();
        if buffer.len() < want {
            buffer.resize(want, 0);
        }
        let mut used = 0;
        while used < want {
            let count = self.read(&mut buffer[used..want])?;
            if count == 0 {
                let found = self.size - self.left + used as u64;
                return Err(self.wrong(&format!("found {found}")));
            }
            used += count;
        }
        self.left -= used as u64;
        if self.left == 0 && !self.ended {
            self.ended = true;
            if self.read(&mut [0])? > 0 {
                return Err(self.wrong("found more"));
            }
        }
        let piece = Bytes::from_owner(Lent { buffer, used, home: self.home.clone() });
        self.kept.at += used as u64;
        if self.kept.is_on {
            self.kept.pieces.push_back(piece.clone());
        } else {
            self.kept.start = self.kept.at;
        }
        Ok(piece)
    }

    /// Skips the next `bytes`, which the server already has.
    pub fn skip(&mut self, mut bytes: u64) -> Result<(), Error> {
        while bytes > 0 {
            bytes -= self.piece(bytes)?.len() as u64;
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(|error| Error::from_io(&self.subject, error)),
            }
        }
    }

    fn wrong(&self, found: &str) -> Error {
        Error::new(Kind::Mismatch, format!("{}: expected {} bytes, {found}", self.subject, self.size))
    }
}

/// Makes a body of exactly `length` bytes; it ends with an error if fewer are sent.
pub fn channel(length: u64) -> (mpsc::Sender<Bytes>, Body) {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
    let mut left = length;
    let stream = futures_util::stream::poll_fn(move |context| match receiver.poll_recv(context) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Some(piece)) => {
            left = left.saturating_sub(piece.len() as u64);
            Poll::Ready(Some(Ok(piece)))
        }
        Poll::Ready(None) if left > 0 => {
            left = 0;
            Poll::Ready(Some(Err(io::Error::other("the content ended early"))))
        }
        Poll::Ready(None) => Poll::Ready(None),
    });
    (sender, Body::wrap_stream(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(content: &'static [u8], size: u64) -> Result<Vec<u8>, Error> {
        let mut feed = UploadBody::new(Box::new(content), size, "blob x");
        let mut out = Vec::new();
        loop {
            out.extend_from_slice(&feed.piece(4)?);
            if out.len() as u64 >= size {
                return Ok(out);
            }
        }
    }

    #[test]
    fn exactly_the_size_comes_through() {
        assert_eq!(pieces(b"abcdefghi", 9).unwrap(), b"abcdefghi");
        assert_eq!(pieces(b"", 0).unwrap(), b"");
        for (content, size) in [(&b"abc"[..], 4), (b"abcde", 4), (b"", 1), (b"a", 0)] {
            assert_eq!(pieces(content, size).unwrap_err().class, Kind::Mismatch);
        }
    }

    #[test]
    fn what_is_skipped_is_read_and_counted() {
        let mut feed = UploadBody::new(Box::new(&b"abcdefghi"[..]), 9, "blob x");
        feed.skip(6).unwrap();
        assert_eq!(feed.piece(u64::MAX).unwrap(), &b"ghi"[..]);
        assert!(UploadBody::new(Box::new(&b"abc"[..]), 9, "blob x").skip(6).is_err());
    }

    #[test]
    fn what_is_kept_is_given_again_and_what_is_forgotten_is_not() {
        const CONTENT: &[u8] = b"abcdefghijklmnop";
        let mut body = UploadBody::new(Box::new(CONTENT), 16, "blob x");
        let take = |body: &mut UploadBody<'_>, bytes: usize| {
            let mut out = Vec::new();
            while out.len() < bytes {
                out.extend_from_slice(&body.piece((bytes - out.len()).min(3) as u64).unwrap());
            }
            String::from_utf8(out).unwrap()
        };
        body.keep(true);
        assert_eq!(take(&mut body, 8), "abcdefgh");
        assert!(body.go_to(0).unwrap());
        assert_eq!(take(&mut body, 4), "abcd");
        assert!(body.go_to(5).unwrap());
        assert_eq!(take(&mut body, 5), "fghij", "from what is kept into what is new");
        body.forget(8);
        assert!(!body.go_to(2).unwrap() && body.go_to(8).unwrap());
        assert_eq!(take(&mut body, 2), "ij");
        assert!(body.go_to(12).unwrap(), "what was never read is skipped");
        body.go_to(8).unwrap();
        body.keep(false);
        assert_eq!(take(&mut body, 8), "ijklmnop");
        assert!(!body.go_to(8).unwrap() && body.kept.pieces.is_empty(), "nothing is kept any more");
    }

    #[test]
    fn buffers_come_back() {
        let mut feed = UploadBody::new(Box::new(io::repeat(1).take(4 << 20)), 4 << 20, "blob x");
        let mut places = std::collections::HashSet::new();
        for _ in 0..16 {
            places.insert(feed.piece(u64::MAX).unwrap().as_ptr());
        }
        assert!(places.len() <= 2, "{places:?}");
    }
}
