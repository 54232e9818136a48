//! TRUST on the command line: whom a bundle must be signed by. There is no option that skips signatures.

use std::path::PathBuf;

use clap::Args;

use super::Session;
use super::key::read_public;
use crate::fault::{Class, Fault};
use crate::signing::Policy;

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

    /// The policy. `found` gives the key ids in the bundle's signature file, as far as there is one; asked only
    /// when no trust was given, to name them.
    ///
    /// # Errors
    /// Class usage: nothing given, a key that is none, an impossible threshold.
    pub fn policy(&self, session: &Session<'_>, found: impl FnOnce() -> Vec<String>) -> Result<Policy, Fault> {
        if self.keys.is_empty() {
            let mut fault = Fault::new(Class::Usage, "no trust given: expected --key with a public key, found none")
                .help("give --key PUB, a file that its holder gave you by another way than the bundle");
            fault.others =
                found().into_iter().map(|id| Fault::new(Class::Usage, format!("signed under key {id}"))).collect();
            return Err(fault);
        }
        let keys = self.keys.iter().map(|path| read_public(path, session.world)).collect::<Result<_, _>>()?;
        Ok(Policy::new(keys, self.threshold)?)
    }
}
