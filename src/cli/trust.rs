//! TRUST on the command line: whom a bundle must be signed by. There is no option that skips signatures.

use std::path::PathBuf;

use clap::Args;

use super::Session;
use super::pem::read_public;
use crate::fault::{Class, Fault};
use crate::signing::{Policy, PublicKey};

/// The options, for every command that needs trust. None of them is read from the environment.
#[derive(Args, Clone, Debug, Default)]
pub struct Trust {
    /// A public key (PEM) that must have signed; repeat it for more
    #[arg(long = "key", value_name = "PUB")]
    pub keys: Vec<PathBuf>,
    /// How many of the keys must have signed [default: all]
    #[arg(long, value_name = "N")]
    pub threshold: Option<usize>,
}

/// Long options whose value is never taken from the environment.
pub const OPTIONS: [&str; 6] = ["key", "threshold", "policy", "signatures", "init-state", "allow-stale"];

impl Trust {
    /// Whether anything was given.
    pub fn is_given(&self) -> bool {
        !self.keys.is_empty() || self.threshold.is_some()
    }

    /// Reads the keys, before anything of a bundle is looked at.
    ///
    /// # Errors
    /// Class usage: a key that is none.
    pub fn read(&self, session: &Session<'_>) -> Result<Vec<PublicKey>, Fault> {
        self.keys.iter().map(|path| read_public(path, session.world)).collect()
    }

    /// The policy. `found` gives the key ids in the bundle's signature file, as far as there is one; asked only
    /// when no trust was given, to name them.
    ///
    /// # Errors
    /// Class usage: nothing given, a key that is none, an impossible threshold.
    pub fn policy(&self, session: &Session<'_>, found: impl FnOnce() -> Vec<String>) -> Result<Policy, Fault> {
        self.policy_of(self.read(session)?, found)
    }

    /// The same with the keys that [`Trust::read`] gave.
    ///
    /// # Errors
    /// Class usage: nothing given, an impossible threshold.
    pub fn policy_of(&self, keys: Vec<PublicKey>, found: impl FnOnce() -> Vec<String>) -> Result<Policy, Fault> {
        if keys.is_empty() {
            let mut fault = Fault::new(Class::Usage, "no trust given: expected --key with a public key, found none")
                .help("give --key PUB, a file that its holder gave you by another way than the bundle");
            fault.others =
                found().into_iter().map(|id| Fault::new(Class::Usage, format!("signed under key {id}"))).collect();
            return Err(fault);
        }
        Ok(Policy::new(keys, self.threshold)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::world::World;
    use super::super::{Globals, Session, progress};
    use super::*;
    use crate::flow::{Flow, Silent};
    use crate::signing::SigningKey;

    fn policy(keys: &[&str], threshold: Option<usize>) -> Result<Policy, Fault> {
        let dir = tempfile::tempdir().unwrap();
        for seed in [1, 2] {
            let pem = SigningKey::from_bytes(&[seed; 32]).unwrap().public().to_pem();
            std::fs::write(dir.path().join(format!("{seed}.pem")), pem).unwrap();
        }
        let (mut world, ..) = World::for_test(&[], dir.path());
        let flow = Flow::new(Arc::new(Silent), Arc::clone(&world.clock), 1, 1);
        let globals = Globals { json: false, progress: progress::Mode::None, quiet: false, verbose: 0, jobs: 1 };
        let session = Session { world: &mut world, flow, globals };
        let trust = Trust { keys: keys.iter().map(PathBuf::from).collect(), threshold };
        trust.policy(&session, || vec!["id-one".to_owned(), "id-two".to_owned()])
    }

    #[test]
    fn without_trust_the_key_ids_are_listed() {
        for threshold in [None, Some(1)] {
            let fault = policy(&[], threshold).unwrap_err();
            assert_eq!((fault.class, fault.others.len()), (Class::Usage, 2));
            assert!(fault.others[1].what.contains("id-two"));
        }
    }

    #[test]
    fn all_keys_must_sign_unless_a_threshold_says_otherwise() {
        assert_eq!(policy(&["1.pem", "2.pem"], None).unwrap().threshold(), 2);
        assert_eq!(policy(&["1.pem", "2.pem"], Some(1)).unwrap().threshold(), 1);
        for (keys, threshold) in
            [(&["1.pem"][..], Some(0)), (&["1.pem"], Some(2)), (&["1.pem", "1.pem"], None), (&["3.pem"], None)]
        {
            assert_eq!(policy(keys, threshold).unwrap_err().class, Class::Usage, "{keys:?} {threshold:?}");
        }
    }
}
