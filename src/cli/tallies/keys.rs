//! Keys that sign the tally of a shard.

use std::path::PathBuf;

use crate::base::fault::{Fault, differs, escape};
use crate::cli::world::World;
use crate::cli::writing::signers::load_signers;
use crate::keys::pkcs11::uri::SCHEME;
use crate::signing::Envelope;
use crate::signing::private::signer::Signer;

/// Options for keys.
#[derive(clap::Args, Debug)]
pub struct Signing {
    /// Private key, a PEM file, that signs the tally in FILE.sig.json; repeatable
    #[arg(long, value_name = "KEY", requires = "shard")]
    sign: Vec<PathBuf>,
    /// File with the passphrase of a key, or systemd:NAME; repeat once per key, in the order of the
    /// keys [default: ask]
    #[arg(long, value_name = "FILE", requires = "sign")]
    passphrase_file: Vec<PathBuf>,
}

/// Private keys in memory.
#[derive(Debug)]
pub struct Keys(Vec<Box<dyn Signer>>);

impl Signing {
    /// Loads the keys. A key on a token is refused: a confined process cannot use one.
    ///
    /// # Errors
    /// Class usage.
    pub fn load(&self, world: &mut World) -> Result<Keys, Fault> {
        let is_on_token = |path: &&PathBuf| path.to_string_lossy().starts_with(SCHEME);
        if let Some(path) = self.sign.iter().find(is_on_token) {
            let subject = format!("--sign {}", escape(&path.to_string_lossy()));
            let what = differs(subject, "a PEM file", "a key on a token, which a confined process cannot use");
            return Err(Fault::usage(what, "make a key for this machine: packmule key new"));
        }
        load_signers(&self.sign, &self.passphrase_file, world).map(Keys)
    }
}

impl Keys {
    /// Returns whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the signatures of all keys over `statement`.
    ///
    /// # Errors
    /// Those of [`Signer::sign`].
    pub fn sign(&self, statement: Vec<u8>) -> Result<Envelope, Fault> {
        let mut envelope = Envelope::new(statement);
        self.0.iter().try_for_each(|key| envelope.sign_with(&**key))?;
        Ok(envelope)
    }
}
