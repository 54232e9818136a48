//! TRUST on the command line: who must have signed a bundle. No option skips signatures.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::bundle::Opened;
use crate::base::fault::{Class, Fault, differs, escape};
use crate::bundle::stream::Bytes;
use crate::bundle::volumes::local::read_capped;
use crate::bundle::{Detached, Error, Trusted, Untrusted};
use crate::cli::Session;
use crate::cli::pem::read_public;
use crate::cli::trusted_file;
use crate::cli::world::World;
use crate::operate::freshness::{Keeper, Side, Told};
use crate::signing::policy::file::MAX_FILE;
use crate::signing::{Envelope, Order, Policy, PublicKey, envelope, policy};

/// The options of every command that needs trust. None of them is read from the environment.
#[derive(Args, Clone, Debug, Default)]
pub struct Trust {
    /// Whose signatures count.
    #[command(flatten)]
    pub whom: Whom,
    /// Start the state of the bundle's channel here, if there is none or it no longer counts
    #[arg(long)]
    pub init_state: bool,
}

/// The options of [`Trust`], without the one that starts a state.
#[derive(Args, Clone, Debug, Default)]
pub struct Whom {
    /// Public key (PEM) that must have signed; repeatable
    #[arg(long = "key", value_name = "PUB", conflicts_with = "policy")]
    pub keys: Vec<PathBuf>,
    /// Number of the given keys that must have signed [default: all]
    #[arg(long, value_name = "N", conflicts_with = "policy")]
    pub threshold: Option<usize>,
    /// Policy file that says whose signatures count and what they may sign [default:
    /// /etc/packmule/trust.toml, without --key]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Signature file kept apart from the bundle, as `sign -o` writes it; repeatable
    #[arg(long, value_name = "FILE")]
    pub signatures: Vec<PathBuf>,
    /// Accept a bundle that is expired, older than the last one, or does not follow it
    #[arg(long)]
    pub allow_stale: bool,
}

/// Long options that are never taken from the environment.
pub const OPTIONS: [&str; 6] = ["key", "threshold", "policy", "signatures", "init-state", "allow-stale"];

/// The options, read: whose signatures count, detached signatures, and who keeps the order of
/// channels in this run.
#[derive(Debug)]
pub struct Believed {
    policy: Option<Policy>,
    signatures: Vec<Detached>,
    keeper: Arc<Keeper>,
}

impl Trust {
    /// Reads the keys or the policy before anything of a bundle. `side` says which side keeps the
    /// order of channels.
    ///
    /// # Errors
    /// Class usage: an invalid key, an impossible threshold, a policy file that others could have
    /// written or that is invalid.
    pub fn read(&self, side: Side, session: &Session<'_>) -> Result<Believed, Fault> {
        self.whom.read(self.init_state, side, session)
    }
}

