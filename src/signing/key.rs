//! Key files in PEM, as far as they can be read without a passphrase, and public keys (SPKI):
//! Ed25519, and ML-DSA with the feature `ml-dsa`.
//!
//! A key's id is the hex SHA-256 of its SPKI DER. Verification of Ed25519 is strict (RFC 8032 with
//! the cofactorless equation, canonical encodings, no low-order points). This module opens no
//! files. Private keys are in [`super::private`], which the guard build does not contain.

use std::fmt;

use pkcs8::{AlgorithmIdentifierRef, ObjectIdentifier, SecretDocument, SubjectPublicKeyInfoRef};
use zeroize::Zeroizing;

pub use super::ml_dsa::Set;
use crate::oci::Digest;

/// Kinds of keys that are accepted, for messages.
const KINDS: &str = "an Ed25519, ML-DSA-65 or ML-DSA-87 key";

/// Largest key file in bytes.
pub const MAX_FILE: usize = 64 << 10;

pub(super) const PRIVATE: &str = "PRIVATE KEY";
pub(super) const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
pub(super) const PUBLIC: &str = "PUBLIC KEY";

/// Reason why a file does not contain the required key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PEM block with a key.
    #[error("expected a PEM key, found none")]
    NotAKey,
    /// A PEM block labelled as a key that does not contain one.
    #[error("expected {0} in DER after the PEM label, found something else")]
    Malformed(&'static str),
    /// A public key was given instead of a private one.
    #[error("expected a private key, found a public one")]
    PublicForPrivate,
    /// A private key was given instead of a public one.
    #[error("expected a public key, found a private one")]
    PrivateForPublic,
    /// The private key is encrypted and no passphrase was given.
    #[error("the private key is encrypted and no passphrase was given")]
    NoPassphrase,
    /// The passphrase is wrong.
    #[error("the passphrase does not open the private key")]
    WrongPassphrase,
    /// Unsupported encryption: its name or object identifier.
    #[error("expected encryption by PBES2 with AES and PBKDF2-SHA-2 or scrypt, found {0}")]
    Encryption(String),
    /// Unsupported algorithm: its name or object identifier.
    #[error("expected {KINDS}, found {0}")]
    Algorithm(String),
    /// A low-order or non-canonical point. Anyone could forge signatures for it.
    #[error("expected a public key, found a weak or non-canonical one of Ed25519")]
    Weak,
    /// The private key file contains a public key that does not belong to the private key.
    #[error("the public key in the private key file is not its own")]
    Mismatch,
    /// The system did not provide random bytes.
    #[error("the system gave no random bytes")]
    Random,
}

impl KeyError {
    /// Returns advice: one thing to do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::NotAKey | Self::Malformed(_) | Self::Algorithm(_) | Self::Mismatch => {
                "make a key with `packmule key new` or `openssl genpkey -algorithm ed25519`"
            }
            Self::PublicForPrivate => "give the private key file that belongs to it",
            Self::PrivateForPublic => "make the public key file with `packmule key public`",
            Self::NoPassphrase => "give --passphrase-file, or run on a terminal",
            Self::WrongPassphrase => "check the passphrase and which key it belongs to",
            Self::Encryption(_) => "convert it with `openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256`",
            Self::Weak => "never trust this key; ask its holder for a new one",
            Self::Random => "try again",
        }
    }
}

/// Kind of content of a key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// An unencrypted private key.
    Private,
    /// An encrypted private key.
    Encrypted,
    /// A public key.
    Public,
}

/// Returns the kind of content of `pem` by its label, without parsing the key.
///
/// # Errors
/// [`KeyError::NotAKey`], or [`KeyError::Algorithm`] for labels of other formats.
pub fn contents(pem: &[u8]) -> Result<Contents, KeyError> {
    split(pem).map(|(contents, _)| contents)
}

