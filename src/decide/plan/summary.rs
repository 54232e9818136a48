//! A plan as numbers, for showing it before it is performed.
//!
//! Pure: it reads the plan and nothing else.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::Plan;
use crate::oci::{Artifact, Digest, Repository, Tag};

/// What a plan comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// In the plan's order.
    pub artifacts: Vec<ArtifactSummary>,
    /// How many blobs, documents included, each once.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What the artifacts would come to without sharing, in bytes.
    pub bytes_unshared: u64,
    /// How many blobs are reachable and not carried.
    pub absent: u64,
    /// Their bytes, as far as known: nothing is known below an absent document.
    pub absent_bytes: u64,
}

/// What one artifact comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactSummary {
    /// Under which name it travels.
    pub repository: Repository,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Its digest.
    pub digest: Digest,
    /// The source's digest, where a filter made something else of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<Digest>,
    /// The type that it states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What it refers to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// Bytes of all blobs that it reaches and that are carried, each once.
    pub bytes: u64,
    /// Bytes among them that other artifacts of the plan reach as well.
    pub shared: u64,
}

impl Plan {
    /// The plan as numbers.
    pub fn summary(&self) -> Summary {
        let sizes: HashMap<Digest, u64> =
            self.blobs.iter().map(|blob| (blob.descriptor.digest, blob.descriptor.size)).collect();
        let mut users: HashMap<Digest, u32> = HashMap::new();
        let reach: Vec<HashSet<Digest>> = self.artifacts.iter().map(|artifact| self.reach(artifact, &sizes)).collect();
        for digest in reach.iter().flatten() {
            *users.entry(*digest).or_default() += 1;
        }
        let sum = |digests: &HashSet<Digest>, least: u32| {
            let counted = digests.iter().filter(|digest| users.get(digest).is_some_and(|users| *users >= least));
            counted.filter_map(|digest| sizes.get(digest)).fold(0, |sum: u64, size| sum.saturating_add(*size))
        };
        let artifacts: Vec<ArtifactSummary> = (self.artifacts.iter().zip(&reach))
            .map(|(artifact, digests)| ArtifactSummary {
                repository: artifact.repository.clone(),
                tags: artifact.tags.clone(),
                digest: artifact.digest,
                original: artifact.original,
                artifact_type: artifact.artifact_type.clone(),
                subject: artifact.subject,
                bytes: sum(digests, 1),
                shared: sum(digests, 2),
            })
            .collect();
        Summary {
            blobs: self.blobs.len() as u64,
            bytes: self.total_bytes(),
            bytes_unshared: artifacts.iter().fold(0, |sum: u64, artifact| sum.saturating_add(artifact.bytes)),
            absent: self.absent.len() as u64,
            absent_bytes: self.absent.iter().fold(0, |sum: u64, absent| sum.saturating_add(absent.size)),
            artifacts,
        }
    }

    fn reach(&self, artifact: &Artifact, sizes: &HashMap<Digest, u64>) -> HashSet<Digest> {
        let mut reached = HashSet::new();
        // A digest may stand as a leaf first and be followed later, so what was followed is its own set.
        let mut followed = HashSet::new();
        let mut open = vec![artifact.digest];
        while let Some(digest) = open.pop() {
            if !sizes.contains_key(&digest) || !followed.insert(digest) {
                continue;
            }
            reached.insert(digest);
            let Some(document) = self.documents.get(&digest) else { continue };
            reached.extend(document.config().into_iter().chain(document.layers()).map(|leaf| leaf.digest));
            open.extend(document.manifests().iter().map(|child| child.digest));
        }
        reached
    }
}
