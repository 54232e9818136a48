//! Bases: content that an earlier bundle delivered, or that a receipt lists at the destination, so
//! that the next bundle can leave it out.
//!
//! The manifest is enough. If the volumes are next to it, its documents show which repository each
//! leaf went to; otherwise the plan asks the source. Nothing here is authenticated: a base is only
//! a hint, which the import verifies.

use std::collections::HashMap;

use crate::base::fault::Fault;
use crate::bundle::{Manifest, Untrusted};
use crate::closure::{Closure, Role};
use crate::decide::select::{Base, Leaf};
use crate::flow::Flow;
use crate::oci::{Digest, Reason, Repository};
use crate::receipt::Receipt;

/// Returns a bundle as a base: the leaves that it carried, and those that its own bases delivered.
///
/// # Errors
/// [`crate::base::fault::Class::Format`] for an invalid manifest,
/// [`crate::base::fault::Class::Cancelled`].
pub fn of_bundle(flow: &Flow, bundle: Untrusted) -> Result<Base, Fault> {
    let (id, manifest) = (bundle.id(), bundle.claimed()?);
    // Missing or damaged volumes are not a fault here.
    let closure = bundle.assume().ok().and_then(|bundle| {
        let is_whole = bundle.survey(flow).is_empty();
        is_whole.then(|| bundle.closure(flow).ok()).flatten()
    });
    flow.check()?;
    Ok(of_manifest(id, manifest, closure.as_ref()))
}

/// Returns a manifest alone as a base.
///
/// # Errors
/// [`crate::base::fault::Class::Format`] for an invalid manifest.
pub fn of_bytes(manifest: &[u8]) -> Result<Base, Fault> {
    Ok(of_manifest(Digest::sha256(manifest), Manifest::parse(manifest)?, None))
}

/// Returns a receipt as a base, under the bundle's id: the leaves that it lists at the destination,
/// from those parts of the bundle that arrived.
pub fn of_receipt(receipt: Receipt) -> Base {
    let leaf = |leaf: crate::receipt::Leaf| (leaf.digest, Leaf { size: leaf.size, repository: Some(leaf.repository) });
    // All leaves state their repository, so no documents have to be read.
    Base { id: receipt.bundle.id, leaves: receipt.blobs.into_iter().map(leaf).collect(), artifacts: Vec::new() }
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
        // The repository that its own base stated, or else the one where this bundle uses it.
        let repository = absent.repository.or_else(|| home(&absent.digest));
        leaves.insert(absent.digest, Leaf { size: absent.size, repository });
    }
    Base { id, leaves, artifacts: manifest.artifacts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Absent;

    /// The worked example of the specification: a manifest, a config, a layer.
    fn salt() -> Manifest {
        let page = include_str!("../../spec/manifest.md");
        let line = page.lines().find(|line| line.starts_with("{\"absent\":[]")).unwrap();
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn m17_a_base_has_what_it_carried_and_what_its_own_bases_had() {
        let mut manifest = salt();
        let told = Repository::exact("registry.example/notes/pepper").unwrap();
        let absent = |text: &str, reason, repository: Option<&Repository>| Absent {
            digest: Digest::sha256(text.as_bytes()),
            reason,
            repository: repository.cloned(),
            size: 7,
        };
        manifest.absent = vec![
            absent("chained", Reason::Base, Some(&told)),
            absent("chained, nobody knows where", Reason::Base, None),
            absent("foreign", Reason::Foreign, None),
            absent("missing", Reason::Missing, None),
            absent("platform", Reason::Platform, None),
        ];
        let layer = manifest.blobs[2].digest;
        let base = of_manifest(Digest::sha256(b"id"), manifest, None);
        assert_eq!(base.leaves.len(), 5, "three blobs, and two of its bases");
        assert_eq!(base.leaves[&layer], Leaf { size: 19, repository: None });
        assert_eq!(base.leaves[&Digest::sha256(b"chained")], Leaf { size: 7, repository: Some(told) });
        assert_eq!(base.artifacts.len(), 1);
    }

    #[test]
    fn m17_the_closure_tells_repositories_and_documents() {
        let manifest = salt();
        let artifact = manifest.artifacts[0].clone();
        let page = include_str!("../../spec/closure.md");
        let document = page.lines().find(|line| line.starts_with("{\"artifactType\":\"text/plain\"")).unwrap();
        let document = crate::oci::Document::parse(&artifact.media_type, document.as_bytes()).unwrap();
        let fetch = |_: &Repository, _: &_| Ok::<_, std::convert::Infallible>(Some(document.clone()));
        let closure = crate::closure::walk([&artifact], fetch).unwrap();
        let base = of_manifest(Digest::sha256(b"id"), manifest, Some(&closure));
        assert_eq!(base.leaves.len(), 2, "the document travels in any case");
        assert!(base.leaves.values().all(|leaf| leaf.repository.as_ref() == Some(&artifact.repository)));
    }
}