impl Whom {
    /// Returns the name of an option that was given, if any was.
    pub fn given(&self) -> Option<&'static str> {
        let given = [
            ("--key", !self.keys.is_empty()),
            ("--threshold", self.threshold.is_some()),
            ("--policy", self.policy.is_some()),
            ("--signatures", !self.signatures.is_empty()),
            ("--allow-stale", self.allow_stale),
        ];
        given.into_iter().find_map(|(name, is_given)| is_given.then_some(name))
    }

    /// Like [`Trust::read`]; `init` says whether a state may start here.
    ///
    /// # Errors
    /// Those of [`Trust::read`].
    pub fn read(&self, init: bool, side: Side, session: &Session<'_>) -> Result<Believed, Fault> {
        let keeper = Arc::new(Keeper::new(side, init, self.allow_stale, session.store(), session.flow.clock().unix()));
        let policy = self.stated(session.world)?;
        // Only the bytes are read; they are checked once the bundle is there.
        let signatures = self.signatures.iter().map(|path| detached(path, session.world)).collect();
        Ok(Believed { policy, signatures, keeper })
    }

    /// Returns the policy from keys or a policy file; `None` if no trust was given.
    ///
    /// # Errors
    /// Class usage, as for [`Trust::read`].
    pub fn stated(&self, world: &World) -> Result<Option<Policy>, Fault> {
        if !self.keys.is_empty() {
            let keys = self.keys.iter().map(|path| read_public(path, world)).collect::<Result<Vec<_>, _>>()?;
            let shown = self.keys.iter().map(|path| escape(&path.to_string_lossy()));
            let names = keys.iter().map(|key| key.id().to_owned()).zip(shown).collect();
            return Ok(Some(Policy::new(keys, self.threshold)?.with_names(names)));
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
}

impl Believed {
    /// Returns the policy together with the keeper of the order. `bundle` is the result of opening;
    /// it is used only if no trust was given, to list the key ids in its signature file if that can
    /// be read.
    ///
    /// # Errors
    /// Class usage: no trust given.
    pub fn policy(&self, bundle: Result<&Untrusted, &Fault>) -> Result<Policy, Fault> {
        if let Some(policy) = &self.policy {
            return Ok(policy.clone().with_order(Arc::clone(&self.keeper) as Arc<dyn Order>));
        }
        let what = differs("no trust given", "--key with a public key or --policy with a file", "neither");
        let mut fault = Fault::new(Class::Usage, what)
            .help("give --key PUB, a file that its holder gave you by another way than the bundle");
        let found = bundle.ok().and_then(|bundle| bundle.envelope().ok());
        let keyids = found.iter().flat_map(Envelope::keyids);
        fault.others = keyids.map(|id| Fault::new(Class::Usage, format!("signed under key {id}"))).collect();
        Err(fault)
    }

    /// Returns the fault to report for a bundle that cannot be opened: missing trust comes first.
    pub fn before(&self, fault: Fault) -> Fault {
        self.policy(Err(&fault)).err().unwrap_or(fault)
    }

    /// Returns the policy and a keeper of the order for further bundles of this run; `None` if no
    /// trust was given.
    pub fn for_more(&self) -> Option<(Policy, Keeper)> {
        Some((self.policy.clone()?, self.keeper.anew(0)))
    }

    /// Returns the keeper of the order, which also keeps the tags of the channel.
    pub fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// Returns the bundle with the detached signatures added.
    pub fn with_signatures(&self, bundle: Untrusted) -> Untrusted {
        bundle.with_signatures(self.signatures.clone())
    }

    /// Returns what to show of the order of the accepted bundle.
    pub fn order(&self) -> Told {
        self.keeper.told()
    }

    /// Authenticates an open bundle; warns of anything unusual in its order.
    ///
    /// # Errors
    /// Class usage without trust, before any error from opening; those of
    /// [`Untrusted::authenticate`].
    pub fn authenticate(
        &self,
        bundle: Result<Opened, Fault>,
        session: &Session<'_>,
    ) -> Result<(Trusted, Option<Bytes>), Fault> {
        let policy = self.policy(bundle.as_ref().map(|opened| &opened.head))?;
        let Opened { head, rest } = bundle?;
        let bundle = self.with_signatures(head).authenticate(&policy)?;
        self.order().warnings.iter().for_each(|text| session.flow.warn(text.as_str()));
        Ok((bundle, rest))
    }
}

/// Reads a detached signature file: a plain file of limited size.
fn detached(path: &Path, world: &World) -> Detached {
    let name = format!("--signatures {}", escape(&path.to_string_lossy()));
    let bytes = read_capped(&world.path(path), envelope::MAX_FILE as u64).and_then(|bytes| {
        bytes.ok_or_else(|| {
            Error::new(Class::Io, differs(&name, "a file with content", "none")).help("name an existing file")
        })
    });
    Detached { name, bytes }
}

/// Reads the policy file and the keys that it names: plain files that only root or the current user
/// can have written.
fn read_policy(path: &Path, world: &World) -> Result<Policy, Fault> {
    let kind = |noun, most| trusted_file::Kind { noun, option: "--policy", most };
    let bytes = trusted_file::read_bytes(path, &kind("policy", MAX_FILE), world)?;
    let dir = path.parent().unwrap_or(Path::new(""));
    policy::file::parse(path, &bytes, world.clock.unix(), |name| {
        let key = dir.join(name);
        let pem = trusted_file::read_bytes(&key, &kind("key", crate::signing::key::MAX_FILE as u64), world)?;
        PublicKey::from_pem(&pem).map_err(|error| {
            let what = format!("key {}: {error}", escape(&key.to_string_lossy()));
            Fault::new(Class::Usage, what).help(error.help())
        })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cli::reach::Reach;
    use crate::cli::world::World;
    use crate::cli::{Globals, Session, progress};
    use crate::flow::{Flow, Silent};
    use crate::signing::private::SigningKey;

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
        let run_line = |_: &mut Session<'_>, _: &[&str]| Err(Fault::new(Class::Bug, "no command follows"));
        let grammar = || clap::Command::new("packmule");
        let reach = Reach::default();
        let session =
            Session { world: &mut world, flow, globals, audit: None, pipeline_run: None, reach, run_line, grammar };
        let whom = Whom { keys: keys.iter().map(PathBuf::from).collect(), threshold, ..Whom::default() };
        whom.read(false, Side::Look, &session)?.policy(Err(&Fault::new(Class::Io, "no such bundle")))
    }

    #[test]
    fn that_trust_lacks_is_said_before_what_is_wrong_with_the_bundle() {
        for threshold in [None, Some(1)] {
            let fault = policy(&[], threshold).unwrap_err();
            assert!(fault.class == Class::Usage && fault.what.starts_with("no trust given"), "{fault}");
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
