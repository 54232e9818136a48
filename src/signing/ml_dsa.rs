//! ML-DSA (FIPS 204) with keys in the form of RFC 9881: pure, without a context, parameter sets 65
//! and 87.
//!
//! Works on raw bytes. PEM and policies are handled in [`super::key`] and elsewhere. Signing is
//! deterministic, like all other output.

use ml_dsa::{EncodedVerifyingKey, MlDsa65, MlDsa87, MlDsaParams, Signature, VerifyingKey};

/// A supported parameter set. ML-DSA-44 is not supported, because its security level is too low for
/// long-lived signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Security category 3.
    MlDsa65,
    /// Security category 5.
    MlDsa87,
}

impl Set {
    /// Returns the size of a public key in bytes.
    pub const fn public_size(self) -> usize {
        match self {
            Self::MlDsa65 => 1952,
            Self::MlDsa87 => 2592,
        }
    }

    /// Whether `signature` is a valid signature over `message` by the key `public`, which has
    /// [`Set::public_size`] bytes.
    pub fn verifies(self, public: &[u8], message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::MlDsa65 => verifies::<MlDsa65>(public, message, signature),
            Self::MlDsa87 => verifies::<MlDsa87>(public, message, signature),
        }
    }
}

fn verifies<P: MlDsaParams>(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(public) = EncodedVerifyingKey::<P>::try_from(public) else { return false };
    let Ok(signature) = Signature::<P>::try_from(signature) else { return false };
    VerifyingKey::<P>::decode(&public).verify_with_context(message, &[], &signature)
}
