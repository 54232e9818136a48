//! Keeps what a bundle's documents say about its artifacts, for reports. Filled by the one walk
//! that reads them.
//!
//! Filled only on request ([`crate::bundle::Untrusted::learning`]) and if the whole closure is
//! valid. Checks nothing.

use std::collections::HashMap;

use crate::oci::media_type::document_kind;
use crate::oci::{Descriptor, Digest, Document, Platform};

/// Annotations that hold the predicate type of an attestation: BuildKit's, cosign's, sigstore's.
const PREDICATES: [&str; 3] = ["in-toto.io/predicate-type", "predicateType", "dev.sigstore.bundle.predicateType"];

/// Documents by digest.
#[derive(Debug, Default)]
pub struct Catalogue(HashMap<Digest, Entry>);

/// One document.
#[derive(Debug, Default)]
pub struct Entry {
    /// Media type of its config.
    pub config: Option<String>,
    /// Artifact type that it states.
    pub stated: Option<String>,
    /// Predicate types of its attestations.
    pub predicates: Vec<String>,
    /// Documents below it.
    pub children: Vec<Child>,
    /// Digests and sizes in bytes of everything else below it.
    pub leaves: Vec<(Digest, u64)>,
}

/// A document in an index.
#[derive(Debug)]
pub struct Child {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Platform that it is for.
    pub platform: Option<Platform>,
    /// The child that it attests, if it is an attestation.
    pub attests: Option<Digest>,
}

impl Catalogue {
    /// Adds a document.
    pub(in crate::bundle) fn see(&mut self, document: &Document) {
        let mut entry = Entry {
            config: document.config().map(|config| config.media_type.clone()),
            stated: document.artifact_type().map(ToOwned::to_owned),
            ..Entry::default()
        };
        let predicate = |get: &dyn Fn(&str) -> Option<String>| PREDICATES.iter().find_map(|key| get(key));
        entry.predicates.extend(predicate(&|key| document.annotations()?.get(key).cloned()));
        for below in document.references() {
            entry.predicates.extend(predicate(&|key| below.annotation(key).map(ToOwned::to_owned)));
        }
        let leaf = |below: &Descriptor| (below.digest, below.size);
        entry.leaves.extend(document.config().into_iter().chain(document.layers()).map(leaf));
        for child in document.manifests() {
            if document_kind(&child.media_type).is_none() {
                entry.leaves.push(leaf(child));
                continue;
            }
            let (platform, attests) = (child.platform.clone(), child.attests());
            entry.children.push(Child { digest: child.digest, size: child.size, platform, attests });
        }
        self.0.insert(document.digest(), entry);
    }

    /// Returns the entry of a document.
    pub fn get(&self, digest: &Digest) -> Option<&Entry> {
        self.0.get(digest)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oci::media_type::OCI_MANIFEST;

    #[test]
    fn what_a_document_says_of_itself_is_kept() {
        let blob = |kind: &str, content: &[u8]| json!({ "mediaType": kind, "digest": Digest::sha256(content), "size": content.len() });
        let body = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "a/type", "config": blob("a/config", b"{}"),
            "layers": [blob("a/layer", b"abc")], "annotations": { "predicateType": "a/predicate" },
        });
        let document = Document::parse(OCI_MANIFEST, body.to_string().into_bytes()).unwrap();
        let mut catalogue = Catalogue::default();
        catalogue.see(&document);
        let entry = catalogue.get(&document.digest()).unwrap();
        assert_eq!(entry.config.as_deref(), Some("a/config"));
        assert_eq!(entry.stated.as_deref(), Some("a/type"));
        assert_eq!(entry.predicates, ["a/predicate"]);
        assert_eq!(entry.leaves, [(Digest::sha256(b"{}"), 2), (Digest::sha256(b"abc"), 3)]);
        assert!(entry.children.is_empty() && catalogue.get(&Digest::sha256(b"another")).is_none());
    }
}
