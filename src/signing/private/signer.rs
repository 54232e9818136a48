//! Signers, which are keys in memory, on a smart card or in an HSM; and adding signatures to an
//! existing signature file.
//!
//! A signature is added only if it is valid for the signer's public key.

use std::fmt;

use super::SigningKey;
use crate::base::fault::{Class, Fault, differs};
use crate::signing::envelope::{Envelope, Signature, pae};
use crate::signing::key::PublicKey;

/// A signer with one key.
pub trait Signer: fmt::Debug + Send + Sync {
    /// Returns the public key.
    fn public(&self) -> &PublicKey;

    /// Returns the raw signature over `message`.
    ///
    /// # Errors
    /// [`Class::Io`] if a card or an HSM does not produce one.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault>;
}

impl Signer for SigningKey {
    fn public(&self) -> &PublicKey {
        Self::public(self)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        Ok(Self::sign(self, message))
    }
}

impl Envelope {
    /// Has `signer` sign the payload, replacing an existing signature by the same key.
    ///
    /// # Errors
    /// Those of [`Signer::sign`] and [`Envelope::attach`].
    pub fn sign_with(&mut self, signer: &dyn Signer) -> Result<(), Fault> {
        let sig = signer.sign(&pae(&self.payload))?;
        self.attach(signer.public(), sig)
    }

    /// Adds a raw signature over the [`pae`] of the payload that was made elsewhere, replacing an
    /// existing one by the same key.
    ///
    /// # Errors
    /// [`Class::Signature`] if it is not valid.
    pub fn attach(&mut self, key: &PublicKey, sig: Vec<u8>) -> Result<(), Fault> {
        if !key.verifies(&pae(&self.payload), &sig) {
            let (name, id) = (key.algorithm().name(), key.id());
            let what = differs(
                "signature",
                format_args!("one of {name} under key {id} over this bundle"),
                format_args!("{} bytes that are not one", sig.len()),
            );
            let help = "sign the exact bytes of `packmule sign BUNDLE --payload`, without hashing them first, and attach the raw signature";
            return Err(Fault::new(Class::Signature, what).help(help));
        }
        self.place(Signature { keyid: key.id().to_owned(), sig });
        Ok(())
    }

    /// Adds the signatures of `other`, which has the same payload. Signatures by `keys` must be
    /// valid; if both files have one by the same key, the valid one is kept.
    ///
    /// # Errors
    /// [`Class::Signature`] if no signature by a key of `keys` is valid, or if two by another key
    /// differ, since it is unknown which one is valid.
    pub fn join(&mut self, other: Self, keys: &[PublicKey]) -> Result<(), Fault> {
        let message = pae(&self.payload);
        let key = |keyid: &str| keys.iter().find(|key| key.id() == keyid);
        let holds = |one: &Signature| key(&one.keyid).is_none_or(|key| key.verifies(&message, &one.sig));
        let wrong = |keyid: &str, found: &str, help: &str| {
            let what = differs("signature file", format_args!("one good signature under key {keyid}"), found);
            Err(Fault::new(Class::Signature, what).help(help))
        };
        for theirs in other.signatures {
            let ours = self.signatures.iter().find(|ours| ours.keyid == theirs.keyid);
            let known = key(&theirs.keyid).is_some();
            match ours {
                Some(ours) if ours.sig == theirs.sig => {}
                Some(_) if !known => {
                    let help = "give its public key with --key: the one that holds is kept";
                    return wrong(&theirs.keyid, "two that differ", help);
                }
                Some(ours) if holds(ours) => continue,
                _ => {}
            }
            if !holds(&theirs) {
                return wrong(&theirs.keyid, "none", "have its holder sign again");
            }
            self.place(theirs);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;
    use crate::signing::{BUNDLE_TYPE, statement};

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32]).unwrap()
    }

    fn signed(seeds: &[u8]) -> Envelope {
        let mut envelope = Envelope::new(statement(BUNDLE_TYPE, Digest::sha256(b"manifest"), 8));
        seeds.iter().for_each(|seed| envelope.sign(&key(*seed)));
        envelope
    }

    fn spoilt(mut envelope: Envelope) -> Envelope {
        envelope.signatures[0].sig[9] ^= 1;
        envelope
    }

    #[test]
    fn joined_in_any_order_they_are_the_same() {
        for (first, second) in [(&[1][..], &[2, 3][..]), (&[2, 3], &[1]), (&[1, 2], &[2, 3]), (&[], &[1, 2, 3])] {
            let mut envelope = signed(first);
            envelope.join(signed(second), &[]).unwrap();
            assert_eq!(envelope, signed(&[1, 2, 3]));
            assert_eq!(Envelope::parse(&envelope.to_bytes()).unwrap(), envelope);
        }
    }

    #[test]
    fn s8_of_two_under_one_key_the_good_one_stays_if_the_key_is_known() {
        let public = [key(1).public().clone()];
        for (ours, theirs) in [(signed(&[1]), spoilt(signed(&[1]))), (spoilt(signed(&[1])), signed(&[1]))] {
            let mut envelope = ours.clone();
            assert_eq!(envelope.join(theirs.clone(), &[]).unwrap_err().class, Class::Signature);
            assert_eq!(envelope, ours);
            envelope.join(theirs, &public).unwrap();
            assert_eq!(envelope, signed(&[1]));
        }
        // None is valid: nothing is added, whether there was a signature before or not.
        for mut envelope in [signed(&[]), spoilt(signed(&[1]))] {
            let before = envelope.clone();
            assert_eq!(envelope.join(spoilt(signed(&[1])), &public).unwrap_err().class, Class::Signature);
            assert_eq!(envelope, before);
        }
    }

    #[test]
    fn s2_what_is_attached_must_hold() {
        let mut envelope = signed(&[1]);
        let message = pae(&envelope.payload);
        envelope.attach(key(2).public(), key(2).sign(&message)).unwrap();
        assert_eq!(envelope, signed(&[1, 2]));
        for sig in [key(2).sign(&message), key(3).sign(&envelope.payload.clone()), Vec::new(), vec![0; 64]] {
            assert_eq!(envelope.attach(key(3).public(), sig).unwrap_err().class, Class::Signature);
        }
        envelope.sign_with(&key(3)).unwrap();
        assert_eq!(envelope, signed(&[1, 2, 3]));
    }
}
