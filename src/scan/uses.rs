//! Determines from the documents which artifacts use a blob and which blobs are layers.
//!
//! A blob is a layer if any document lists it as one. No content is read here.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::oci::{Artifact, Digest, Document, Repository, Tag};

/// Maximum number of artifacts that a finding names.
const NAMED: usize = 20;

/// An artifact that uses a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Used {
    /// Repository.
    pub repository: Repository,
    /// Tags.
    pub tags: Vec<Tag>,
    /// Digest.
    pub digest: Digest,
}

#[derive(Debug, Default)]
pub(super) struct Uses {
    parents: HashMap<Digest, Vec<Digest>>,
    layers: HashSet<Digest>,
    encrypted: HashSet<Digest>,
}

/// Whether content of this media type is a tar archive, compressed or not.
pub(super) fn is_layer(media_type: &str) -> bool {
    let name = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    name.split(['.', '+', '/', '-']).any(|word| matches!(word, "tar" | "tgz"))
}

impl Uses {
    /// Records what a document refers to.
    pub(super) fn see(&mut self, document: &Document) {
        for descriptor in document.references() {
            self.parents.entry(descriptor.digest).or_default().push(document.digest());
            if is_layer(&descriptor.media_type) {
                self.layers.insert(descriptor.digest);
            }
            if descriptor.media_type.to_ascii_lowercase().contains("encrypted") {
                self.encrypted.insert(descriptor.digest);
            }
        }
    }

    /// Whether any document says that the blob is encrypted.
    pub(super) fn is_encrypted(&self, blob: &Digest) -> bool {
        self.encrypted.contains(blob)
    }

    /// Whether any document lists the blob as a layer.
    pub(super) fn is_layer(&self, blob: &Digest) -> bool {
        self.layers.contains(blob)
    }

    /// Returns the artifacts that use `blob`, up to a limit, and whether there are more.
    pub(super) fn of(&self, blob: Digest, artifacts: &[Artifact]) -> (Vec<Used>, bool) {
        let mut roots: HashMap<Digest, Vec<&Artifact>> = HashMap::new();
        for artifact in artifacts {
            roots.entry(artifact.digest).or_default().push(artifact);
        }
        let (mut seen, mut next, mut found) = (HashSet::from([blob]), vec![blob], Vec::new());
        while let Some(digest) = next.pop() {
            for artifact in roots.get(&digest).into_iter().flatten() {
                if found.len() == NAMED {
                    return (found, true);
                }
                found.push(Used {
                    repository: artifact.repository.clone(),
                    tags: artifact.tags.clone(),
                    digest: artifact.digest,
                });
            }
            let above = self.parents.get(&digest).into_iter().flatten();
            next.extend(above.filter(|&&parent| seen.insert(parent)));
        }
        (found, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u4_what_one_document_calls_a_layer_is_one_in_whatever_order() {
        use crate::oci::media_type::{OCI_CONFIG, OCI_MANIFEST};
        use crate::oci::{Artifact, Descriptor, Repository};

        let blob = Digest::sha256(b"layer");
        let manifest = |media_type: &str| {
            let config = Descriptor::new(OCI_CONFIG, Digest::sha256(b"{}"), 2);
            let layers = [Descriptor::new(media_type, blob, 5)];
            let json = serde_json::json!({
                "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers,
            });
            Document::parse(OCI_MANIFEST, serde_json::to_vec(&json).unwrap()).unwrap()
        };
        let documents = [manifest("application/octet-stream"), manifest("application/vnd.oci.image.layer.v1.tar")];
        for order in [[0, 1], [1, 0]] {
            let mut uses = Uses::default();
            order.iter().for_each(|&index: &usize| uses.see(&documents[index]));
            assert!(uses.is_layer(&blob) && !uses.is_layer(&Digest::sha256(b"{}")));
            let artifact = |document: &Document, name: &str| Artifact {
                artifact_type: None,
                digest: document.digest(),
                media_type: OCI_MANIFEST.into(),
                original: None,
                repository: Repository::exact(name).unwrap(),
                size: document.size(),
                source: None,
                subject: None,
                tags: Vec::new(),
            };
            let artifacts = [artifact(&documents[0], "reg.example/a"), artifact(&documents[1], "reg.example/b")];
            let (found, more) = uses.of(blob, &artifacts);
            assert_eq!((found.len(), more), (2, false));
            assert_eq!(uses.of(documents[1].digest(), &artifacts).0[0].repository.to_string(), "reg.example/b");
            let many = vec![artifact(&documents[0], "reg.example/a"); NAMED + 1];
            assert!(uses.of(blob, &many).1);
        }
    }

    #[test]
    fn layers_are_known_by_any_tar_in_their_type() {
        for yes in [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.image.rootfs.foreign.diff.tar",
            "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
            "Application/X-TAR; charset=binary",
        ] {
            assert!(is_layer(yes), "{yes}");
        }
        for no in ["application/vnd.oci.image.config.v1+json", "application/octet-stream", "text/target", ""] {
            assert!(!is_layer(no), "{no}");
        }
    }
}
