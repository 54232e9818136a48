//! Ed25519 keys as OpenSSL 3.0 writes and reads them: PEM, PKCS#8 v1 (also encrypted, PBES2) and SPKI.
//!
//! A key's id is the hex SHA-256 of its SPKI DER. Verification is strict (RFC 8032 with cofactorless
//! equation, canonical encodings, no low-order points). Opens no file and asks nobody for a passphrase.

use std::fmt;

use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::{KeypairBytes, PublicKeyBytes};
use pkcs8::der::Encode as _;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::pkcs5::pbes2::{Kdf, Parameters};
use pkcs8::{
    AlgorithmIdentifierRef, EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument,
    SubjectPublicKeyInfoRef,
};
use zeroize::Zeroizing;

use crate::oci::Digest;

/// A key file larger than this is none.
pub const MAX_FILE: usize = 64 << 10;
/// PBKDF2 rounds of what we write; OpenSSL 3.0 refuses scrypt at a comparable cost.
const ROUNDS: u32 = 600_000;
/// More than this is not a key derivation but a trap.
const MAX_ROUNDS: u32 = 20_000_000;
const MAX_SCRYPT_BYTES: u64 = 1 << 30;

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const PRIVATE: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

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
fn split(pem: &[u8]) -> Result<(Contents, SecretDocument), KeyError> {
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

fn check_algorithm(algorithm: &AlgorithmIdentifierRef<'_>) -> Result<(), KeyError> {
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
    key: ed25519_dalek::VerifyingKey,
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
fn spki(key: &[u8; 32]) -> [u8; 44] {
    const HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let mut der = [0; 44];
    der[..12].copy_from_slice(&HEAD);
    der[12..].copy_from_slice(key);
    der
}

/// An Ed25519 private key. Wiped from memory when dropped; never shown.
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    public: PublicKey,
}

impl SigningKey {
    /// A new key from the system's random numbers.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *secret).map_err(|_| KeyError::Random)?;
        Self::from_bytes(&secret)
    }

    /// Takes the 32 secret bytes of RFC 8032.
    ///
    /// # Errors
    /// [`KeyError::Weak`], which no secret gives.
    pub fn from_bytes(secret: &[u8; 32]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::SigningKey::from_bytes(secret);
        let public = PublicKey::from_bytes(key.verifying_key().as_bytes())?;
        Ok(Self { key, public })
    }

    /// Reads a PKCS#8 private key from PEM bytes; `passphrase` is used if it is encrypted, else ignored.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pem(pem: &[u8], passphrase: Option<&[u8]>) -> Result<Self, KeyError> {
        let (contents, der) = split(pem)?;
        match contents {
            Contents::Public => Err(KeyError::PublicForPrivate),
            Contents::Private => Self::from_der(der.as_bytes()),
            Contents::Encrypted => {
                let passphrase = passphrase.ok_or(KeyError::NoPassphrase)?;
                let info = EncryptedPrivateKeyInfoRef::try_from(der.as_bytes())
                    .map_err(|_| KeyError::Encryption("another scheme".to_owned()))?;
                check_cost(&info)?;
                let plain = info.decrypt(passphrase).map_err(|error| match error {
                    pkcs8::Error::EncryptedPrivateKey(
                        pkcs8::pkcs5::Error::UnsupportedAlgorithm { oid }
                        | pkcs8::pkcs5::Error::AlgorithmParametersInvalid { oid },
                    ) => KeyError::Encryption(oid.to_string()),
                    pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::NoPbes1CryptSupport) => {
                        KeyError::Encryption("PBES1".to_owned())
                    }
                    _ => KeyError::WrongPassphrase,
                })?;
                Self::from_der(plain.as_bytes()).map_err(|error| match error {
                    // Padding that fits by chance leaves noise.
                    KeyError::Malformed(_) => KeyError::WrongPassphrase,
                    error => error,
                })
            }
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let malformed = KeyError::Malformed("a PKCS#8 private key");
        let info = PrivateKeyInfoRef::try_from(der).map_err(|_| malformed.clone())?;
        check_algorithm(&info.algorithm)?;
        let bytes = KeypairBytes::try_from(info).map_err(|_| malformed)?;
        let key = Self::from_bytes(&bytes.secret_key)?;
        match &bytes.public_key {
            Some(stated) if stated.to_bytes() != *key.public.key.as_bytes() => Err(KeyError::Mismatch),
            _ => Ok(key),
        }
    }

    /// The PKCS#8 v1 PEM file, encrypted (PBES2: PBKDF2-HMAC-SHA-256, AES-256-CBC) under a passphrase if
    /// one is given.
    ///
    /// # Errors
    /// [`KeyError::Random`]; [`KeyError::Malformed`] should the encoder fail, which it does for no key.
    pub fn to_pem(&self, passphrase: Option<&[u8]>) -> Result<Zeroizing<String>, KeyError> {
        let failed = |_| KeyError::Malformed("a PKCS#8 private key");
        let mut nested = Zeroizing::new([0; 34]);
        nested[..2].copy_from_slice(&[0x04, 0x20]);
        nested[2..].copy_from_slice(self.key.as_bytes());
        let algorithm = AlgorithmIdentifierRef { oid: ED25519, parameters: None };
        let secret = OctetStringRef::new(&*nested).map_err(failed)?;
        let info = PrivateKeyInfoRef::new(algorithm, secret);
        let Some(passphrase) = passphrase else {
            let der = Zeroizing::new(info.to_der().map_err(failed)?);
            return Ok(pem(PRIVATE, &der));
        };
        let (mut salt, mut iv) = ([0; 16], [0; 16]);
        getrandom::fill(&mut salt).and_then(|()| getrandom::fill(&mut iv)).map_err(|_| KeyError::Random)?;
        let encrypted = Parameters::generate_pbkdf2_sha256_aes256cbc(ROUNDS, &salt, iv)
            .map_err(pkcs8::Error::from)
            .and_then(|parameters| info.encrypt_with_params(parameters, passphrase))
            .map_err(|_| KeyError::Malformed("a PKCS#8 private key"))?;
        Ok(pem(ENCRYPTED, encrypted.as_bytes()))
    }

    /// The public half.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The 64 bytes of RFC 8032 over `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(private half of {})", self.public.id)
    }
}

