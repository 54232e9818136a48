//! What a bundle's documents say of its artifacts, kept from the one walk that reads them: for reports.
//!
//! Filled only where someone asked for it ([`super::Untrusted::learning`]) and the whole closure holds. Judges nothing.

use std::collections::HashMap;

use crate::oci::media_type::document_kind;
use crate::oci::{Descriptor, Digest, Document, Platform};

/// Annotations that say what an attestation speaks of: BuildKit's, cosign's, sigstore's.
const PREDICATES: [&str; 3] = ["in-toto.io/predicate-type", "predicateType", "dev.sigstore.bundle.predicateType"];

/// The documents.
#[derive(Debug, Default)]
pub struct Catalogue(HashMap<Digest, Entry>);

/// One document.
#[derive(Debug, Default)]
pub struct Entry {
    /// The media type of its config.
    pub config: Option<String>,
    /// The type that it states.
    pub stated: Option<String>,
    /// What its attestations speak of.
    pub predicates: Vec<String>,
    /// The documents below it.
    pub children: Vec<Child>,
    /// What else is below it: digests and sizes in bytes.
    pub leaves: Vec<(Digest, u64)>,
}

/// A document in an index.
#[derive(Debug)]
pub struct Child {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What it is for.
    pub platform: Option<Platform>,
    /// The child that it speaks of, if it is an attestation.
    pub attests: Option<Digest>,
}

impl Catalogue {
    /// Takes in a document.
    pub(super) fn see(&mut self, document: &Document) {
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

    /// What is known of a document.
    pub fn get(&self, digest: &Digest) -> Option<&Entry> {
        self.0.get(digest)
    }
}
