//! The closure: everything that artifacts reach, depth first, in order of first use.
//!
//! Position and type distinguish documents from leaves (`spec/closure.md`). The walk gets documents
//! from its caller and accesses no place itself. The subject is not followed.

use std::collections::{HashMap, HashSet};

use crate::oci::media_type::document_kind;
use crate::oci::{Artifact, Descriptor, Digest, Document, Repository};

/// Maximum number of levels of documents, counting the artifact's own document as the first.
pub const MAX_LEVELS: usize = 8;

/// Kind of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A manifest or index that was followed, or would have been.
    Document,
    /// Content that is not read.
    Leaf,
}

/// One digest of the closure.
#[derive(Clone, Debug)]
pub struct Node {
    /// Descriptor at its first use.
    pub descriptor: Descriptor,
    /// Repository of the artifact that used it first.
    pub repository: Repository,
    /// [`Role::Document`] if it is a document anywhere.
    pub role: Role,
    /// Whether it is a leaf anywhere, even if it is also a document.
    pub leaf: bool,
    /// Whether the place reported that it does not have this document. Its children are unknown
    /// then.
    pub absent: bool,
}

/// Everything that is reachable, each digest once, in order of first use.
#[derive(Debug, Default)]
pub struct Closure {
    /// Nodes in order of first use.
    pub nodes: Vec<Node>,
    index: HashMap<Digest, usize>,
}

/// Reason why a walk failed.
#[derive(Debug, thiserror::Error)]
pub enum WalkError<E> {
    /// More than [`MAX_LEVELS`] levels of documents.
    #[error("manifest {0}: expected at most {MAX_LEVELS} levels of manifests below an artifact, found more")]
    Depth(Digest),
    /// A document that contains itself.
    #[error("manifest {0}: contains itself")]
    Cycle(Digest),
    /// A digest with two sizes.
    #[error("blob {digest}: expected {expected} bytes as in its first use, found {found}")]
    Size {
        /// Digest of the content.
        digest: Digest,
        /// Size at its first use.
        expected: u64,
        /// Different size found later.
        found: u64,
    },
    /// A document with two media types.
    #[error("manifest {digest}: expected media type {expected:?} as in its first use, found {found:?}")]
    Type {
        /// Digest of the content.
        digest: Digest,
        /// Media type at its first use.
        expected: String,
        /// Different media type found later.
        found: String,
    },
    /// The caller could not provide a document.
    #[error(transparent)]
    Fetch(E),
}

impl Closure {
    /// Returns the node of a digest.
    pub fn get(&self, digest: &Digest) -> Option<&Node> {
        self.index.get(digest).map(|&index| &self.nodes[index])
    }

    /// Returns the documents, in order of first use.
    pub fn documents(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.role == Role::Document)
    }

    /// Returns the leaves, in order of first use.
    pub fn leaves(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.role == Role::Leaf)
    }

    fn add<E>(&mut self, repository: &Repository, descriptor: &Descriptor, role: Role) -> Result<usize, WalkError<E>> {
        if let Some(&index) = self.index.get(&descriptor.digest) {
            let node = &mut self.nodes[index];
            if node.descriptor.size != descriptor.size {
                return Err(WalkError::Size {
                    digest: descriptor.digest,
                    expected: node.descriptor.size,
                    found: descriptor.size,
                });
            }
            node.leaf |= role == Role::Leaf;
            if role == Role::Document && node.role == Role::Leaf {
                node.role = Role::Document;
                node.descriptor = descriptor.clone();
            }
            return Ok(index);
        }
        let index = self.nodes.len();
        self.index.insert(descriptor.digest, index);
        self.nodes.push(Node {
            descriptor: descriptor.clone(),
            repository: repository.clone(),
            role,
            leaf: role == Role::Leaf,
            absent: false,
        });
        Ok(index)
    }
}

struct Walk<F> {
    closure: Closure,
    fetch: F,
    // Number of levels of documents from this one down, including itself; known once it was walked.
    heights: HashMap<Digest, usize>,
    open: HashSet<Digest>,
}

impl<F, E> Walk<F>
where
    F: FnMut(&Repository, &Descriptor) -> Result<Option<Document>, E>,
{
    fn document(
        &mut self,
        repository: &Repository,
        descriptor: &Descriptor,
        level: usize,
    ) -> Result<usize, WalkError<E>> {
        let digest = descriptor.digest;
        if self.open.contains(&digest) {
            return Err(WalkError::Cycle(digest));
        }
        let index = self.closure.add(repository, descriptor, Role::Document)?;
        if let Some(&height) = self.heights.get(&digest) {
            let first = &self.closure.nodes[index].descriptor.media_type;
            if *first != descriptor.media_type {
                let (expected, found) = (first.clone(), descriptor.media_type.clone());
                return Err(WalkError::Type { digest, expected, found });
            }
            return if level + height > MAX_LEVELS + 1 { Err(WalkError::Depth(digest)) } else { Ok(height) };
        }
        if level > MAX_LEVELS {
            return Err(WalkError::Depth(digest));
        }
        let mut height = 1;
        match (self.fetch)(repository, descriptor).map_err(WalkError::Fetch)? {
            None => self.closure.nodes[index].absent = true,
            Some(document) => {
                self.open.insert(digest);
                for below in document.config().into_iter().chain(document.layers()) {
                    self.closure.add(repository, below, Role::Leaf)?;
                }
                for child in document.manifests() {
                    if document_kind(&child.media_type).is_some() {
                        height = height.max(1 + self.document(repository, child, level + 1)?);
                    } else {
                        self.closure.add(repository, child, Role::Leaf)?;
                    }
                }
                self.open.remove(&digest);
            }
        }
        self.heights.insert(digest, height);
        Ok(height)
    }
}

