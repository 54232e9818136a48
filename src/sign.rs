//! Sign: adds signatures to a bundle's signature file, under the lock that its writer takes too.
//!
//! The manifest is signed as it lies there. That it is a manifest is checked; whom to believe is not
//! this operation's question.

use crate::bundle::output::Output;
use crate::bundle::{Error, Untrusted};
use crate::fault::Fault;
use crate::oci::Digest;
use crate::signing::{Envelope, SigningKey};

/// What was done.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The bundle id.
    pub id: Digest,
    /// Every key id in the signature file now.
    pub keyids: Vec<String>,
}

/// Signs the manifest of `bundle` with `keys`; a signature under the same key is replaced.
///
/// # Errors
/// Class format where the manifest or the signature file is none, lock, io.
pub fn run(bundle: &Untrusted, keys: &[SigningKey]) -> Result<Signed, Fault> {
    bundle.claimed()?;
    let output = Output::open(bundle.dir(), bundle.name(), true)?;
    // Read again under the lock: another signer may have been faster.
    let now = crate::bundle::open(&bundle.dir().join(bundle.name().manifest()))?;
    if now.id() != bundle.id() {
        return Err(Error::integrity("manifest: changed while it was being signed").into());
    }
    let mut envelope = if now.has_signature_file() { now.envelope()? } else { Envelope::new(now.statement()) };
    if envelope.payload != now.statement() {
        return Err(Error::new(
            crate::fault::Class::Signature,
            "signature file: its statement is about another manifest",
        )
        .help("get manifest and signature file again from the bundle's source")
        .into());
    }
    for key in keys {
        envelope.sign(key);
    }
    output.put(&now.name().signatures(), &envelope.to_bytes())?;
    output.sync()?;
    Ok(Signed { id: now.id(), keyids: envelope.keyids().map(ToOwned::to_owned).collect() })
}
