//! TRUST on the command line: whom a bundle must be signed by. There is no option that skips signatures.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::Session;
use super::order::{Keeper, Side};
use super::owned;
use super::pem::read_public;
use super::world::World;
use crate::fault::{Class, Fault, escape};
use crate::signing::policy::file::MAX_FILE;
use crate::signing::{Policy, PublicKey, policy};

/// The options, for every command that needs trust. None of them is read from the environment.
#[derive(Args, Clone, Debug, Default)]
pub struct Trust {
    /// A public key (PEM) that must have signed; repeat it for more
    #[arg(long = "key", value_name = "PUB", conflicts_with = "policy")]
    pub keys: Vec<PathBuf>,
    /// How many of the keys must have signed [default: all]
    #[arg(long, value_name = "N", conflicts_with = "policy")]
    pub threshold: Option<usize>,
    /// Whose signatures count, and what they may sign [default: /etc/packmule/trust.toml, without --key]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Begin the state of the bundle's channel here: there is none, or none that counts
    #[arg(long)]
    pub init_state: bool,
    /// Take a bundle that is expired, older than the last one, or does not follow it
    #[arg(long)]
    pub allow_stale: bool,
    #[arg(skip)]
    keeper: Option<Arc<Keeper>>,
}

/// Long options whose value is never taken from the environment.
pub const OPTIONS: [&str; 6] = ["key", "threshold", "policy", "signatures", "init-state", "allow-stale"];

impl Trust {
    /// From now on the order of channels is this side's; otherwise it is only looked at.
    pub fn stand(&mut self, side: Side, session: &Session<'_>) -> Arc<Keeper> {
        let keeper = Arc::new(self.keeper(side, session));
        self.keeper = Some(Arc::clone(&keeper));
        keeper
    }

    /// Who keeps the order in this run: as said by [`Trust::stand`], else one that only looks.
    pub fn standing(&mut self, session: &Session<'_>) -> Arc<Keeper> {
        match &self.keeper {
            Some(keeper) => Arc::clone(keeper),
            None => self.stand(Side::Look, session),
        }
    }

    fn keeper(&self, side: Side, session: &Session<'_>) -> Keeper {
        Keeper::new(side, self.init_state, self.allow_stale, session)
    }

    /// Reads keys or policy, before anything of a bundle is looked at; `None` where no trust was given.
    ///
    /// # Errors
    /// Class usage: a key that is none, an impossible threshold, a policy file that others could have written or that
    /// says what cannot be.
    pub fn read(&self, session: &Session<'_>) -> Result<Option<Policy>, Fault> {
        let world = &*session.world;
        if !self.keys.is_empty() {
            let keys = self.keys.iter().map(|path| read_public(path, world)).collect::<Result<_, _>>()?;
            return Ok(Some(Policy::new(keys, self.threshold)?));
        }
        let usual = world.etc.join("packmule/trust.toml");
        match &self.policy {
            Some(path) => read_policy(&world.path(path), world).map(Some),
            None if self.threshold.is_none() && usual.symlink_metadata().is_ok() => {
                read_policy(&usual, world).map(Some)
            }
            None => Ok(None),
        }
    }

    /// The policy. `found` gives the key ids in the bundle's signature file, as far as there is one; asked only
    /// when no trust was given, to name them. The order of its channel is kept as [`Trust::stand`] said.
    ///
    /// # Errors
    /// Class usage: nothing given; those of [`Trust::read`].
    pub fn policy(&mut self, session: &Session<'_>, found: impl FnOnce() -> Vec<String>) -> Result<Policy, Fault> {
        self.standing(session);
        self.policy_of(self.read(session)?, found)
    }

    /// The same with what [`Trust::read`] gave.
    ///
    /// # Errors
    /// Class usage: nothing given.
    pub fn policy_of(&self, read: Option<Policy>, found: impl FnOnce() -> Vec<String>) -> Result<Policy, Fault> {
        let Some(policy) = read else {
            let what = "no trust given: expected --key with a public key or --policy with a file, found neither";
            let mut fault = Fault::new(Class::Usage, what)
                .help("give --key PUB, a file that its holder gave you by another way than the bundle");
            fault.others =
                found().into_iter().map(|id| Fault::new(Class::Usage, format!("signed under key {id}"))).collect();
            return Err(fault);
        };
        Ok(match &self.keeper {
            Some(keeper) => policy.with_order(Arc::clone(keeper) as Arc<dyn crate::signing::Order>),
            None => policy,
        })
    }
}

/// The policy file and the keys that it names, all of them plain files that only root or we can have written.
fn read_policy(path: &Path, world: &World) -> Result<Policy, Fault> {
    let kind = |noun, most| owned::Kind { noun, option: "--policy", most };
    let bytes = owned::read_bytes(path, &kind("policy", MAX_FILE), world)?;
    let dir = path.parent().unwrap_or(Path::new(""));
    policy::file::parse(path, &bytes, |name| {
        let key = dir.join(name);
        let pem = owned::read_bytes(&key, &kind("key", crate::signing::key::MAX_FILE as u64), world)?;
        PublicKey::from_pem(&pem).map_err(|error| {
            let what = format!("key {}: {error}", escape(&key.to_string_lossy()));
            Fault::new(Class::Usage, what).help(error.help())
        })
    })
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
        let globals = Globals {
            json: false,
            progress: progress::Mode::None,
            quiet: false,
            verbose: 0,
            jobs: 1,
            state: None,
            audit: None,
            reports: Vec::new(),
        };
        let session = Session { world: &mut world, flow, globals, audit: None };
        let mut trust = Trust { keys: keys.iter().map(PathBuf::from).collect(), threshold, ..Trust::default() };
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
