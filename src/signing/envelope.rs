//! The signature file: a DSSE 1.0 envelope over a statement, in one canonical form (`spec/signature.md`).
//!
//! ```text
//! {"payload":BASE64,"payloadType":"application/vnd.packmule.statement.v1+json","signatures":[{"keyid":HEX,"sig":BASE64}]}
//! ```
//!
//! Any DSSE verifier can read it. This reader accepts only the form that this writer produces: it
//! serializes the parsed content again and compares the bytes. The payload is never parsed; callers
//! compare it with the expected statement.

use std::fmt::Write as _;

use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};

use crate::base::fault::{Class, escape};
use crate::oci::Digest;

/// Type of the payload. Part of the signed bytes.
pub const PAYLOAD_TYPE: &str = "application/vnd.packmule.statement.v1+json";
/// `mediaType` in the statement about a bundle's manifest.
pub const BUNDLE_TYPE: &str = "application/vnd.packmule.bundle.v1+json";
/// Largest signature file in bytes.
pub const MAX_FILE: usize = 2 << 20;
/// Maximum number of signatures in a file.
pub const MAX_SIGNATURES: usize = 32;
/// Longest signature in bytes. Leaves room for post-quantum signatures.
pub const MAX_SIGNATURE: usize = 64 << 10;

/// Content of a signature file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Bytes of the statement.
    pub payload: Vec<u8>,
    /// Signatures in ascending order of `keyid`, without duplicates.
    pub signatures: Vec<Signature>,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Hex SHA-256 of the key's SPKI DER.
    pub keyid: String,
    /// Raw signature.
    pub sig: Vec<u8>,
}

/// Reason why bytes are not a signature file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Over a limit.
    #[error("signature file: expected at most {most} {what}, found {found}")]
    Limit {
        /// Name of the counted items.
        what: &'static str,
        /// Limit.
        most: usize,
        /// Number found.
        found: usize,
    },
    /// Not JSON with exactly the members of an envelope.
    #[error("signature file: expected a DSSE envelope, found {0}")]
    Json(String),
    /// The signatures are over another type of payload.
    #[error("signature file: expected signatures over {PAYLOAD_TYPE}, found {0:?}")]
    PayloadType(String),
    /// A payload or signature that is not base64 with padding.
    #[error("signature file: {0} is not canonical base64")]
    Base64(&'static str),
    /// Not a valid key id.
    #[error("signature file: expected a key id of 64 lower-case hex digits, found {0:?}")]
    KeyId(String),
    /// Key ids out of order or repeated.
    #[error("signature file: expected ascending key ids, each once, found {0} out of place")]
    Order(String),
    /// Valid content that is not in the canonical form. Holds the position of the first difference.
    #[error("signature file: not in canonical form, it differs at byte {0}")]
    NotCanonical(usize),
}

