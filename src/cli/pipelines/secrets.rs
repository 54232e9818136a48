//! Keys that a table names, with the passphrase from its SECRET.

use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::cli::network::{Network, registries};
use crate::cli::writing::signers::load_configured;
use crate::content::Kind;
use crate::secret::Secret;
use crate::signing::private::signer::Signer;

/// Loads keys.
///
/// # Errors
/// Class usage for a key or a passphrase that cannot be used; class source if a vault fails.
pub(super) fn signers(
    keys: &[PathBuf],
    passphrase: Option<&Secret>,
    network: &Network,
    session: &mut Session<'_>,
) -> Result<Vec<Box<dyn Signer>>, Fault> {
    let passphrase = passphrase.map(|secret| read(secret, network, session)).transpose()?;
    load_configured(keys, passphrase.as_ref().map(|text| text.as_str()), session.world)
}

/// Reads a secret.
///
/// # Errors
/// Class usage if it is missing or unusable; class source if a vault fails.
pub(super) fn read(secret: &Secret, network: &Network, session: &Session<'_>) -> Result<Zeroizing<String>, Fault> {
    let config = Arc::new(network.config.load(session.world)?);
    let sources = registries::sources(network, session, config)?;
    let read = sources.secret(secret, None).and_then(|source| source.read(false));
    read.map_err(|error| {
        let class = if error.class == Kind::Policy { Class::Usage } else { Class::Source };
        let mut fault = error.into_fault(Class::Source);
        fault.class = class;
        fault.what = format!("passphrase: {}", fault.what);
        fault
    })
}