/// Returns the kind and the DER of the only PEM block.
pub(super) fn split(pem: &[u8]) -> Result<(Contents, SecretDocument), KeyError> {
    if pem.len() > MAX_FILE {
        return Err(KeyError::NotAKey);
    }
    // Exactly one block, with nothing but white space around it. Other content would go unchecked.
    let text = std::str::from_utf8(pem.trim_ascii()).map_err(|_| KeyError::NotAKey)?;
    if !text.starts_with("-----BEGIN ") {
        return Err(KeyError::NotAKey);
    }
    let (label, der) = SecretDocument::from_pem(text).map_err(|_| {
        // Old OpenSSL files have headers in the block, which the strict parser refuses. Name them
        // anyway.
        let other = OTHER_LABELS.iter().find(|(label, _)| text.contains(&format!("-----BEGIN {label}-----")));
        other.map_or(KeyError::NotAKey, |(_, name)| KeyError::Algorithm((*name).to_owned()))
    })?;
    match label {
        PRIVATE => Ok((Contents::Private, der)),
        ENCRYPTED => Ok((Contents::Encrypted, der)),
        PUBLIC => Ok((Contents::Public, der)),
        label => {
            let other = OTHER_LABELS.iter().find(|(other, _)| *other == label);
            Err(other.map_or(KeyError::NotAKey, |(_, name)| KeyError::Algorithm((*name).to_owned())))
        }
    }
}

const OTHER_LABELS: [(&str, &str); 7] = [
    ("RSA PRIVATE KEY", "an RSA key"),
    ("RSA PUBLIC KEY", "an RSA key"),
    ("EC PRIVATE KEY", "an EC key"),
    ("DSA PRIVATE KEY", "a DSA key"),
    ("OPENSSH PRIVATE KEY", "a key in OpenSSH's format"),
    ("CERTIFICATE", "a certificate"),
    ("PGP PUBLIC KEY BLOCK", "a PGP key"),
];

/// Signature algorithm. It is a property of the key; nothing in a signature file selects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519: RFC 8032, pure.
    Ed25519,
    /// ML-DSA: FIPS 204, pure, without a context.
    MlDsa(Set),
}

impl Algorithm {
    /// Returns the name of the algorithm.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::MlDsa(Set::MlDsa65) => "ML-DSA-65",
            Self::MlDsa(Set::MlDsa87) => "ML-DSA-87",
        }
    }

    /// Returns the object identifier of the algorithm.
    pub(super) const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Ed25519 => ED25519,
            Self::MlDsa(Set::MlDsa65) => ML_DSA_65,
            Self::MlDsa(Set::MlDsa87) => ML_DSA_87,
        }
    }

    /// Returns the algorithm of a key in DER. Refuses parameters, since no supported algorithm has
    /// any.
    pub(super) fn of(identifier: &AlgorithmIdentifierRef<'_>) -> Result<Self, KeyError> {
        let oid = identifier.oid;
        let algorithm = match oid {
            ED25519 => Self::Ed25519,
            ML_DSA_65 => Self::MlDsa(Set::MlDsa65),
            ML_DSA_87 => Self::MlDsa(Set::MlDsa87),
            _ => return Err(KeyError::Algorithm(foreign(&oid.to_string()))),
        };
        if identifier.parameters.is_some() {
            return Err(KeyError::Malformed("an algorithm without parameters"));
        }
        Ok(algorithm)
    }
}

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
const ML_DSA_87: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");

/// Describes a key of an unsupported algorithm.
fn foreign(oid: &str) -> String {
    let name = match oid {
        "1.2.840.113549.1.1.1" => "an RSA key",
        "1.2.840.113549.1.1.10" => "an RSA-PSS key",
        "1.2.840.10045.2.1" => "an EC key",
        "1.2.840.10040.4.1" => "a DSA key",
        "1.3.101.110" => "an X25519 key",
        "1.3.101.111" => "an X448 key",
        "1.3.101.113" => "an Ed448 key",
        "2.16.840.1.101.3.4.3.17" => "an ML-DSA-44 key",
        "2.16.840.1.101.3.4.3.18" => "an ML-DSA-65 key, which this build does not support",
        "2.16.840.1.101.3.4.3.19" => "an ML-DSA-87 key, which this build does not support",
        oid => return format!("a key of algorithm {oid}"),
    };
    name.to_owned()
}

/// A public key that may be trusted. Ed25519 keys are canonical and not weak.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: Key,
    id: String,
}

