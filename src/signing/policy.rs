//! Whom to believe: keys and how many of them must have signed.
//!
//! Two steps, as a policy file with sections will need them: first every signature under a key that is known
//! anywhere must hold, then those that count must be enough. Today there is one section, the keys of the
//! command line. Nothing of the signed file is parsed here.

use std::collections::BTreeSet;

use super::envelope::{Envelope, pae};
use super::key::PublicKey;
use crate::fault::{Class, Fault};

/// Keys, and how many of them must have signed.
#[derive(Clone, Debug)]
pub struct Policy {
    keys: Vec<PublicKey>,
    threshold: usize,
}

/// Why keys and threshold are no policy. All of class usage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No key at all.
    #[error("trust: expected at least one public key, found none")]
    NoKeys,
    /// A threshold that nothing or everything passes.
    #[error("trust: expected a threshold from 1 to {keys}, found {threshold}")]
    Threshold {
        /// What was asked for.
        threshold: usize,
        /// How many keys there are.
        keys: usize,
    },
    /// A key given twice would count twice.
    #[error("trust: key {0} is given twice")]
    Duplicate(String),
}

/// What a signature file is worth under a policy that it satisfies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Ids of the policy's keys whose signatures hold, ascending.
    pub good: Vec<String>,
    /// Key ids that the policy does not know: they count for nothing and are shown.
    pub unknown: Vec<String>,
}

/// Why a signature file does not authenticate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A signature is missing or wrong.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// Signed, but not by whom the policy demands.
    #[error(transparent)]
    Trust(#[from] Distrust),
}

/// Refusals of class signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// The payload is not the statement over this file.
    #[error("signature file: expected signatures over this manifest, found them over something else")]
    OtherStatement,
    /// The list is empty.
    #[error("signature file: expected a signature, found none")]
    None,
    /// Signatures under known keys that do not hold.
    #[error("signature file: bad signature under key {}", .0.join(", "))]
    Bad(Vec<String>),
}

/// Refusals of class trust.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// No signature is by a key of the policy.
    #[error("signature file: expected a signature by a trusted key, found {}", .found.join(", "))]
    Unknown {
        /// The key ids in the file.
        found: Vec<String>,
    },
    /// Good ones, but not enough.
    #[error("signature file: expected signatures by {needed} trusted keys, found {}: {}", .good.len(), .good.join(", "))]
    TooFew {
        /// How many the policy demands.
        needed: usize,
        /// Whose are there and good.
        good: Vec<String>,
    },
}

impl Policy {
    /// A policy of `keys`, of which `threshold` must have signed; all of them unless it is given.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn new(keys: Vec<PublicKey>, threshold: Option<usize>) -> Result<Self, PolicyError> {
        let mut ids = BTreeSet::new();
        if let Some(key) = keys.iter().find(|key| !ids.insert(key.id())) {
            return Err(PolicyError::Duplicate(key.id().to_owned()));
        }
        if keys.is_empty() {
            return Err(PolicyError::NoKeys);
        }
        let threshold = threshold.unwrap_or(keys.len());
        if threshold == 0 || threshold > keys.len() {
            return Err(PolicyError::Threshold { threshold, keys: keys.len() });
        }
        Ok(Self { keys, threshold })
    }

    /// The ids of its keys.
    pub fn keyids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(PublicKey::id)
    }

    /// How many must have signed.
    pub const fn threshold(&self) -> usize {
        self.threshold
    }

    /// Whether `envelope` authenticates `statement`, which the caller made from the bytes that it holds.
    ///
    /// # Errors
    /// [`Refusal`]: of class signature before trust.
    pub fn judge(&self, statement: &[u8], envelope: &Envelope) -> Result<Judgement, Refusal> {
        let judgement = self.check(statement, envelope)?;
        if judgement.good.is_empty() {
            return Err(Distrust::Unknown { found: judgement.unknown }.into());
        }
        if judgement.good.len() < self.threshold {
            return Err(Distrust::TooFew { needed: self.threshold, good: judgement.good }.into());
        }
        Ok(judgement)
    }

    /// The first step: what holds, and that nothing known fails. Counts nothing.
    fn check(&self, statement: &[u8], envelope: &Envelope) -> Result<Judgement, BadSignature> {
        if envelope.payload != statement {
            return Err(BadSignature::OtherStatement);
        }
        if envelope.signatures.is_empty() {
            return Err(BadSignature::None);
        }
        let message = pae(statement);
        let (mut good, mut unknown, mut bad) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for signature in &envelope.signatures {
            let keyid = signature.keyid.clone();
            match self.keys.iter().find(|key| key.id() == keyid) {
                None => unknown.insert(keyid),
                Some(key) if key.verifies(&message, &signature.sig) => good.insert(keyid),
                Some(_) => bad.insert(keyid),
            };
        }
        if !bad.is_empty() {
            return Err(BadSignature::Bad(bad.into_iter().collect()));
        }
        Ok(Judgement { good: good.into_iter().collect(), unknown: unknown.into_iter().collect() })
    }
}

