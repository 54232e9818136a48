//! Tallies of the shards of a check: who vouches for each, and all of them as one check of a bundle.
//!
//! Reads no files: the command line does, and knows who could have written them.

use crate::base::fault::{Class, Fault, differs};
use crate::base::shard::Shard;
use crate::base::time::Moment;
use crate::bundle::check::joined::Joined;
use crate::bundle::check::seen::{MEDIA_TYPE, Seen};
use crate::oci::Digest;
use crate::signing::{Envelope, Policy, statement};

/// A tally file.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name in messages, escaped.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Bytes of its signature file. Without one, only root or the operator can have written the tally.
    pub signatures: Option<Vec<u8>>,
}

/// A tally that someone vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// Its name in messages.
    pub name: String,
    /// The shard.
    pub shard: Shard,
    /// End of its check, by the clock of its machine.
    pub ended: Moment,
    /// Ids of the keys that vouch for it; empty for a file of the operator.
    pub keyids: Vec<String>,
}

/// Returns the statement that a signature over a tally signs.
pub fn statement_of(bytes: &[u8]) -> Vec<u8> {
    statement(MEDIA_TYPE, Digest::sha256(bytes), bytes.len() as u64)
}

/// Puts together the tallies of a check of `bundle`. Those that are signed must be signed under a key
/// of `policy`.
///
/// # Errors
/// One fault with everything that is wrong with the tallies: class format, signature, trust, integrity.
pub fn join(bundle: Digest, files: &[File], policy: &Policy) -> Result<(Joined, Vec<Vouched>), Fault> {
    let (mut joined, mut vouched, mut faults) = (Joined::new(bundle), Vec::new(), Vec::new());
    for file in files {
        // Signatures come first: nothing is parsed that nobody has vouched for.
        let read = vouchers(file, policy).and_then(|keyids| {
            let seen = Seen::parse(&file.bytes).map_err(|fault| fault.within(format_args!("tally {}", file.name)))?;
            joined.add(&file.name, &seen)?;
            Ok(Vouched { name: file.name.clone(), shard: seen.shard(), ended: seen.ended(), keyids })
        });
        match read {
            Ok(one) => vouched.push(one),
            Err(fault) => faults.push(fault),
        }
    }
    vouched.sort_by_key(|one| one.shard);
    Fault::from_list(faults).map_or(Ok((joined, vouched)), Err)
}

/// Returns the ids of the keys that vouch for a tally.
fn vouchers(file: &File, policy: &Policy) -> Result<Vec<String>, Fault> {
    let Some(signatures) = &file.signatures else { return Ok(Vec::new()) };
    let of_file = |fault: Fault| fault.within(format_args!("tally {}", file.name));
    let help = "run its shard again";
    let envelope = Envelope::parse(signatures)
        .map_err(|error| of_file(Fault::new(error.class(), error.to_string()).help(help)))?;
    let statement = statement_of(&file.bytes);
    if envelope.payload != statement {
        let what = differs("signature file", "signatures over this tally", "them over something else");
        return Err(of_file(Fault::new(Class::Signature, what).help(help)));
    }
    let judged = policy.vouches(&statement, &envelope);
    judged.map(|judgement| judgement.good).map_err(|refusal| {
        let help = "give the key of the machine that ran the shard, in the policy or with --key and --threshold";
        of_file(Fault { help: Some(help.to_owned()), ..Fault::from(refusal) })
    })
}

#[cfg(feature = "carry")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::private::SigningKey;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32]).unwrap()
    }

    fn tally(shard: &str) -> Vec<u8> {
        let ended = Moment::from_unix(0).unwrap();
        Seen::new(Digest::sha256(b"b"), Shard::parse(shard).unwrap(), ended).to_bytes()
    }

    fn file(name: &str, bytes: Vec<u8>, signer: Option<u8>) -> File {
        let signatures = signer.map(|seed| {
            let mut envelope = Envelope::new(statement_of(&bytes));
            envelope.sign(&key(seed));
            envelope.to_bytes()
        });
        File { name: name.to_owned(), bytes, signatures }
    }

    fn joined(files: &[File]) -> Result<Vec<Vouched>, Fault> {
        let keys = [1, 2].map(|seed| key(seed).public().clone());
        let policy = Policy::new(keys.to_vec(), None).unwrap();
        join(Digest::sha256(b"b"), files, &policy).map(|(_, vouched)| vouched)
    }

    #[test]
    fn one_key_vouches_for_a_tally_and_only_for_this_one() {
        let good = file("a", tally("2/3"), Some(2));
        let vouched = joined(&[good.clone(), file("own", tally("1/3"), None)]).unwrap();
        assert_eq!(vouched.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["own", "a"]);
        assert_eq!(vouched[1].keyids, [key(2).public().id()]);
        assert!(vouched[0].keyids.is_empty());
        let refused = |file: File| joined(&[file]).unwrap_err();
        assert_eq!(refused(file("a", tally("2/3"), Some(3))).class, Class::Trust);
        let other = File { bytes: tally("3/3"), ..good.clone() };
        let fault = refused(other);
        assert!(fault.class == Class::Signature && fault.what.contains("over something else"), "{fault}");
        let mut changed = good.clone();
        let at = changed.signatures.as_ref().unwrap().len() - 10;
        let byte = &mut changed.signatures.as_mut().unwrap()[at];
        *byte = if *byte == b'A' { b'B' } else { b'A' };
        assert!(matches!(refused(changed).class, Class::Signature | Class::Format));
        assert_eq!(refused(File { signatures: Some(Vec::new()), ..good }).class, Class::Format);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let fault = joined(&[file("a", tally("1/3"), None), file("b", tally("1/3"), None), file("c", vec![], None)]);
        let fault = fault.unwrap_err();
        let all: Vec<&str> = std::iter::once(&fault).chain(&fault.others).map(|one| &*one.what).collect();
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(all[0].starts_with("tally c: expected a tally, found an empty file"), "{all:?}");
        assert!(all[1].starts_with("tally b: expected each shard once"), "{all:?}");
    }
}
