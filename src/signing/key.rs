//! Key files in PEM, as far as they show without a secret, and Ed25519 public keys (SPKI).
//!
//! A key's id is the hex SHA-256 of its SPKI DER. Verification is strict (RFC 8032 with cofactorless
//! equation, canonical encodings, no low-order points). Opens no file. Private keys are [`super::private`]'s;
//! the guard build has none.

use std::fmt;

use ed25519_dalek::pkcs8::PublicKeyBytes;
use pkcs8::{AlgorithmIdentifierRef, SecretDocument, SubjectPublicKeyInfoRef};
use zeroize::Zeroizing;

use crate::oci::Digest;

/// A key file larger than this is none.
pub const MAX_FILE: usize = 64 << 10;

pub(super) const PRIVATE: &str = "PRIVATE KEY";
pub(super) const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
pub(super) const PUBLIC: &str = "PUBLIC KEY";

/// Why a file does not give the key that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PEM block of a key.
    #[error("expected a PEM key, found none")]
    NotAKey,
    /// A PEM block that names a key but holds none.
    #[error("expected {0} in DER behind the PEM label, found something else")]
    Malformed(&'static str),
    /// A public key stands where a private one is needed.
    #[error("expected a private key, found a public one")]
    PublicForPrivate,
    /// A private key stands where a public one is needed.
    #[error("expected a public key, found a private one")]
    PrivateForPublic,
    /// The private key is encrypted and no passphrase was given.
    #[error("the private key is encrypted and no passphrase was given")]
    NoPassphrase,
    /// The passphrase does not open the key.
    #[error("the passphrase does not open the private key")]
    WrongPassphrase,
    /// Encrypted in a way that is not read: its name or object identifier.
    #[error("expected encryption by PBES2 with AES and PBKDF2-SHA-2 or scrypt, found {0}")]
    Encryption(String),
    /// Another algorithm, by name or object identifier.
    #[error("expected an Ed25519 key, found {0}")]
    Algorithm(String),
    /// A low-order or non-canonical point: anyone could sign for it.
    #[error("expected an Ed25519 public key, found a weak or non-canonical one")]
    Weak,
    /// The private key file also states a public key, and not its own.
    #[error("the public key in the private key file is not its own")]
    Mismatch,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
}

impl KeyError {
    /// One thing to do about it.
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

/// What a key file holds, as far as it shows without a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// A private key in the open.
    Private,
    /// A private key under a passphrase.
    Encrypted,
    /// A public key.
    Public,
}

/// What `pem` holds, by its label; the key itself is not looked at.
///
/// # Errors
/// [`KeyError::NotAKey`], [`KeyError::Algorithm`] for labels of other formats.
pub fn contents(pem: &[u8]) -> Result<Contents, KeyError> {
    split(pem).map(|(contents, _)| contents)
}

/// Label and DER of the one PEM block.
pub(super) fn split(pem: &[u8]) -> Result<(Contents, SecretDocument), KeyError> {
    if pem.len() > MAX_FILE {
        return Err(KeyError::NotAKey);
    }
    // One block, nothing but white space around it: what else a file holds, nobody has looked at.
    let text = std::str::from_utf8(pem.trim_ascii()).map_err(|_| KeyError::NotAKey)?;
    if !text.starts_with("-----BEGIN ") {
        return Err(KeyError::NotAKey);
    }
    let (label, der) = SecretDocument::from_pem(text).map_err(|_| {
        // Old OpenSSL files carry headers in the block, which the strict reader refuses: still name them.
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

pub(super) fn check_algorithm(algorithm: &AlgorithmIdentifierRef<'_>) -> Result<(), KeyError> {
    let name = match algorithm.oid.to_string().as_str() {
        "1.3.101.112" => return Ok(()),
        "1.2.840.113549.1.1.1" => "an RSA key".to_owned(),
        "1.2.840.113549.1.1.10" => "an RSA-PSS key".to_owned(),
        "1.2.840.10045.2.1" => "an EC key".to_owned(),
        "1.2.840.10040.4.1" => "a DSA key".to_owned(),
        "1.3.101.110" => "an X25519 key".to_owned(),
        "1.3.101.111" => "an X448 key".to_owned(),
        "1.3.101.113" => "an Ed448 key".to_owned(),
        oid => format!("a key of algorithm {oid}"),
    };
    Err(KeyError::Algorithm(name))
}

/// An Ed25519 public key that may be trusted: canonical and not weak.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    pub(super) key: ed25519_dalek::VerifyingKey,
    id: String,
}

impl PublicKey {
    /// Reads an SPKI public key from PEM bytes.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let (contents, der) = split(pem)?;
        if contents != Contents::Public {
            return Err(KeyError::PrivateForPublic);
        }
        let malformed = KeyError::Malformed("a SubjectPublicKeyInfo");
        let info = SubjectPublicKeyInfoRef::try_from(der.as_bytes()).map_err(|_| malformed.clone())?;
        check_algorithm(&info.algorithm)?;
        let bytes = PublicKeyBytes::try_from(info).map_err(|_| malformed)?;
        Self::from_bytes(&bytes.to_bytes())
    }

    /// Takes the 32 bytes of RFC 8032.
    ///
    /// # Errors
    /// [`KeyError::Weak`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Weak)?;
        if key.is_weak() || key.to_edwards().compress().to_bytes() != *bytes {
            return Err(KeyError::Weak);
        }
        let id = Digest::sha256(&spki(bytes)).hex();
        Ok(Self { key, id })
    }

    /// Hex SHA-256 of the SPKI DER: 64 lower-case digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The SPKI PEM file.
    pub fn to_pem(&self) -> String {
        pem(PUBLIC, &spki(self.key.as_bytes())).to_string()
    }

    /// Whether `signature` is this key's over `message`, strictly.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = ed25519_dalek::Signature::from_slice(signature) else { return false };
        self.key.verify_strict(message, &signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

/// DER of a SubjectPublicKeyInfo: a fixed head of 12 bytes (RFC 8410), then the key.
pub(super) fn spki(key: &[u8; 32]) -> [u8; 44] {
    const HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let mut der = [0; 44];
    der[..12].copy_from_slice(&HEAD);
    der[12..].copy_from_slice(key);
    der
}

/// A PEM block with lines of 64 characters.
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
