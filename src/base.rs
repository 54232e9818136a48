//! Base: what an earlier bundle has delivered, for leaving it out of the next one.
//!
//! The manifest is enough. Where the volumes lie beside it, its documents say which repository each leaf went to; else
//! the plan asks the source. Nothing here is authenticated: what a base says is a hint, proved at the import.

use std::collections::HashMap;

use crate::bundle::{Manifest, Untrusted};
use crate::closure::{Closure, Role};
use crate::fault::Fault;
use crate::flow::Flow;
use crate::oci::{Digest, Reason, Repository};
use crate::select::{Base, Leaf};

/// The base that a bundle is: what it carried, and what it found delivered by its own bases.
///
/// # Errors
/// [`crate::fault::Class::Format`] for a manifest that is none, [`crate::fault::Class::Cancelled`].
pub fn of_bundle(flow: &Flow, bundle: Untrusted) -> Result<Base, Fault> {
    let (id, manifest) = (bundle.id(), bundle.claimed()?);
    // Whatever is wrong with the volumes, or that there are none, is no fault here.
    let closure = bundle.assume().ok().and_then(|bundle| {
        let is_whole = bundle.survey().is_empty();
        is_whole.then(|| bundle.closure(flow).ok()).flatten()
    });
    flow.check()?;
    Ok(of_manifest(id, manifest, closure.as_ref()))
}

fn of_manifest(id: Digest, manifest: Manifest, closure: Option<&Closure>) -> Base {
    let home = |digest: &Digest| -> Option<Repository> { Some(closure?.get(digest)?.repository.clone()) };
    let is_leaf = |digest: &Digest| {
        let node = closure.and_then(|closure| closure.get(digest));
        node.is_none_or(|node| node.role == Role::Leaf || node.leaf)
    };
    let mut leaves = HashMap::with_capacity(manifest.blobs.len());
    for blob in manifest.blobs.iter().filter(|blob| is_leaf(&blob.digest)) {
        leaves.insert(blob.digest, Leaf { size: blob.size, repository: home(&blob.digest) });
    }
    for absent in manifest.absent.into_iter().filter(|absent| absent.reason == Reason::Base) {
        // Named by its own base, or else where this one was to take it.
        let repository = absent.repository.or_else(|| home(&absent.digest));
        leaves.insert(absent.digest, Leaf { size: absent.size, repository });
    }
    Base { id, leaves, artifacts: manifest.artifacts }
}
