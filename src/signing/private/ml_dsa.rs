//! Private keys of ML-DSA: the seed that a PKCS#8 file holds, the public key and the signatures made from it.

use ml_dsa::signature::Keypair as _;
use ml_dsa::{MlDsa65, MlDsa87, MlDsaParams, SigningKey};
use zeroize::Zeroizing;

use crate::signing::ml_dsa::Set;

/// A private key, stored as the seed from which it is derived.
pub struct Secret {
    /// Parameter set.
    pub set: Set,
    /// The 32 seed bytes.
    pub seed: Zeroizing<[u8; 32]>,
}

impl Secret {
    /// Returns the bytes of the public key.
    pub fn public(&self) -> Vec<u8> {
        match self.set {
            Set::MlDsa65 => public::<MlDsa65>(&self.seed),
            Set::MlDsa87 => public::<MlDsa87>(&self.seed),
        }
    }

    /// Signs deterministically. Returns `None` if the message cannot be hashed, which does not happen.
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self.set {
            Set::MlDsa65 => sign::<MlDsa65>(&self.seed, message),
            Set::MlDsa87 => sign::<MlDsa87>(&self.seed, message),
        }
    }
}

fn public<P: MlDsaParams>(seed: &[u8; 32]) -> Vec<u8> {
    SigningKey::<P>::from_seed(&(*seed).into()).verifying_key().encode().to_vec()
}

fn sign<P: MlDsaParams>(seed: &[u8; 32], message: &[u8]) -> Option<Vec<u8>> {
    let key = SigningKey::<P>::from_seed(&(*seed).into());
    key.expanded_key().sign_deterministic(message, &[]).ok().map(|signature| signature.encode().to_vec())
}

#[allow(deprecated, reason = "compared with, never made into a key")]
pub(super) fn expanded<P: MlDsaParams>(seed: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(SigningKey::<P>::from_seed(&(*seed).into()).expanded_key().to_expanded().to_vec())
}

/// Returns the seed in the content of a private key (RFC 9881, section 6). If the expanded key is also there,
/// it must match. A key in expanded form only has no seed.
pub fn seed_of(set: Set, key: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let seed = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).ok().map(Zeroizing::new);
    if let Some(alone) = key.strip_prefix(&[0x80, 0x20]) {
        return seed(alone);
    }
    let (sequence, octets, size): ([u8; 4], [u8; 4], usize) = match set {
        Set::MlDsa65 => ([0x30, 0x82, 0x0f, 0xe6], [0x04, 0x82, 0x0f, 0xc0], 4032),
        Set::MlDsa87 => ([0x30, 0x82, 0x13, 0x46], [0x04, 0x82, 0x13, 0x20], 4896),
    };
    let rest = key.strip_prefix(&sequence)?.strip_prefix(&[0x04, 0x20])?;
    let (first, rest) = rest.split_at_checked(32)?;
    let stated = rest.strip_prefix(&octets).filter(|stated| stated.len() == size)?;
    let seed = seed(first)?;
    let own = match set {
        Set::MlDsa65 => expanded::<MlDsa65>(&seed),
        Set::MlDsa87 => expanded::<MlDsa87>(&seed),
    };
    (own.as_slice() == stated).then_some(seed)
}

#[cfg(test)]
mod tests {
    use ml_dsa::{MlDsa65, MlDsa87};

    use super::*;

    #[test]
    fn the_expanded_half_of_a_private_key_is_the_seeds_own() {
        let seed = [7; 32];
        let sets = [
            (Set::MlDsa65, expanded::<MlDsa65>(&seed), [0x0f, 0xe6, 0x0f, 0xc0]),
            (Set::MlDsa87, expanded::<MlDsa87>(&seed), [0x13, 0x46, 0x13, 0x20]),
        ];
        for (set, own, [a, b, c, d]) in sets {
            let found = |stated: &[u8]| {
                let key = [&[0x30, 0x82, a, b, 0x04, 0x20][..], &seed, &[0x04, 0x82, c, d], stated].concat();
                seed_of(set, &key).map(|seed| *seed)
            };
            assert_eq!(found(&own), Some(seed), "{set:?}");
            let mut other = own.to_vec();
            other[1000] ^= 1;
            let longer = [&own[..], &[0]].concat();
            for stated in [&other[..], &longer, &own[..own.len() - 1], &[]] {
                assert_eq!(found(stated), None, "{set:?}, {} bytes", stated.len());
            }
            for (alone, expected) in [(32, Some(seed)), (31, None), (33, None)] {
                let key = [&[0x80, 0x20][..], &vec![7; alone]].concat();
                assert_eq!(seed_of(set, &key).map(|seed| *seed), expected, "{set:?}, {alone} bytes");
            }
        }
    }
}
