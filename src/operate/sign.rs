//! Sign: adds signatures to a bundle's signature file, under the lock that its writer takes too; or makes a signature
//! file that lies apart, for a bundle that nobody may write to.
//!
//! The manifest is signed as it lies there. That it is a manifest is checked; whom to believe is not
//! this operation's question.

use std::path::Path;

use crate::base::fault::{Class, Fault};
use crate::bundle::write::output::Output;
use crate::bundle::{Error, Untrusted, locate};
use crate::oci::Digest;
use crate::signing::Envelope;

/// A bundle that was signed.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The bundle id.
    pub id: Digest,
    /// Every key id in the signature file now.
    pub keyids: Vec<String>,
}

/// Adds what `add` puts in to the signature file of `bundle`, which lies at `path`, by atomic replacement.
///
/// # Errors
/// Class format where the manifest or the signature file is none, signature where it is another manifest's, usage where
/// there would be more than a file may hold, lock, io; those of `add`.
pub fn in_bundle(
    path: &Path,
    bundle: &Untrusted,
    add: impl FnOnce(&mut Envelope) -> Result<(), Fault>,
) -> Result<Signed, Fault> {
    bundle.claimed()?;
    let (dir, name) = locate(path)?;
    let output = Output::of_bundle(&dir, &name, true)?;
    // Read again under the lock: another signer may have been faster.
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

/// A signature file that lies apart, with what `add` puts in; with what the bundle's own has, if `with_own`.
///
/// # Errors
/// Those of [`in_bundle`], except lock and io.
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

/// The bundle's own signature file; an empty one where there is none.
fn own(bundle: &Untrusted) -> Result<Envelope, Fault> {
    let statement = bundle.statement();
    let envelope = if bundle.has_signature_file() { bundle.envelope()? } else { Envelope::new(statement.clone()) };
    if envelope.payload == statement {
        return Ok(envelope);
    }
    let what = "signature file: its statement is about another manifest";
    Err(Fault::new(Class::Signature, what).help("get manifest and signature file again from the bundle's source"))
}

/// The file's bytes, as a reader takes them.
fn written(envelope: &Envelope) -> Result<Vec<u8>, Fault> {
    let bytes = envelope.to_bytes();
    match Envelope::parse(&bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Fault::new(Class::Usage, error.to_string())
            .help("no bundle needs as many: keep those that the policy on the other side asks for")),
    }
}