impl From<PolicyError> for Fault {
    fn from(error: PolicyError) -> Self {
        let fault = Self::new(Class::Usage, error.to_string());
        match error {
            PolicyError::NoKeys => fault.help("give --key with the public key of who signs"),
            PolicyError::Threshold { .. } => fault.help("give --threshold within this range, or none for all keys"),
            PolicyError::Duplicate(_) => fault.help("give each --key once"),
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let (class, help) = match &refusal {
            Refusal::Signature(BadSignature::None) => {
                (Class::Signature, "have it signed: `packmule sign BUNDLE --sign KEY`")
            }
            Refusal::Signature(_) => (Class::Signature, "do not use it; get manifest and signature file again"),
            Refusal::Trust(_) => (Class::Trust, "use it only once its holder has confirmed the key by another way"),
        };
        Self::new(class, refusal.to_string()).help(help)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SigningKey, statement};
    use super::*;
    use crate::oci::Digest;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32]).unwrap()
    }

    fn policy(seeds: &[u8], threshold: Option<usize>) -> Policy {
        Policy::new(seeds.iter().map(|seed| key(*seed).public().clone()).collect(), threshold).unwrap()
    }

    fn envelope(seeds: &[u8]) -> (Vec<u8>, Envelope) {
        let statement = statement(super::super::envelope::BUNDLE_TYPE, Digest::sha256(b"m"), 1);
        let mut envelope = Envelope::new(statement.clone());
        for seed in seeds {
            envelope.sign(&key(*seed));
        }
        (statement, envelope)
    }

    fn judge(seeds: &[u8], threshold: Option<usize>, signers: &[u8]) -> Result<Judgement, Refusal> {
        let (statement, envelope) = envelope(signers);
        policy(seeds, threshold).judge(&statement, &envelope)
    }

    #[test]
    fn enough_good_signatures_pass_and_unknown_ones_are_shown() {
        let judgement = judge(&[1, 2], None, &[1, 2, 3]).unwrap();
        assert_eq!(judgement.good.len(), 2);
        assert_eq!(judgement.unknown, [key(3).public().id()]);
        assert!(judge(&[1, 2, 3], Some(2), &[1, 3]).is_ok());
    }

    #[test]
    fn s1_no_signature() {
        assert_eq!(judge(&[1], None, &[]), Err(BadSignature::None.into()));
    }

    #[test]
    fn s2_unknown_alone_and_forged_keyid() {
        assert!(matches!(judge(&[1], None, &[2]), Err(Refusal::Trust(Distrust::Unknown { .. }))));
        let (statement, mut envelope) = envelope(&[2]);
        envelope.signatures[0].keyid = key(1).public().id().to_owned();
        let refusal = policy(&[1], None).judge(&statement, &envelope).unwrap_err();
        assert!(matches!(refusal, Refusal::Signature(BadSignature::Bad(_))));
        assert_eq!(Fault::from(refusal).class, Class::Signature);
    }

    #[test]
    fn s4_thresholds_and_duplicates() {
        let public = |seed| key(seed).public().clone();
        for threshold in [0, 3, usize::MAX] {
            assert!(matches!(
                Policy::new(vec![public(1), public(2)], Some(threshold)),
                Err(PolicyError::Threshold { .. })
            ));
        }
        assert!(matches!(Policy::new(vec![public(1), public(1)], None), Err(PolicyError::Duplicate(_))));
        assert_eq!(Policy::new(vec![], None).unwrap_err(), PolicyError::NoKeys);
        assert!(matches!(judge(&[1, 2], None, &[1]), Err(Refusal::Trust(Distrust::TooFew { needed: 2, .. }))));
    }

    #[test]
    fn s8_one_bad_signature_under_a_known_key_spoils_all() {
        let (statement, mut envelope) = envelope(&[1, 2, 3]);
        let third = envelope.signatures.iter_mut().find(|one| one.keyid == key(3).public().id()).unwrap();
        third.sig[5] ^= 1;
        assert!(matches!(
            policy(&[1, 2, 3], Some(1)).judge(&statement, &envelope),
            Err(Refusal::Signature(BadSignature::Bad(_)))
        ));
        // Unknown, it counts for nothing.
        assert!(policy(&[1, 2], None).judge(&statement, &envelope).is_ok());
    }

    #[test]
    fn s10_signatures_over_something_else() {
        let (_, envelope) = envelope(&[1]);
        let other = statement(super::super::envelope::BUNDLE_TYPE, Digest::sha256(b"x"), 1);
        assert_eq!(policy(&[1], None).judge(&other, &envelope), Err(BadSignature::OtherStatement.into()));
        // The same bytes signed without the type in front.
        let (statement, mut envelope) = self::envelope(&[1]);
        envelope.signatures[0].sig = key(1).sign(&statement).to_vec();
        assert!(matches!(policy(&[1], None).judge(&statement, &envelope), Err(Refusal::Signature(_))));
    }
}