/// Walks from `artifacts`, and calls `fetch` once for each document. `Ok(None)` from `fetch` means
/// that the document is not available (an omitted child, a sparse index), so that nothing below it
/// is known.
///
/// # Errors
/// [`WalkError`]; the first error ends the walk.
pub fn walk<'a, E>(
    artifacts: impl IntoIterator<Item = &'a Artifact>,
    fetch: impl FnMut(&Repository, &Descriptor) -> Result<Option<Document>, E>,
) -> Result<Closure, WalkError<E>> {
    let mut walk = Walk { closure: Closure::default(), fetch, heights: HashMap::new(), open: HashSet::new() };
    for artifact in artifacts {
        walk.document(&artifact.repository, &artifact.descriptor(), 1)?;
    }
    Ok(walk.closure)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::oci::media_type::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};

    #[derive(Default)]
    struct Store(HashMap<Digest, Document>);

    impl Store {
        fn put(&mut self, media_type: &str, json: &serde_json::Value) -> Descriptor {
            let document = Document::parse(media_type, serde_json::to_vec(json).unwrap()).unwrap();
            let descriptor = document.descriptor();
            self.0.insert(document.digest(), document);
            descriptor
        }

        fn manifest(&mut self, layers: &[Descriptor]) -> Descriptor {
            let config = Descriptor::new(OCI_CONFIG, Digest::sha256(b"{}"), 2);
            let json =
                serde_json::json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
            self.put(OCI_MANIFEST, &json)
        }

        fn index(&mut self, children: &[Descriptor]) -> Descriptor {
            let json = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children});
            self.put(OCI_INDEX, &json)
        }

        fn walk(&self, roots: &[Descriptor]) -> Result<Closure, WalkError<Infallible>> {
            let artifacts: Vec<Artifact> = roots.iter().map(artifact).collect();
            walk(&artifacts, |_, descriptor| Ok(self.0.get(&descriptor.digest).cloned()))
        }
    }

    fn artifact(descriptor: &Descriptor) -> Artifact {
        Artifact {
            artifact_type: None,
            digest: descriptor.digest,
            media_type: descriptor.media_type.clone(),
            original: None,
            repository: Repository::exact("localhost/a").unwrap(),
            size: descriptor.size,
            source: None,
            subject: None,
            tags: Vec::new(),
        }
    }

    fn layer(text: &str) -> Descriptor {
        Descriptor::new("x/layer", Digest::sha256(text.as_bytes()), text.len() as u64)
    }

    #[test]
    fn order_is_of_first_use_depth_first() {
        let mut store = Store::default();
        let (a, b) = (store.manifest(&[layer("1"), layer("22")]), store.manifest(&[layer("22"), layer("333")]));
        let index = store.index(&[a.clone(), b.clone()]);
        let closure = store.walk(&[index.clone(), b.clone()]).unwrap();
        let digests: Vec<Digest> = closure.nodes.iter().map(|node| node.descriptor.digest).collect();
        let config = Digest::sha256(b"{}");
        let expected =
            [index.digest, a.digest, config, layer("1").digest, layer("22").digest, b.digest, layer("333").digest];
        assert_eq!(digests, expected);
    }

    #[test]
    fn a_manifest_listed_as_a_layer_is_a_leaf_until_it_is_reached_as_a_document() {
        let mut store = Store::default();
        let inner = store.manifest(&[layer("1")]);
        let outer = store.manifest(std::slice::from_ref(&inner));
        let closure = store.walk(std::slice::from_ref(&outer)).unwrap();
        assert_eq!(closure.get(&inner.digest).unwrap().role, Role::Leaf);
        assert!(closure.get(&layer("1").digest).is_none());
        let closure = store.walk(&[outer, inner.clone()]).unwrap();
        assert_eq!(closure.get(&inner.digest).unwrap().role, Role::Document);
        assert!(closure.get(&layer("1").digest).is_some());
    }

    #[test]
    fn m5_depth_counts_from_every_root() {
        let mut store = Store::default();
        let mut chain = vec![store.manifest(&[])];
        for _ in 0..8 {
            let below = chain.last().unwrap().clone();
            chain.push(store.index(&[below]));
        }
        assert!(store.walk(&chain[7..8]).is_ok());
        assert!(matches!(store.walk(&chain[8..9]), Err(WalkError::Depth(_))));
        // Reached from a shallow root first, too deep from the second.
        assert!(matches!(store.walk(&[chain[7].clone(), chain[8].clone()]), Err(WalkError::Depth(_))));
    }

    #[test]
    fn m10_two_sizes_are_refused() {
        let mut store = Store::default();
        let mut wrong = layer("1");
        wrong.size = 7;
        let manifest = store.manifest(&[layer("1"), wrong]);
        assert!(matches!(store.walk(&[manifest]), Err(WalkError::Size { found: 7, .. })));
    }

    #[test]
    fn an_absent_child_ends_the_walk_below_it() {
        let mut store = Store::default();
        let child = store.manifest(&[layer("1")]);
        let index = store.index(std::slice::from_ref(&child));
        store.0.remove(&child.digest);
        let closure = store.walk(&[index]).unwrap();
        assert!(closure.get(&child.digest).unwrap().absent);
        assert_eq!(closure.nodes.len(), 2);
    }
}
