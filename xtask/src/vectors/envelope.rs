//! Signature files that may be invalid, and base64: after `spec/signature.md`, without packmule's
//! code.

use super::content::sha256;
use serde_json::{Value, json};

/// Type of the signed payload.
pub const PAYLOAD_TYPE: &str = "application/vnd.packmule.statement.v1+json";
/// Type of a statement about a bundle.
pub const BUNDLE_TYPE: &str = "application/vnd.packmule.bundle.v1+json";

/// A signature file that may be invalid.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Statement.
    pub payload: Vec<u8>,
    /// Type of the statement.
    pub payload_type: String,
    /// Key ids and raw signatures.
    pub signatures: Vec<(String, Vec<u8>)>,
}

impl Envelope {
    /// Creates a file over a manifest, without signatures.
    pub fn over(manifest: &[u8]) -> Self {
        Self::of(BUNDLE_TYPE, &sha256(manifest), manifest.len())
    }

    /// Creates a file over any content.
    pub fn of(media_type: &str, digest: &str, size: usize) -> Self {
        let payload = json!({ "digest": digest, "mediaType": media_type, "size": size }).to_string().into_bytes();
        Self { payload, payload_type: PAYLOAD_TYPE.to_owned(), signatures: Vec::new() }
    }

    /// Returns the signed bytes.
    pub fn message(&self) -> Vec<u8> {
        let (kind, size) = (&self.payload_type, self.payload.len());
        [format!("DSSEv1 {} {kind} {size} ", kind.len()).as_bytes(), &self.payload].concat()
    }

    /// Adds a signature in order.
    pub fn add(&mut self, keyid: &str, signature: &[u8]) {
        self.signatures.push((keyid.to_owned(), signature.to_vec()));
        self.signatures.sort();
    }

    /// Returns the file as JSON for editing.
    pub fn value(&self) -> Value {
        let signatures: Vec<Value> =
            self.signatures.iter().map(|(keyid, sig)| json!({ "keyid": keyid, "sig": base64(sig) })).collect();
        json!({ "payload": base64(&self.payload), "payloadType": self.payload_type, "signatures": signatures })
    }
}

impl std::fmt::Display for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.value())
    }
}

/// Encodes as base64 (RFC 4648, padded).
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_usize, |word, byte| word << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = char::from(ALPHABET[word >> (18 - 6 * place) & 63]);
            out.push(if place <= chunk.len() { digit } else { '=' });
        }
    }
    out
}
