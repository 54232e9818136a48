//! Content digests, parsed strictly: `sha256:<64 hex>` and `sha512:<128 hex>`; and the hashers that
//! compute them.
//!
//! Other algorithms are refused by name (`spec/manifest.md`). No I/O.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// A digest algorithm that packmule reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, the usual default.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Returns the name before the colon.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Returns the length of the raw digest in bytes.
    pub const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// Always false, since every digest has bytes.
    pub const fn is_empty(self) -> bool {
        false
    }
}

/// A content digest. Ordered like its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    bytes: [u8; 64],
}

/// Reason why a text is not a digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DigestError {
    /// No colon between algorithm and hex.
    #[error("digest {0:?}: expected ALGORITHM:HEX")]
    Form(String),
    /// An algorithm other than sha256 and sha512.
    #[error("digest algorithm {0:?}: expected sha256 or sha512")]
    Algorithm(String),
    /// Wrong number of hex digits, or a character that is not one (upper case included).
    #[error("digest {text:?}: expected {expected} lower-case hex digits")]
    Hex {
        /// Text as found, cut to 200 characters.
        text: String,
        /// Number of digits of the algorithm.
        expected: usize,
    },
}

impl Digest {
    /// Computes the SHA-256 of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Computes the digest of `bytes` with `algorithm`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Creates a digest from raw bytes. Returns `None` if their length does not fit the algorithm.
    pub fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Option<Self> {
        if raw.len() != algorithm.len() {
            return None;
        }
        let mut bytes = [0; 64];
        bytes[..raw.len()].copy_from_slice(raw);
        Some(Self { algorithm, bytes })
    }

    /// Returns the algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the raw digest.
    pub fn raw(&self) -> &[u8] {
        &self.bytes[..self.algorithm.len()]
    }

    /// Returns the hex digits after the colon.
    pub fn hex(&self) -> String {
        encode_hex(self.raw())
    }
}

/// Encodes `bytes` as lower-case hex.
pub fn encode_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn decode_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let shown = || text.chars().take(200).collect::<String>();
        let (name, hex) = text.split_once(':').ok_or_else(|| DigestError::Form(shown()))?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            other => return Err(DigestError::Algorithm(other.chars().take(64).collect())),
        };
        let wrong = || DigestError::Hex { text: shown(), expected: algorithm.len() * 2 };
        if hex.len() != algorithm.len() * 2 {
            return Err(wrong());
        }
        let mut bytes = [0; 64];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let (Some(high), Some(low)) = (decode_digit(pair[0]), decode_digit(pair[1])) else {
                return Err(wrong());
            };
            *byte = high << 4 | low;
        }
        Ok(Self { algorithm, bytes })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An incremental hasher.
#[derive(Clone)]
pub enum Hasher {
    /// SHA-256.
    Sha256(sha2::Sha256),
    /// SHA-512.
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// Creates a new hasher.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(sha2::Sha512::new()),
        }
    }

    /// Adds `bytes` to the hash.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// Returns the digest of all added bytes.
    pub fn finish(self) -> Digest {
        let mut bytes = [0; 64];
        match self {
            Self::Sha256(hasher) => {
                bytes[..32].copy_from_slice(&hasher.finalize());
                Digest { algorithm: Algorithm::Sha256, bytes }
            }
            Self::Sha512(hasher) => {
                bytes.copy_from_slice(&hasher.finalize());
                Digest { algorithm: Algorithm::Sha512, bytes }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_round_trip() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::sha256(b"").to_string(), empty);
        assert_eq!(empty.parse::<Digest>().unwrap(), Digest::sha256(b""));
        let abc = Digest::of(Algorithm::Sha512, b"abc").to_string();
        assert!(abc.starts_with("sha512:ddaf35a193617abacc417349ae204131"), "{abc}");
        assert_eq!(abc.parse::<Digest>().unwrap().to_string(), abc);
    }

    #[test]
    fn m3_other_forms_are_refused() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for text in [
            hex.to_owned(),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}0"),
            format!("sha512:{hex}"),
            format!("SHA256:{hex}"),
            "sha256:../../etc/passwd".to_owned(),
            "md5:d41d8cd98f00b204e9800998ecf8427e".to_owned(),
            format!("sha256:{}é", &hex[2..]),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn order_is_that_of_the_text() {
        let mut digests = [
            Digest::of(Algorithm::Sha512, b"a"),
            Digest::sha256(b"b"),
            Digest::sha256(b"a"),
            Digest::of(Algorithm::Sha512, b"b"),
        ];
        let mut texts: Vec<String> = digests.iter().map(ToString::to_string).collect();
        digests.sort();
        texts.sort();
        assert_eq!(digests.iter().map(ToString::to_string).collect::<Vec<_>>(), texts);
    }
}
