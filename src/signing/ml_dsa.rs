//! ML-DSA (FIPS 204) with its keys as RFC 9881 has them: pure, without a context, parameter sets 65 and 87.
//!
//! Bytes in, bytes out: PEM and policy are [`super::key`]'s. Signing is deterministic, as all that is written here.

use ml_dsa::{EncodedVerifyingKey, MlDsa65, MlDsa87, MlDsaParams, Signature, VerifyingKey};

/// A parameter set that is taken. ML-DSA-44 is not: it is below what is asked of signatures that must last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Category 3.
    MlDsa65,
    /// Category 5.
    MlDsa87,
}

impl Set {
    /// Bytes of a public key.
    pub const fn public_size(self) -> usize {
        match self {
            Self::MlDsa65 => 1952,
            Self::MlDsa87 => 2592,
        }
    }

    /// Whether `signature` is that of the key `public`, of [`Set::public_size`] bytes, over `message`.
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
