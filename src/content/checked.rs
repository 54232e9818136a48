//! Checked streams: a reader that returns its last bytes only if size and digest match.
//!
//! Sinks take nothing else. The reader holds back the end of the content, so that whoever copies it
//! never has a complete but wrong copy without having seen an error.

use std::io::{self, Read};

use crate::base::fault::{Description, differs};
use crate::content::{Error, Kind};
use crate::oci::{Descriptor, Digest, Hasher};

/// Reads like [`Read::read`], and again if a signal interrupts it.
///
/// # Errors
/// Those of `from`, but never [`io::ErrorKind::Interrupted`].
pub fn read_some(from: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Sees blobs while they are read and checked; called from many threads.
pub trait Onlooker: Sync {
    /// Begins to watch a blob. The returned value is dropped if the blob breaks off.
    fn blob(&self, digest: Digest, size: u64) -> Box<dyn Look + '_>;
}

/// Sees one blob.
pub trait Look {
    /// Takes more of its content, which is not checked yet.
    fn content(&mut self, bytes: &[u8]);
    /// Ends the watch: all of the blob has passed, and its digest matches.
    fn whole(self: Box<Self>);
}

/// Reads exactly what a descriptor promises, or fails.
pub struct Checked<R> {
    inner: R,
    descriptor: Descriptor,
    hasher: Option<Hasher>,
    left: u64,
}

impl<R: Read> Checked<R> {
    /// Checks `inner` against `descriptor`'s size, then digest.
    pub fn new(inner: R, descriptor: Descriptor) -> Self {
        let hasher = Some(Hasher::new(descriptor.digest.algorithm()));
        let left = descriptor.size;
        Self { inner, descriptor, hasher, left }
    }

    fn mismatch(&self, detail: impl Into<Description>) -> io::Error {
        Error::new(Kind::Mismatch, detail.into().within(format_args!("blob {}", self.descriptor.digest))).into_io()
    }

    /// Checks the end of the content: nothing may follow, and the digest must match.
    fn settle(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        if read_some(&mut self.inner, &mut [0])? != 0 {
            return Err(self.mismatch(differs("", format_args!("{} bytes", self.descriptor.size), "more")));
        }
        let found = hasher.finish();
        if found == self.descriptor.digest { Ok(()) } else { Err(self.mismatch(format!("content has digest {found}"))) }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            self.settle()?;
            return Ok(0);
        }
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.inner.read(&mut buffer[..most])?;
        if count == 0 {
            let found = self.descriptor.size - self.left;
            return Err(self.mismatch(differs("", format_args!("{} bytes", self.descriptor.size), found)));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        self.left -= count as u64;
        if self.left == 0 {
            // Returns the bytes just read only now that the whole content is known to be right.
            self.settle()?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;

    /// Reports an interruption, then returns a byte, then fails.
    struct Shaky(u8);

    impl Read for Shaky {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => Err(io::ErrorKind::Interrupted.into()),
                2 => {
                    buffer[0] = 7;
                    Ok(1)
                }
                3 => Err(io::ErrorKind::BrokenPipe.into()),
                _ => Ok(0),
            }
        }
    }

    #[test]
    fn a_signal_between_is_no_error() {
        let (mut shaky, mut buffer) = (Shaky(0), [0; 4]);
        assert_eq!(read_some(&mut shaky, &mut buffer).unwrap(), 1);
        assert_eq!(buffer, [7, 0, 0, 0]);
        assert_eq!(read_some(&mut shaky, &mut buffer).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(read_some(&mut shaky, &mut buffer).unwrap(), 0);
    }

    fn read(content: &[u8], promised: &[u8]) -> io::Result<Vec<u8>> {
        let descriptor = Descriptor::new("x/y", Digest::sha256(promised), promised.len() as u64);
        let mut out = Vec::new();
        let mut checked = Checked::new(content, descriptor);
        let mut buffer = [0; 3];
        loop {
            match checked.read(&mut buffer)? {
                0 => return Ok(out),
                count => out.extend_from_slice(&buffer[..count]),
            }
        }
    }

    #[test]
    fn only_the_promised_content_comes_through() {
        assert_eq!(read(b"abcdefg", b"abcdefg").unwrap(), b"abcdefg");
        assert_eq!(read(b"", b"").unwrap(), b"");
        for wrong in [&b"abcdefX"[..], b"abcdef", b"abcdefgh", b""] {
            assert!(read(wrong, b"abcdefg").is_err());
        }
        assert!(read(b"x", b"").is_err());
    }

    #[test]
    fn a_wrong_blob_is_never_given_whole() {
        let descriptor = Descriptor::new("x/y", Digest::sha256(b"abcdefg"), 7);
        let mut checked = Checked::new(&b"abcdefX"[..], descriptor);
        let mut got = Vec::new();
        assert!(checked.read_to_end(&mut got).is_err());
        assert!(got.len() < 7, "{got:?}");
    }
}
