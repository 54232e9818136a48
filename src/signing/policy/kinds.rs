//! Rules about what artifacts are, which only their documents show: allowed types, referrers that images must bring.
//!
//! Documents are shown to it as they are read; nothing is fetched here.

use std::collections::{HashMap, HashSet};

use super::section::{Rules, list};
use crate::oci::media_type::{OCI_CONFIG, document_kind};
use crate::oci::{Artifact, Descriptor, Digest, Document, Repository};

/// The config of Docker's images.
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// What was seen of the documents so far.
pub struct Kinds<'a> {
    rules: &'a Rules,
    seen: HashMap<Digest, Seen>,
}

struct Seen {
    // `artifactType`, else the config's media type; none of a plain index.
    kind: Option<String>,
    // By its config, whatever its artifactType says: what runs it does not ask for that.
    is_image: bool,
    // Of an index: what it holds for a platform, attestations left out; and whether that is a document.
    children: Vec<(Digest, bool)>,
}

impl<'a> Kinds<'a> {
    /// For these rules.
    pub fn new(rules: &'a Rules) -> Self {
        Self { rules, seen: HashMap::new() }
    }

    /// Takes a document into account.
    pub fn see(&mut self, document: &Document) {
        if self.rules.types.is_none() && self.rules.referrers.is_empty() {
            return;
        }
        let config = document.config().map(|config| config.media_type.as_str());
        let own = document.artifact_type();
        let is_image = config.is_some_and(|kind| kind == OCI_CONFIG || kind == DOCKER_CONFIG);
        let for_a_platform = document
            .manifests()
            .iter()
            .filter(|child| !child.platform.as_ref().is_some_and(crate::oci::Platform::is_unknown));
        let is_document = |child: &Descriptor| document_kind(&child.media_type).is_some();
        let children = for_a_platform.map(|child| (child.digest, is_document(child))).collect();
        self.seen.insert(document.digest(), Seen { kind: own.or(config).map(ToOwned::to_owned), is_image, children });
    }

    /// What the rules forbid, once all documents were seen.
    pub fn forbidden(&self, artifacts: &[Artifact]) -> Option<String> {
        let mut wrong = Vec::new();
        if let Some(allowed) = &self.rules.types {
            let mut others: Vec<String> = self.seen.values().filter_map(|seen| seen.kind.clone()).collect();
            others.retain(|kind| !allowed.iter().any(|glob| glob.matches(kind)));
            others.sort();
            others.dedup();
            if !others.is_empty() {
                wrong.push(format!("expected artifacts of allowed types only, found {}", list(&others)));
            }
        }
        for demanded in &self.rules.referrers {
            let brought: HashSet<(&Repository, Digest)> = artifacts
                .iter()
                .filter(|one| self.kind(&one.digest).is_some_and(|kind| demanded.matches(kind)))
                .filter_map(|one| Some((&one.repository, one.subject?)))
                .collect();
            let lack: Vec<String> = artifacts
                .iter()
                .filter(|one| self.is_image(one) && !self.has(&brought, one))
                .map(|one| format!("{}@{}", one.repository, one.digest))
                .collect();
            if !lack.is_empty() {
                wrong.push(format!(
                    "expected a referrer of type {} with every image, found none with {}",
                    demanded.as_str(),
                    list(&lack)
                ));
            }
        }
        (!wrong.is_empty()).then(|| format!("policy: {}", wrong.join("; ")))
    }

    fn kind(&self, digest: &Digest) -> Option<&str> {
        self.seen.get(digest)?.kind.as_deref()
    }

    /// An image, or an index of images; not a referrer, nor what cosign keeps under tags of its own.
    fn is_image(&self, artifact: &Artifact) -> bool {
        let of_cosign = |text: &str| {
            let hex = text.strip_prefix("sha256-").and_then(|rest| rest.split_once('.'));
            let is_hex =
                |hex: &str| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            hex.is_some_and(|(hex, end)| is_hex(hex) && matches!(end, "sig" | "att" | "sbom"))
        };
        let kept_by_cosign = !artifact.tags.is_empty() && artifact.tags.iter().all(|tag| of_cosign(&tag.to_string()));
        artifact.subject.is_none() && !kept_by_cosign && self.leads_to_image(artifact.digest, &mut HashSet::new())
    }

    fn leads_to_image(&self, digest: Digest, met: &mut HashSet<Digest>) -> bool {
        let Some(seen) = self.seen.get(&digest).filter(|_| met.insert(digest)) else { return false };
        seen.is_image
            || seen.children.iter().any(|(child, is_document)| *is_document && self.leads_to_image(*child, met))
    }

    /// With the artifact itself, or with each of its platforms.
    fn has(&self, brought: &HashSet<(&Repository, Digest)>, artifact: &Artifact) -> bool {
        let with = |digest: &Digest| brought.contains(&(&artifact.repository, *digest));
        let children = self.seen.get(&artifact.digest).map_or(&[][..], |seen| &seen.children);
        with(&artifact.digest) || !children.is_empty() && children.iter().all(|(child, _)| with(child))
    }
}
