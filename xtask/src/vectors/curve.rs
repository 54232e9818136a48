//! Ed25519 for the vectors: valid signatures by test keys, and every invalid one that a lax
//! verifier accepts.
//!
//! The keys are made from fixed, public seeds: they are **test keys** and must never be trusted. It
//! must not use packmule's own signing, so that the verifier is tested independently.

use super::scene::hex;
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use sha2::{Digest as _, Sha256, Sha512};

/// Order of the base point, little endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// A test key.
#[derive(Clone)]
pub struct Key {
    secret: Scalar,
    nonce: [u8; 32],
    /// The 32 bytes of the public key.
    pub public: [u8; 32],
}

fn wide(parts: &[&[u8]]) -> [u8; 64] {
    let mut hasher = Sha512::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn join(r: &[u8; 32], s: &[u8; 32]) -> Vec<u8> {
    [&r[..], &s[..]].concat()
}

impl Key {
    /// Returns the test key with these 32 secret bytes, as in RFC 8032.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        let expanded = wide(&[secret]);
        let (mut low, mut nonce) = ([0; 32], [0; 32]);
        low.copy_from_slice(&expanded[..32]);
        nonce.copy_from_slice(&expanded[32..]);
        let secret = Scalar::from_bytes_mod_order(clamp_integer(low));
        Self { secret, nonce, public: EdwardsPoint::mul_base(&secret).compress().to_bytes() }
    }

    /// Returns the test key number `seed`, whose secret is 32 times that byte.
    pub fn of(seed: u8) -> Self {
        Self::from_secret(&[seed; 32])
    }

    /// Returns the first key of RFC 8032's test vectors, which signs the spec's example.
    pub fn of_rfc() -> Self {
        Self::from_secret(&[
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
            0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
        ])
    }

    /// Returns the key with a point of small order added to its public key (mixed order).
    #[must_use]
    pub fn mixed(&self, torsion: usize) -> Self {
        let point = EdwardsPoint::mul_base(&self.secret) + EIGHT_TORSION[torsion];
        Self { public: point.compress().to_bytes(), ..self.clone() }
    }

    fn challenge(&self, r: &[u8; 32], message: &[u8]) -> [u8; 64] {
        wide(&[r, &self.public, message])
    }

    fn answer(&self, r: Scalar, encoded: &[u8; 32], message: &[u8]) -> Scalar {
        r + Scalar::from_bytes_mod_order_wide(&self.challenge(encoded, message)) * self.secret
    }

    /// Returns a valid signature.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let r = Scalar::from_bytes_mod_order_wide(&wide(&[&self.nonce, message]));
        let encoded = EdwardsPoint::mul_base(&r).compress().to_bytes();
        join(&encoded, &self.answer(r, &encoded, message).to_bytes())
    }

    /// Returns a signature with this encoding of R, which is not a point chosen by the signer. The
    /// holder of the key can make it with r = 0.
    pub fn sign_with_r(&self, encoded: &[u8; 32], message: &[u8]) -> Vec<u8> {
        join(encoded, &self.answer(Scalar::ZERO, encoded, message).to_bytes())
    }

    /// Returns a signature whose R has a component of small order. It is valid only if the equation
    /// is multiplied by 8.
    pub fn sign_with_mixed_r(&self, torsion: usize, message: &[u8]) -> Vec<u8> {
        let r = Scalar::from_bytes_mod_order_wide(&wide(&[&self.nonce, b"mixed", message]));
        let encoded = (EdwardsPoint::mul_base(&r) + EIGHT_TORSION[torsion]).compress().to_bytes();
        join(&encoded, &self.answer(r, &encoded, message).to_bytes())
    }

    /// Returns a signature whose challenge mod 8, both reduced and unreduced, satisfies `fits`.
    pub fn sign_until(&self, message: &[u8], fits: impl Fn(u8, u8) -> bool) -> Vec<u8> {
        let mut count = 0_u64;
        loop {
            count += 1;
            let r = Scalar::from_bytes_mod_order_wide(&wide(&[&self.nonce, &count.to_le_bytes(), message]));
            let encoded = EdwardsPoint::mul_base(&r).compress().to_bytes();
            let challenge = self.challenge(&encoded, message);
            let reduced = Scalar::from_bytes_mod_order_wide(&challenge).to_bytes();
            if fits(reduced[0] & 7, challenge[0] & 7) {
                return join(&encoded, &self.answer(r, &encoded, message).to_bytes());
            }
        }
    }

    /// Returns a signature of Ed25519ph, another scheme, by the same key.
    pub fn sign_prehashed(&self, message: &[u8]) -> Vec<u8> {
        let domain = b"SigEd25519 no Ed25519 collisions\x01\x00";
        let digest = wide(&[message]);
        let r = Scalar::from_bytes_mod_order_wide(&wide(&[domain, &self.nonce, &digest]));
        let encoded = EdwardsPoint::mul_base(&r).compress().to_bytes();
        let challenge = wide(&[domain, &encoded, &self.public, &digest]);
        join(&encoded, &(r + Scalar::from_bytes_mod_order_wide(&challenge) * self.secret).to_bytes())
    }

    /// Returns the key id: hex SHA-256 of the key's SPKI DER.
    pub fn id(&self) -> String {
        keyid(&self.public)
    }
}

/// Returns the key id of any 32 bytes.
pub fn keyid(public: &[u8; 32]) -> String {
    let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    hex(&Sha256::digest([&head[..], public].concat()))
}

/// Returns the eight points of small order in their canonical encodings.
pub fn low_order() -> [[u8; 32]; 8] {
    EIGHT_TORSION.map(|point| point.compress().to_bytes())
}

/// Returns p + `more` as 32 bytes, which is not canonical below 19.
pub fn above_p(more: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed + more;
    bytes[31] = 0x7f;
    bytes
}

/// Returns the encoding with the sign of x set.
pub fn negative(mut bytes: [u8; 32]) -> [u8; 32] {
    bytes[31] |= 0x80;
    bytes
}

/// Whether a lax decoder accepts the bytes as a point.
pub fn is_point(bytes: [u8; 32]) -> bool {
    CompressedEdwardsY(bytes).decompress().is_some()
}

/// Returns the signature with the order of the group added to its S: the same number in another
/// encoding.
pub fn with_order_added(signature: &[u8]) -> Vec<u8> {
    let mut out = signature.to_vec();
    let mut carry = 0_u16;
    for (byte, order) in out[32..].iter_mut().zip(ORDER) {
        let [low, high] = (u16::from(*byte) + u16::from(order) + carry).to_le_bytes();
        *byte = low;
        carry = u16::from(high);
    }
    out
}