#[derive(Clone, PartialEq, Eq)]
enum Key {
    Ed25519(ed25519_dalek::VerifyingKey),
    // Expanded for each signature, since a policy may contain a thousand keys.
    MlDsa(Set, Box<[u8]>),
}

impl PublicKey {
    /// Parses an SPKI public key from PEM bytes.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let (contents, der) = split(pem)?;
        if contents != Contents::Public {
            return Err(KeyError::PrivateForPublic);
        }
        Self::from_der(der.as_bytes())
    }

    /// Parses a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let malformed = KeyError::Malformed("a SubjectPublicKeyInfo");
        let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| malformed.clone())?;
        let algorithm = Algorithm::of(&info.algorithm)?;
        Self::new(algorithm, info.subject_public_key.as_bytes().ok_or(malformed)?)
    }

    /// Creates a key from its raw bytes.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] if the length is wrong, [`KeyError::Weak`].
    pub fn new(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, KeyError> {
        match algorithm {
            Algorithm::Ed25519 => {
                let bytes = bytes.try_into().map_err(|_| KeyError::Malformed("the 32 bytes of an Ed25519 key"))?;
                Self::from_bytes(bytes)
            }
            Algorithm::MlDsa(set) => {
                // Every string of this length is a key.
                if bytes.len() != set.public_size() {
                    return Err(KeyError::Malformed("the bytes of an ML-DSA key"));
                }
                let id = Digest::sha256(&spki(algorithm, bytes)).hex();
                Ok(Self { key: Key::MlDsa(set, bytes.into()), id })
            }
        }
    }

    /// Creates an Ed25519 key from the 32 bytes of RFC 8032.
    ///
    /// # Errors
    /// [`KeyError::Weak`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Weak)?;
        if key.is_weak() || key.to_edwards().compress().to_bytes() != *bytes {
            return Err(KeyError::Weak);
        }
        let id = Digest::sha256(&spki(Algorithm::Ed25519, bytes)).hex();
        Ok(Self { key: Key::Ed25519(key), id })
    }

    /// Returns the algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        match &self.key {
            Key::Ed25519(_) => Algorithm::Ed25519,
            Key::MlDsa(set, _) => Algorithm::MlDsa(*set),
        }
    }

    /// Returns the raw bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.key {
            Key::Ed25519(key) => key.as_bytes(),
            Key::MlDsa(_, bytes) => bytes,
        }
    }

    /// Returns the id: hex SHA-256 of the SPKI DER, 64 lower-case digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the SPKI PEM file.
    pub fn to_pem(&self) -> String {
        pem(PUBLIC, &spki(self.algorithm(), self.as_bytes())).to_string()
    }

    /// Whether `signature` is a valid signature by this key over `message`. Verification is strict.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            Key::Ed25519(key) => {
                let Ok(signature) = ed25519_dalek::Signature::from_slice(signature) else { return false };
                key.verify_strict(message, &signature).is_ok()
            }
            Key::MlDsa(set, public) => set.verifies(public, message, signature),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

/// Returns the DER of a SubjectPublicKeyInfo (RFC 8410, RFC 9881).
pub(super) fn spki(algorithm: Algorithm, key: &[u8]) -> Vec<u8> {
    let oid = algorithm.oid();
    let oid = tagged(0x06, &[oid.as_bytes()]);
    tagged(0x30, &[&tagged(0x30, &[&oid]), &tagged(0x03, &[&[0], key])])
}

/// Encodes a DER value of less than 64 KiB.
fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [.., high, low] = content.len().to_be_bytes();
    let mut der = vec![tag];
    match (high, low) {
        (0, 0..0x80) => der.push(low),
        (0, _) => der.extend([0x81, low]),
        _ => der.extend([0x82, high, low]),
    }
    der.extend(content);
    der
}

/// Encodes a PEM block with lines of 64 characters.
pub(super) fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    use base64ct::Encoding as _;
    let body = Zeroizing::new(base64ct::Base64::encode_string(der));
    let mut text = Zeroizing::new(String::with_capacity(body.len() * 2 + 80));
    for part in ["-----BEGIN ", label, "-----\n"] {
        text.push_str(part);
    }
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = next;
    }
    for part in ["-----END ", label, "-----\n"] {
        text.push_str(part);
    }
    text
}
