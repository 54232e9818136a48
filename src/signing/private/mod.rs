//! Private keys in memory, in the formats of OpenSSL: PEM, PKCS#8 v1, optionally encrypted (PBES2);
//! and signing with them.
//!
//! Opens no files and prompts for no passphrase. Not in the guard build, which does not sign.

mod ml_dsa;
pub mod signer;

use std::fmt;

use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::KeypairBytes;
use pkcs8::der::Encode as _;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::pkcs5::pbes2::{Kdf, Parameters};
use pkcs8::{AlgorithmIdentifierRef, EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use self::ml_dsa::Secret;
use super::envelope::{Envelope, Signature, pae};
use super::key::{Algorithm, Contents, ENCRYPTED, KeyError, PRIVATE, PublicKey, pem, split};

/// PBKDF2 rounds for keys written here. OpenSSL 3.0 refuses scrypt at a comparable cost.
const ROUNDS: u32 = 600_000;
/// Maximum number of rounds accepted, so that a malicious file cannot stall the program.
const MAX_ROUNDS: u32 = 20_000_000;
const MAX_SCRYPT_BYTES: u64 = 1 << 30;

/// A private key in memory. Wiped when dropped and never shown.
pub struct SigningKey {
    key: Key,
    public: PublicKey,
}

enum Key {
    Ed25519(ed25519_dalek::SigningKey),
    MlDsa(Secret),
}

impl SigningKey {
    /// Generates a key from the system's random numbers.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *secret).map_err(|_| KeyError::Random)?;
        Self::from_seed(algorithm, &secret)
    }

    /// Creates an Ed25519 key from the 32 secret bytes of RFC 8032.
    ///
    /// # Errors
    /// [`KeyError::Weak`], which cannot occur for a secret key.
    pub fn from_bytes(secret: &[u8; 32]) -> Result<Self, KeyError> {
        Self::from_seed(Algorithm::Ed25519, secret)
    }

    /// Creates a key of `algorithm` from its 32-byte seed.
    ///
    /// # Errors
    /// [`KeyError::Weak`], which cannot occur for a secret key.
    pub fn from_seed(algorithm: Algorithm, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let key = match algorithm {
            Algorithm::Ed25519 => Key::Ed25519(ed25519_dalek::SigningKey::from_bytes(seed)),
            Algorithm::MlDsa(set) => Key::MlDsa(Secret { set, seed: Zeroizing::new(*seed) }),
        };
        let public = match &key {
            Key::Ed25519(key) => PublicKey::from_bytes(key.verifying_key().as_bytes())?,
            Key::MlDsa(secret) => PublicKey::new(algorithm, &secret.public())?,
        };
        Ok(Self { key, public })
    }

    /// Parses a PKCS#8 private key from PEM bytes. `passphrase` is used if the key is encrypted,
    /// otherwise ignored.
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
                let scheme = info.encryption_algorithm.pbes2();
                check_cost(&scheme.ok_or_else(|| KeyError::Encryption("PBES1".to_owned()))?.kdf)?;
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
                    // Wrong decryption can end in valid padding by chance.
                    KeyError::Malformed(_) => KeyError::WrongPassphrase,
                    error => error,
                })
            }
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let malformed = KeyError::Malformed("a PKCS#8 private key");
        let info = PrivateKeyInfoRef::try_from(der).map_err(|_| malformed.clone())?;
        match Algorithm::of(&info.algorithm)? {
            Algorithm::Ed25519 => {
                let bytes = KeypairBytes::try_from(info).map_err(|_| malformed)?;
                let key = Self::from_bytes(&bytes.secret_key)?;
                match &bytes.public_key {
                    Some(stated) if stated.to_bytes().as_slice() != key.public.as_bytes() => Err(KeyError::Mismatch),
                    _ => Ok(key),
                }
            }
            algorithm @ Algorithm::MlDsa(set) => {
                let seed = ml_dsa::seed_of(set, info.private_key.as_bytes());
                let seed = seed.ok_or(KeyError::Malformed("a PKCS#8 private key with its seed"))?;
                Self::from_seed(algorithm, &seed)
            }
        }
    }

    /// Returns the PKCS#8 v1 PEM file, encrypted (PBES2: PBKDF2-HMAC-SHA-256, AES-256-CBC) if a
    /// passphrase is given.
    ///
    /// # Errors
    /// [`KeyError::Random`]; [`KeyError::Malformed`] if the encoder fails, which does not happen
    /// for any key.
    pub fn to_pem(&self, passphrase: Option<&[u8]>) -> Result<Zeroizing<String>, KeyError> {
        let failed = |_| KeyError::Malformed("a PKCS#8 private key");
        let mut nested = Zeroizing::new([0; 34]);
        match &self.key {
            Key::Ed25519(key) => {
                nested[..2].copy_from_slice(&[0x04, 0x20]);
                nested[2..].copy_from_slice(key.as_bytes());
            }
            Key::MlDsa(secret) => {
                nested[..2].copy_from_slice(&[0x80, 0x20]);
                nested[2..].copy_from_slice(&*secret.seed);
            }
        }
        let algorithm = AlgorithmIdentifierRef { oid: self.public.algorithm().oid(), parameters: None };
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

    /// Returns the public key.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Returns the raw signature over `message`: for Ed25519 the 64 bytes of RFC 8032.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.key {
            Key::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            // An empty signature is not valid for any key.
            Key::MlDsa(secret) => secret.sign(message).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(private half of {})", self.public.id())
    }
}