fn check_cost(info: &EncryptedPrivateKeyInfoRef<'_>) -> Result<(), KeyError> {
    let Some(parameters) = info.encryption_algorithm.pbes2() else {
        return Err(KeyError::Encryption("PBES1".to_owned()));
    };
    let dear = match &parameters.kdf {
        Kdf::Pbkdf2(pbkdf2) => pbkdf2.iteration_count > MAX_ROUNDS,
        Kdf::Scrypt(scrypt) => {
            let cost = u64::from(scrypt.block_size).saturating_mul(128).saturating_mul(scrypt.cost_parameter);
            cost > MAX_SCRYPT_BYTES || scrypt.parallelization > 16
        }
        _ => return Err(KeyError::Encryption("another key derivation".to_owned())),
    };
    if dear { Err(KeyError::Encryption("a key derivation above the limit".to_owned())) } else { Ok(()) }
}

/// A PEM block with lines of 64 characters.
fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn openssl(dir: &Path, args: &[&str]) -> Vec<u8> {
        let output = Command::new("openssl").args(args).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    #[test]
    fn rfc_8032_test_2() {
        let secret = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let key = SigningKey::from_bytes(&secret.try_into().unwrap()).unwrap();
        let public = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(key.public().key.as_bytes().as_slice(), public);
        let signature = hex(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        assert_eq!(key.sign(&[0x72]).as_slice(), signature);
        assert!(key.public().verifies(&[0x72], &signature));
        assert!(!key.public().verifies(&[0x73], &signature));
        assert!(!key.public().verifies(&[0x72], &signature[..63]));
    }

    #[test]
    fn openssl_reads_our_keys() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        std::fs::write(dir.path().join("plain"), key.to_pem(None).unwrap().as_bytes()).unwrap();
        std::fs::write(dir.path().join("locked"), key.to_pem(Some(b"correct horse")).unwrap().as_bytes()).unwrap();
        std::fs::write(dir.path().join("public"), key.public().to_pem()).unwrap();
        let from_plain = openssl(dir.path(), &["pkey", "-in", "plain", "-pubout"]);
        let from_locked = openssl(dir.path(), &["pkey", "-in", "locked", "-passin", "pass:correct horse", "-pubout"]);
        assert_eq!(from_plain, key.public().to_pem().as_bytes());
        assert_eq!(from_locked, from_plain);
        // Its own writing of the plain key is byte for byte ours.
        assert_eq!(
            openssl(dir.path(), &["pkey", "-in", "locked", "-passin", "pass:correct horse"]),
            key.to_pem(None).unwrap().as_bytes()
        );
        let der = openssl(dir.path(), &["pkey", "-pubin", "-in", "public", "-outform", "DER"]);
        assert_eq!(Digest::sha256(&der).hex(), key.public().id());
    }

    #[test]
    fn we_read_openssls_keys() {
        let dir = tempfile::tempdir().unwrap();
        openssl(dir.path(), &["genpkey", "-algorithm", "ed25519", "-out", "plain"]);
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        let public = openssl(dir.path(), &["pkey", "-in", "plain", "-pubout"]);
        let plain = SigningKey::from_pem(&read("plain"), None).unwrap();
        assert_eq!(plain.public(), &PublicKey::from_pem(&public).unwrap());
        for (name, kdf) in [("pbkdf2", &["-v2", "aes-256-cbc"][..]), ("scrypt", &["-scrypt"])] {
            let mut args = vec!["pkcs8", "-topk8", "-in", "plain", "-out", name, "-passout", "pass:secret"];
            args.extend(kdf);
            openssl(dir.path(), &args);
            let locked = read(name);
            assert_eq!(contents(&locked), Ok(Contents::Encrypted));
            assert_eq!(SigningKey::from_pem(&locked, Some(b"secret")).unwrap().public(), plain.public());
            assert_eq!(SigningKey::from_pem(&locked, Some(b"wrong")).unwrap_err(), KeyError::WrongPassphrase);
            assert_eq!(SigningKey::from_pem(&locked, None).unwrap_err(), KeyError::NoPassphrase);
        }
    }

    #[test]
    fn openssl_verifies_what_we_sign() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        let statement = super::super::statement(super::super::envelope::BUNDLE_TYPE, Digest::sha256(b"m"), 1);
        let message = super::super::pae(&statement);
        std::fs::write(dir.path().join("message"), &message).unwrap();
        std::fs::write(dir.path().join("sig"), key.sign(&message)).unwrap();
        std::fs::write(dir.path().join("public"), key.public().to_pem()).unwrap();
        let args = ["pkeyutl", "-verify", "-pubin", "-inkey", "public", "-rawin", "-in", "message", "-sigfile", "sig"];
        openssl(dir.path(), &args);
        std::fs::write(dir.path().join("message"), b"another").unwrap();
        assert!(!Command::new("openssl").args(args).current_dir(dir.path()).output().unwrap().status.success());
    }

    #[test]
    fn a_key_file_is_one_block_with_white_space_around_it() {
        let public = SigningKey::from_bytes(&[7; 32]).unwrap().public().to_pem();
        for good in [public.clone(), format!("\n {public}\r\n\n"), public.trim_end().to_owned()] {
            assert!(PublicKey::from_pem(good.as_bytes()).is_ok(), "{good:?}");
        }
        for wrong in [format!("words\n{public}"), format!("{public}words\n"), format!("{public}{public}")] {
            assert!(PublicKey::from_pem(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn s19_what_is_not_the_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        let private = key.to_pem(None).unwrap();
        let public = key.public().to_pem();
        assert_eq!(SigningKey::from_pem(public.as_bytes(), None).unwrap_err(), KeyError::PublicForPrivate);
        assert_eq!(PublicKey::from_pem(private.as_bytes()).unwrap_err(), KeyError::PrivateForPublic);
        for junk in [&b""[..], b"\x7fELF", b"hello", &[0xff; 100], &vec![b'a'; MAX_FILE + 1]] {
            assert_eq!(PublicKey::from_pem(junk).unwrap_err(), KeyError::NotAKey);
            assert_eq!(SigningKey::from_pem(junk, None).unwrap_err(), KeyError::NotAKey);
        }
        for (algorithm, options, name) in
            [("rsa", "rsa_keygen_bits:1024", "an RSA key"), ("ec", "ec_paramgen_curve:P-256", "an EC key")]
        {
            openssl(dir.path(), &["genpkey", "-algorithm", algorithm, "-pkeyopt", options, "-out", "other"]);
            let other = std::fs::read(dir.path().join("other")).unwrap();
            let expected = KeyError::Algorithm(name.to_owned());
            assert_eq!(SigningKey::from_pem(&other, None).unwrap_err(), expected);
            let other = openssl(dir.path(), &["pkey", "-in", "other", "-pubout"]);
            assert_eq!(PublicKey::from_pem(&other).unwrap_err(), expected);
        }
        openssl(dir.path(), &["genpkey", "-algorithm", "ed448", "-out", "other"]);
        let other = std::fs::read(dir.path().join("other")).unwrap();
        assert_eq!(SigningKey::from_pem(&other, None).unwrap_err(), KeyError::Algorithm("an Ed448 key".to_owned()));
    }

    #[test]
    fn s6_weak_and_non_canonical_keys_are_refused() {
        for point in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            let bytes: [u8; 32] = hex(point).try_into().unwrap();
            let file = pem(PUBLIC, &spki(&bytes));
            assert_eq!(PublicKey::from_pem(file.as_bytes()).unwrap_err(), KeyError::Weak, "{point}");
        }
    }

    #[test]
    fn a_private_key_is_never_shown() {
        let key = SigningKey::from_bytes(&[7; 32]).unwrap();
        let shown = format!("{key:?} {:?}", KeyError::WrongPassphrase);
        assert!(!shown.contains("7, 7") && !shown.contains("0707"), "{shown}");
    }
}
