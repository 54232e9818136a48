//! Totals of a plan, to be shown before it is performed.
//!
//! Pure: reads only the plan.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::Plan;
use crate::oci::{Artifact, Digest, Repository, Tag};

/// Size of a block of the tar stream, in bytes.
const BLOCK: u64 = 512;

/// Totals of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Artifacts, in the plan's order.
    pub artifacts: Vec<ArtifactSummary>,
    /// Number of blobs, including documents, each counted once.
    pub blobs: u64,
    /// Bytes of these blobs.
    pub bytes: u64,
    /// Bytes that the artifacts would need without sharing.
    pub bytes_unshared: u64,
    /// Number of reachable blobs that are not carried.
    pub absent: u64,
    /// Bytes of these blobs, as far as known: nothing is known about content below an absent
    /// document.
    pub absent_bytes: u64,
}

/// Totals of one artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactSummary {
    /// Repository that it is carried under.
    pub repository: Repository,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Its digest.
    pub digest: Digest,
    /// Digest at the source, if a filter changed the artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<Digest>,
    /// Repository at the source, if it is carried under another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Repository>,
    /// Artifact type, if stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Digest of its subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// Bytes of all carried blobs that it reaches, each counted once.
    pub bytes: u64,
    /// Bytes of those that other artifacts of the plan also reach.
    pub shared: u64,
}

impl Plan {
    /// Returns the totals of the plan.
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
                source: artifact.source.clone(),
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

    /// Returns at most how many volumes of `size` bytes the content takes: as many as if nothing were
    /// compressed.
    pub fn volumes(&self, size: u64) -> u64 {
        let member = |bytes: u64| bytes.checked_next_multiple_of(BLOCK).unwrap_or(bytes).saturating_add(BLOCK);
        let bytes = self.blobs.iter().fold(0_u64, |sum, blob| sum.saturating_add(member(blob.descriptor.size)));
        bytes.div_ceil(size.max(1)).max(1)
    }

    fn reach(&self, artifact: &Artifact, sizes: &HashMap<Digest, u64>) -> HashSet<Digest> {
        let mut reached = HashSet::new();
        // A digest may be reached as a leaf first and followed later, so followed digests are a
        // separate set.
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