fn check_cost(kdf: &Kdf) -> Result<(), KeyError> {
    let dear = match kdf {
        Kdf::Pbkdf2(pbkdf2) => pbkdf2.iteration_count > MAX_ROUNDS,
        Kdf::Scrypt(scrypt) => {
            let cost = u64::from(scrypt.block_size).saturating_mul(128).saturating_mul(scrypt.cost_parameter);
            cost > MAX_SCRYPT_BYTES || scrypt.parallelization > 16
        }
        _ => return Err(KeyError::Encryption("another key derivation".to_owned())),
    };
    if dear { Err(KeyError::Encryption("a key derivation above the limit".to_owned())) } else { Ok(()) }
}

impl Envelope {
    /// Adds `key`'s signature over the payload, replacing an existing one by the same key.
    pub fn sign(&mut self, key: &SigningKey) {
        let sig = key.sign(&pae(&self.payload));
        self.place(Signature { keyid: key.public().id().to_owned(), sig });
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use pkcs8::pkcs5::pbes2::{Pbkdf2Params, ScryptParams};

    use super::*;
    use crate::oci::Digest;
    use crate::signing::key::{MAX_FILE, PUBLIC, contents, spki};

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
        assert_eq!(key.public().as_bytes(), public);
        let signature = hex(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        assert_eq!(key.sign(&[0x72]), signature);
        assert!(key.public().verifies(&[0x72], &signature));
        assert!(!key.public().verifies(&[0x73], &signature));
        assert!(!key.public().verifies(&[0x72], &signature[..63]));
    }

    #[test]
    fn openssl_reads_our_keys() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::generate(Algorithm::Ed25519).unwrap();
        std::fs::write(dir.path().join("plain"), key.to_pem(None).unwrap().as_bytes()).unwrap();
        std::fs::write(dir.path().join("locked"), key.to_pem(Some(b"correct horse")).unwrap().as_bytes()).unwrap();
        std::fs::write(dir.path().join("public"), key.public().to_pem()).unwrap();
        let from_plain = openssl(dir.path(), &["pkey", "-in", "plain", "-pubout"]);
        let from_locked = openssl(dir.path(), &["pkey", "-in", "locked", "-passin", "pass:correct horse", "-pubout"]);
        assert_eq!(from_plain, key.public().to_pem().as_bytes());
        assert_eq!(from_locked, from_plain);
        // OpenSSL's encoding of the plain key equals ours byte for byte.
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
        let key = SigningKey::generate(Algorithm::Ed25519).unwrap();
        let statement = crate::signing::statement(crate::signing::envelope::BUNDLE_TYPE, Digest::sha256(b"m"), 1);
        let message = crate::signing::pae(&statement);
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
        let padded = |length: usize| " ".repeat(length - public.len()) + &public;
        for good in [public.clone(), format!("\n {public}\r\n\n"), public.trim_end().to_owned(), padded(MAX_FILE)] {
            assert!(PublicKey::from_pem(good.as_bytes()).is_ok(), "{good:?}");
        }
        for length in [MAX_FILE + 1, MAX_FILE + 2] {
            assert_eq!(PublicKey::from_pem(padded(length).as_bytes()), Err(KeyError::NotAKey), "{length}");
        }
        for wrong in [format!("words\n{public}"), format!("{public}words\n"), format!("{public}{public}")] {
            assert!(PublicKey::from_pem(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn s19_what_is_not_the_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::generate(Algorithm::Ed25519).unwrap();
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
        for (label, name) in [("RSA PUBLIC KEY", "an RSA key"), ("CERTIFICATE", "a certificate")] {
            let expected = Err(KeyError::Algorithm(name.to_owned()));
            assert_eq!(contents(pem(label, &[0x30, 0]).as_bytes()), expected, "{label}");
        }
        assert_eq!(contents(pem("X509 CRL", &[0x30, 0]).as_bytes()), Err(KeyError::NotAKey));
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
            let file = pem(PUBLIC, &spki(Algorithm::Ed25519, &bytes));
            assert_eq!(PublicKey::from_pem(file.as_bytes()).unwrap_err(), KeyError::Weak, "{point}");
        }
    }

    #[test]
    fn a_key_derivation_above_the_limits_is_refused_unrun() {
        let Kdf::Pbkdf2(base) = Parameters::generate_pbkdf2_sha256_aes256cbc(1, &[0; 16], [0; 16]).unwrap().kdf else {
            panic!("another key derivation")
        };
        for (iteration_count, fits) in [(1, true), (20_000_000, true), (20_000_001, false), (u32::MAX, false)] {
            let kdf = Kdf::Pbkdf2(Pbkdf2Params { iteration_count, ..base });
            assert_eq!(check_cost(&kdf).is_ok(), fits, "{iteration_count} rounds");
        }
        // 128 bytes for each of cost × block size, at most 1 GiB.
        for (cost_parameter, block_size, parallelization, fits) in [
            (1 << 14, 8, 1, true),
            (1 << 20, 8, 16, true),
            ((1 << 20) + 1, 8, 16, false),
            (1 << 20, 9, 1, false),
            (1 << 20, 8, 17, false),
            (u64::MAX, u16::MAX, 1, false),
        ] {
            let salt = base.salt;
            let params = ScryptParams { salt, cost_parameter, block_size, parallelization, key_length: None };
            assert_eq!(check_cost(&Kdf::Scrypt(params)).is_ok(), fits, "{params:?}");
        }
    }

    #[test]
    fn s19_a_public_half_that_is_not_its_own_is_refused() {
        let key = SigningKey::from_bytes(&[7; 32]).unwrap();
        let other = SigningKey::from_bytes(&[8; 32]).unwrap();
        // RFC 5958, version 2: the public key after the private one, in [1].
        let stating = |public: &[u8]| {
            let mut der = hex("3051020101300506032b657004220420");
            der.extend([7; 32]);
            der.extend(hex("812100"));
            der.extend(public);
            SigningKey::from_pem(pem(PRIVATE, &der).as_bytes(), None).map(|found| found.public().clone())
        };
        assert_eq!(stating(key.public().as_bytes()), Ok(key.public().clone()));
        assert_eq!(stating(other.public().as_bytes()), Err(KeyError::Mismatch));
    }

    #[test]
    fn a_private_key_is_never_shown() {
        let key = SigningKey::from_bytes(&[7; 32]).unwrap();
        let shown = format!("{key:?} {:?}", KeyError::WrongPassphrase);
        assert!(!shown.contains("7, 7") && !shown.contains("0707"), "{shown}");
    }
}
