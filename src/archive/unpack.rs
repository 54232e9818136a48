//! Compression of archives and layers, known by their first bytes, and the limit of what they may
//! expand to.

use std::io::{self, BufRead, Read};

/// Largest accepted zstd window as a power of two: 128 MiB, the default of the zstd program.
const WINDOW_LOG: u32 = 27;

/// How content is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    /// Returns the compression that the first bytes of content show.
    ///
    /// # Errors
    /// The name of a compression that is not supported.
    pub(super) fn of(first: &[u8]) -> Result<Self, &'static str> {
        match first {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            // A frame, or a skippable frame.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Err("xz"),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => Err("bzip2"),
            _ => Ok(Self::None),
        }
    }

    /// Returns a reader of the content.
    ///
    /// # Errors
    /// Those of the decoder's start.
    pub(super) fn reader<'a>(self, packed: impl BufRead + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::None => Box::new(packed),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
                decoder.window_log_max(WINDOW_LOG)?;
                Box::new(decoder)
            }
        })
    }
}

/// Returns how many bytes `size` compressed bytes may expand to.
pub(super) const fn limit(size: u64) -> u64 {
    size.saturating_mul(200).saturating_add(256 << 20)
}

/// Limits what is read.
pub(super) struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Limited<R> {
    /// Creates a reader that fails after `most` bytes if more follow.
    pub(super) const fn new(inner: R, most: u64) -> Self {
        Self { inner, left: most }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "more content than its compressed size allows (limits exceeded)")
        })?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_known_by_its_first_bytes() {
        assert_eq!(Packing::of(&[0x1f, 0x8b, 8, 0, 0, 0]), Ok(Packing::Gzip));
        assert_eq!(Packing::of(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0]), Ok(Packing::Zstd));
        assert_eq!(Packing::of(b"BZhead"), Ok(Packing::None));
        assert_eq!(Packing::of(b""), Ok(Packing::None));
        assert_eq!(Packing::of(b"\xfd7zXZ\0"), Err("xz"));
        assert_eq!(Packing::of(b"BZh91AY"), Err("bzip2"));
    }

    #[test]
    fn what_expands_without_end_is_refused() {
        let mut out = Vec::new();
        assert!(Limited::new(io::repeat(0).take(10), 10).read_to_end(&mut out).is_ok());
        assert!(Limited::new(io::repeat(0).take(11), 10).read_to_end(&mut out).is_err());
        let packed = zstd::encode_all(&b"abc"[..], 1).unwrap();
        let mut text = String::new();
        Packing::Zstd.reader(&packed[..]).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
    }
}
