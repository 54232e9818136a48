//! Sums of content, and the sums that a store tells of content that it has.
//!
//! An `ETag` is the MD5 of the content, or of the MD5s of its parts, in most stores; not with encryption by other
//! keys than the store's own. So an equal one proves, and another proves nothing. Does no I/O.

use base64ct::{Base64, Encoding as _};
use crc_fast::CrcAlgorithm;
use md5::{Digest as _, Md5};
use reqwest::header::HeaderMap;

use crate::oci::digest::encode_hex;

/// Returns the MD5 of `content`.
pub fn md5(content: &[u8]) -> [u8; 16] {
    Md5::digest(content).into()
}

/// MD5 of content that comes in pieces.
#[derive(Default)]
pub struct Pieces(Md5);

impl Pieces {
    /// Adds content.
    pub fn update(&mut self, content: &[u8]) {
        self.0.update(content);
    }

    /// Returns the sum.
    pub fn finish(self) -> [u8; 16] {
        self.0.finalize().into()
    }
}

/// CRC-32C of content that comes in pieces.
pub struct Crc32c(crc_fast::Digest);

impl Crc32c {
    /// Begins with no content.
    pub fn new() -> Self {
        Self(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    /// Adds content.
    pub fn update(&mut self, content: &[u8]) {
        self.0.update(content);
    }

    /// Returns the sum.
    pub fn finish(&self) -> Option<u32> {
        u32::try_from(self.0.finalize()).ok()
    }
}

/// Returns an `ETag` without quotes and the mark of a weak one.
pub fn bare(etag: &str) -> &str {
    etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"')
}

/// Returns the MD5 in an `ETag` that may be one.
pub fn md5_of(etag: &str) -> Option<[u8; 16]> {
    let text = bare(etag);
    let mut md5 = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in md5.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(md5)
}

/// Returns the `ETag` of an object that was uploaded in parts with these MD5s, without quotes.
pub fn of_parts(parts: &[[u8; 16]]) -> String {
    format!("{}-{}", encode_hex(&md5(&parts.concat())), parts.len())
}

/// Checksums in the headers of Google's answers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    /// CRC-32C of the content.
    pub crc32c: Option<u32>,
    /// MD5 of the content. Objects that were uploaded in parts have none.
    pub md5: Option<[u8; 16]>,
}

impl Hashes {
    /// Reads `x-goog-hash`, which may occur several times or be a list.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut hashes = Self::default();
        let values = headers.get_all("x-goog-hash").iter().filter_map(|value| value.to_str().ok());
        for (name, value) in values.flat_map(|value| value.split(',')).filter_map(|one| one.trim().split_once('=')) {
            let Ok(raw) = Base64::decode_vec(value) else { continue };
            match name {
                "crc32c" => hashes.crc32c = raw.try_into().ok().map(u32::from_be_bytes),
                "md5" => hashes.md5 = raw.try_into().ok(),
                _ => {}
            }
        }
        hashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_stores() {
        // Examples of RFC 1321, RFC 3720 and Google's documentation.
        assert_eq!(encode_hex(&md5(b"abc")), "900150983cd24fb0d6963f7d28e17f72");
        let mut crc = Crc32c::new();
        crc.update(&[0; 16]);
        crc.update(&[0; 16]);
        assert_eq!(crc.finish(), Some(0x8a91_36aa));
        let mut headers = HeaderMap::new();
        headers.append("x-goog-hash", "crc32c=n03x6A==".parse().unwrap());
        headers.append("x-goog-hash", "md5=Ojk9c3dhfxgoKVVHYwFbHQ==".parse().unwrap());
        let expected = Hashes { crc32c: Some(0x9f4d_f1e8), md5: md5_of("3a393d7377617f182829554763015b1d") };
        assert_eq!(Hashes::of(&headers), expected);
        assert!(expected.md5.is_some());
        let mut pieces = Pieces::default();
        pieces.update(b"a");
        pieces.update(b"bc");
        assert_eq!(pieces.finish(), md5(b"abc"));
        let one = md5(b"x");
        assert_eq!(of_parts(&[one]), format!("{}-1", encode_hex(&md5(&one))));
    }

    #[test]
    fn what_is_no_md5_is_none() {
        assert_eq!(md5_of("\"900150983cd24fb0d6963f7d28e17f72\""), Some(md5(b"abc")));
        for other in ["", "\"900150983cd24fb0d6963f7d28e17f72-3\"", "+00150983cd24fb0d6963f7d28e17f72x", "\u{e4}"] {
            assert_eq!(md5_of(other), None, "{other}");
        }
    }
}
