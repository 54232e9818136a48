//! Facts that a cache knows besides its store: which tags it has and when to look at them again, which
//! blobs its manifests name, which manifests refer to which.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::oci::media_type::document_kind;
use crate::oci::{Digest, Document, Repository, Tag};

/// A tag in the cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptTag {
    pub(super) digest: Digest,
    /// When to look at it again; `None`: now.
    pub(super) next: Option<Duration>,
}

/// All of it.
#[derive(Default)]
pub(super) struct Known {
    pub(super) tags: BTreeMap<Repository, BTreeMap<Tag, KeptTag>>,
    // Sizes of blobs, as manifests of the repository state them: one upstream must not say how large the
    // blobs of another one are. `None`: a manifest whose repository is not known any more.
    leaves: HashMap<(Option<Repository>, Digest), u64>,
    // Manifests of each repository whose blobs are known.
    learned: HashSet<(Option<Repository>, Digest)>,
    /// Manifests that indexes name.
    pub(super) children: HashSet<Digest>,
    pub(super) referrers: HashMap<Digest, BTreeSet<Digest>>,
    /// Lists of tags, and until when they count.
    pub(super) lists: HashMap<Repository, (Duration, Vec<Tag>)>,
    /// Subjects whose referrers were listed, and until when that counts.
    pub(super) listed: HashMap<(Repository, Digest), Duration>,
    /// Warnings that were given.
    pub(super) warned: HashSet<String>,
}

impl Known {
    /// Remembers everything that a manifest of a repository names. Returns its manifests that are new
    /// here.
    pub(super) fn learn(&mut self, repository: Option<&Repository>, document: &Document) -> Vec<Digest> {
        let key = |digest: Digest| (repository.cloned(), digest);
        if !self.learned.insert(key(document.digest())) {
            return Vec::new();
        }
        let mut below = Vec::new();
        for leaf in document.config().into_iter().chain(document.layers()) {
            self.leaves.insert(key(leaf.digest), leaf.size);
        }
        for child in document.manifests() {
            if document_kind(&child.media_type).is_some() {
                self.children.insert(child.digest);
                below.push(child.digest);
            } else {
                self.leaves.insert(key(child.digest), child.size);
            }
        }
        if let Some(subject) = document.subject() {
            self.referrers.entry(subject.digest).or_default().insert(document.digest());
        }
        below
    }

    /// Returns the size of a blob that a manifest of the repository names.
    pub(super) fn size(&self, repository: &Repository, digest: Digest) -> Option<u64> {
        let own = self.leaves.get(&(Some(repository.clone()), digest));
        own.or_else(|| self.leaves.get(&(None, digest))).copied()
    }

    pub(super) fn tag(&self, repository: &Repository, tag: &Tag) -> Option<KeptTag> {
        self.tags.get(repository)?.get(tag).copied()
    }

    pub(super) fn set_tag(&mut self, repository: &Repository, tag: &Tag, kept: KeptTag) {
        self.tags.entry(repository.clone()).or_default().insert(tag.clone(), kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type::OCI_MANIFEST;

    #[test]
    fn c9_an_upstream_does_not_say_how_large_the_blobs_of_another_are() {
        let blob = Digest::sha256(b"blob");
        let manifest = |size: u64| {
            let leaf = serde_json::json!({"mediaType": "a/b", "digest": blob, "size": size});
            let json = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": leaf, "layers": []});
            Document::parse(OCI_MANIFEST, json.to_string().into_bytes()).unwrap()
        };
        let [good, evil, other] =
            ["good.example/a", "evil.example/a", "third.example/a"].map(|name| Repository::exact(name).unwrap());
        let mut known = Known::default();
        known.learn(Some(&good), &manifest(4));
        known.learn(Some(&evil), &manifest(9));
        known.learn(None, &manifest(7));
        assert_eq!([&good, &evil, &other].map(|one| known.size(one, blob)), [Some(4), Some(9), Some(7)]);
    }
}