impl EnvelopeError {
    /// Returns [`Class::Signature`] for a signature over another payload type and [`Class::Format`]
    /// for everything else.
    pub const fn class(&self) -> Class {
        match self {
            Self::PayloadType(_) => Class::Signature,
            _ => Class::Format,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    payload: String,
    payload_type: String,
    signatures: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    keyid: String,
    sig: String,
}

fn limit(what: &'static str, most: usize, found: usize) -> Result<(), EnvelopeError> {
    if found > most { Err(EnvelopeError::Limit { what, most, found }) } else { Ok(()) }
}

fn keyid_is_good(keyid: &str) -> bool {
    keyid.len() == 64 && keyid.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Envelope {
    /// Creates an envelope over `statement` without signatures.
    pub fn new(statement: Vec<u8>) -> Self {
        Self { payload: statement, signatures: Vec::new() }
    }

    /// Parses a signature file.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        limit("bytes", MAX_FILE, bytes.len())?;
        let file: File = serde_json::from_slice(bytes)
            .map_err(|error| EnvelopeError::Json(escape(&format!("something else ({error})"))))?;
        if file.payload_type.chars().any(char::is_control) {
            return Err(EnvelopeError::Json("a control character in payloadType".to_owned()));
        }
        limit("signatures", MAX_SIGNATURES, file.signatures.len())?;
        let payload = Base64::decode_vec(&file.payload).map_err(|_| EnvelopeError::Base64("the payload"))?;
        let mut signatures: Vec<Signature> = Vec::with_capacity(file.signatures.len());
        for Entry { keyid, sig } in file.signatures {
            if !keyid_is_good(&keyid) {
                return Err(EnvelopeError::KeyId(keyid.chars().take(100).collect()));
            }
            if signatures.last().is_some_and(|last| last.keyid >= keyid) {
                return Err(EnvelopeError::Order(keyid));
            }
            let sig = Base64::decode_vec(&sig).map_err(|_| EnvelopeError::Base64("a signature"))?;
            limit("bytes in a signature", MAX_SIGNATURE, sig.len())?;
            if sig.is_empty() {
                return Err(EnvelopeError::Base64("an empty signature"));
            }
            signatures.push(Signature { keyid, sig });
        }
        let envelope = Self { payload, signatures };
        let canonical = envelope.to_bytes_as(&file.payload_type);
        if canonical != bytes {
            let differs = canonical.iter().zip(bytes).position(|(ours, theirs)| ours != theirs);
            return Err(EnvelopeError::NotCanonical(differs.unwrap_or(canonical.len().min(bytes.len()))));
        }
        // Check the form before the payload type, which has another class.
        if file.payload_type != PAYLOAD_TYPE {
            return Err(EnvelopeError::PayloadType(file.payload_type.chars().take(200).collect()));
        }
        Ok(envelope)
    }

    /// Returns the bytes of the file: members in order, no white space. All strings are base64, hex
    /// or one constant, so nothing needs escaping and the result is RFC 8785.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_as(PAYLOAD_TYPE)
    }

    fn to_bytes_as(&self, payload_type: &str) -> Vec<u8> {
        let mut text = format!(
            "{{\"payload\":\"{}\",\"payloadType\":{},\"signatures\":[",
            Base64::encode_string(&self.payload),
            serde_json::Value::from(payload_type)
        );
        for (index, Signature { keyid, sig }) in self.signatures.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(text, "{comma}{{\"keyid\":\"{keyid}\",\"sig\":\"{}\"}}", Base64::encode_string(sig));
        }
        text.push_str("]}");
        text.into_bytes()
    }

    /// Inserts a signature in order, replacing one by the same key.
    pub fn place(&mut self, signature: Signature) {
        match self.signatures.binary_search_by(|other| other.keyid.cmp(&signature.keyid)) {
            Ok(index) => self.signatures[index] = signature,
            Err(index) => self.signatures.insert(index, signature),
        }
    }

    /// Returns the ids of the keys that signed or claim to have signed.
    pub fn keyids(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|signature| signature.keyid.as_str())
    }
}

/// Returns DSSE's pre-authentication encoding of a statement. These are the signed bytes.
pub fn pae(statement: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), statement.len()).into_bytes();
    bytes.extend_from_slice(statement);
    bytes
}

