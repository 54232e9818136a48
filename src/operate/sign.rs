//! Sign: adds signatures to a bundle's signature file, under the lock that its writer also takes,
//! or makes a detached signature file for a read-only bundle.
//!
//! Signs the manifest's bytes as they are, after checking that they are a manifest. Does not decide
//! which keys to trust.

use std::path::Path;

use crate::base::fault::{Class, Fault};
use crate::bundle::write::output::Output;
use crate::bundle::{Error, Untrusted, locate};
use crate::oci::Digest;
use crate::signing::Envelope;

/// A bundle that was signed.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Returns the bundle id.
    pub id: Digest,
    /// All key ids that are now in the signature file.
    pub keyids: Vec<String>,
}

/// Adds the signatures from `add` to the signature file of `bundle`, which is at `path`. Replaces the
/// file atomically.
///
/// # Errors
/// Class format if the manifest or the signature file is invalid, signature if the file belongs to
/// another manifest, usage if there would be more signatures than a file may hold, lock, io; errors
/// of `add`.
pub fn in_bundle(
    path: &Path,
    bundle: &Untrusted,
    add: impl FnOnce(&mut Envelope) -> Result<(), Fault>,
) -> Result<Signed, Fault> {
    bundle.claimed()?;
    let (dir, name) = locate(path)?;
    let output = Output::of_bundle(&dir, &name, true)?;
    // Read again under the lock: another signer may have changed it.
    let now = crate::bundle::open(&dir.join(name.manifest()))?;
    if now.id() != bundle.id() {
        return Err(Error::integrity("manifest: changed while it was being signed"));
    }
    let mut envelope = own(&now)?;
    add(&mut envelope)?;
    output.put(&now.name().signatures(), &written(&envelope)?)?;
    output.sync()?;
    Ok(Signed { id: now.id(), keyids: envelope.keyids().map(ToOwned::to_owned).collect() })
}

/// Returns a detached signature file with the signatures from `add` and, if `with_own`, those in
/// the bundle's own file.
///
/// # Errors
/// Errors of [`in_bundle`], except lock and io.
pub fn detached(
    bundle: &Untrusted,
    with_own: bool,
    add: impl FnOnce(&mut Envelope) -> Result<(), Fault>,
) -> Result<(Signed, Vec<u8>), Fault> {
    bundle.claimed()?;
    let mut envelope = if with_own { own(bundle)? } else { Envelope::new(bundle.statement()) };
    add(&mut envelope)?;
    let bytes = written(&envelope)?;
    Ok((Signed { id: bundle.id(), keyids: envelope.keyids().map(ToOwned::to_owned).collect() }, bytes))
}

/// Returns the bundle's own signature file, or an empty one if there is none.
fn own(bundle: &Untrusted) -> Result<Envelope, Fault> {
    let statement = bundle.statement();
    let envelope = if bundle.has_signature_file() { bundle.envelope()? } else { Envelope::new(statement.clone()) };
    if envelope.payload == statement {
        return Ok(envelope);
    }
    let what = "signature file: its statement is about another manifest";
    Err(Fault::new(Class::Signature, what).help("get manifest and signature file again from the bundle's source"))
}

/// Returns the file's bytes, after checking that a reader accepts them.
fn written(envelope: &Envelope) -> Result<Vec<u8>, Fault> {
    let bytes = envelope.to_bytes();
    match Envelope::parse(&bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Fault::new(Class::Usage, error.to_string())
            .help("keep only those that the policy on the other side requires")),
    }
}