/// Returns the statement about a file: its canonical descriptor. `media_type` must be plain ASCII
/// without quotes ([`BUNDLE_TYPE`] for a manifest).
pub fn statement(media_type: &str, digest: Digest, size: u64) -> Vec<u8> {
    format!("{{\"digest\":\"{digest}\",\"mediaType\":\"{media_type}\",\"size\":{size}}}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::private::SigningKey;

    fn signed(count: u8) -> Envelope {
        let mut envelope = Envelope::new(statement(BUNDLE_TYPE, Digest::sha256(b"manifest"), 8));
        for seed in 1..=count {
            envelope.sign(&SigningKey::from_bytes(&[seed; 32]).unwrap());
        }
        envelope
    }

    #[test]
    fn statement_and_pae_are_as_specified() {
        let digest = Digest::sha256(b"");
        let text = statement(BUNDLE_TYPE, digest, 12);
        assert_eq!(
            String::from_utf8(pae(&text)).unwrap(),
            "DSSEv1 42 application/vnd.packmule.statement.v1+json 148 \
             {\"digest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\
             \"mediaType\":\"application/vnd.packmule.bundle.v1+json\",\"size\":12}"
        );
    }

    #[test]
    fn what_is_written_is_read() {
        for count in [0, 1, 2, 32] {
            let envelope = signed(count);
            assert_eq!(envelope.signatures.len(), usize::from(count));
            assert_eq!(Envelope::parse(&envelope.to_bytes()).unwrap(), envelope);
        }
        let mut twice = signed(2);
        twice.sign(&SigningKey::from_bytes(&[1; 32]).unwrap());
        assert_eq!(twice, signed(2));
    }

    #[test]
    fn b3_every_changed_byte_is_refused_or_breaks_a_signature() {
        let keys = [1, 2].map(|seed| SigningKey::from_bytes(&[seed; 32]).unwrap().public().clone());
        let policy = crate::signing::Policy::new(keys.to_vec(), None).unwrap();
        let file = signed(2).to_bytes();
        let payload = signed(2).payload;
        assert!(policy.judge(&payload, &Envelope::parse(&file).unwrap()).is_ok());
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut changed = file.clone();
                changed[at] ^= 1 << bit;
                if let Ok(envelope) = Envelope::parse(&changed) {
                    assert!(policy.judge(&payload, &envelope).is_err(), "byte {at} bit {bit}");
                }
            }
            assert!(Envelope::parse(&file[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn other_forms_of_the_same_content_are_refused() {
        let file = String::from_utf8(signed(2).to_bytes()).unwrap();
        let entry = |envelope: &Envelope, index: usize| format!("{{\"keyid\":\"{}\"", envelope.signatures[index].keyid);
        let (first, second) = (entry(&signed(2), 0), entry(&signed(2), 1));
        let swapped = file.replace(&first, "#").replace(&second, &first).replace('#', &second);
        assert!(matches!(Envelope::parse(swapped.as_bytes()), Err(EnvelopeError::Order(_))));
        let twice = file.replace(&second, &first);
        assert!(matches!(Envelope::parse(twice.as_bytes()), Err(EnvelopeError::Order(_))));
        for (from, to) in [
            ("{\"payload\"", " {\"payload\""),
            ("\"signatures\":[", "\"signatures\": ["),
            ("]}", "]}\n"),
            ("application/vnd", "application\\/vnd"),
        ] {
            let other = file.replacen(from, to, 1);
            assert_ne!(other, file);
            assert!(matches!(Envelope::parse(other.as_bytes()), Err(EnvelopeError::NotCanonical(_))), "{other}");
        }
        for (other, at) in [
            (format!(" {file}"), 0),
            (format!("{file}\n"), file.len()),
            (file.replacen("\"signatures\":[", "\"signatures\": [", 1), file.find('[').unwrap()),
        ] {
            assert_eq!(Envelope::parse(other.as_bytes()), Err(EnvelopeError::NotCanonical(at)), "{other}");
        }
        for (from, to) in [
            ("]}", "],\"more\":1}"),
            ("\"sig\"", "\"cert\":\"\",\"sig\""),
            ("{\"payload\"", "{\"payloadType\":\"x\",\"payload\""),
            ("]}", "]}{}"),
        ] {
            let other = file.replacen(from, to, 1);
            assert!(matches!(Envelope::parse(other.as_bytes()), Err(EnvelopeError::Json(_))), "{other}");
        }
        let unpadded = file.replacen("==\"}", "\"}", 1);
        assert!(matches!(Envelope::parse(unpadded.as_bytes()), Err(EnvelopeError::Base64(_))));
        let upper = file.replace(&first, &first.to_uppercase().replace("KEYID", "keyid"));
        assert!(matches!(Envelope::parse(upper.as_bytes()), Err(EnvelopeError::KeyId(_))));
    }

    #[test]
    fn s9_b4_limits() {
        let many = |count: usize| {
            let mut envelope = Envelope::new(b"{}".to_vec());
            envelope.signatures =
                (0..count).map(|n| Signature { keyid: format!("{n:064x}"), sig: vec![0; 64] }).collect();
            Envelope::parse(&envelope.to_bytes())
        };
        assert!(many(32).is_ok());
        for count in [33, 10_000] {
            assert!(matches!(many(count), Err(EnvelopeError::Limit { what: "signatures", .. })), "{count}");
        }
        assert!(matches!(many(10_000), Err(EnvelopeError::Limit { .. })));
        let long = |length: usize| {
            let mut envelope = Envelope::new(b"{}".to_vec());
            envelope.signatures.push(Signature { keyid: "0".repeat(64), sig: vec![0; length] });
            Envelope::parse(&envelope.to_bytes())
        };
        assert!(long(MAX_SIGNATURE).is_ok());
        assert!(matches!(long(MAX_SIGNATURE + 1), Err(EnvelopeError::Limit { .. })));
        assert!(matches!(Envelope::parse(&vec![b' '; MAX_FILE + 1]), Err(EnvelopeError::Limit { what: "bytes", .. })));
    }

    #[test]
    fn s10_another_payload_type_is_of_class_signature() {
        let file =
            String::from_utf8(signed(1).to_bytes()).unwrap().replace(PAYLOAD_TYPE, "application/vnd.in-toto+json");
        let error = Envelope::parse(file.as_bytes()).unwrap_err();
        assert_eq!(error.class(), Class::Signature);
    }
}
