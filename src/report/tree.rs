//! Contents in a report: the tree, the changes, and content that is not carried. Values only.

use std::collections::BTreeMap;

use serde::Serialize;

/// Contents as a tree.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Contents {
    /// Whether the artifacts' documents were read and are valid. Otherwise kinds are guessed, and
    /// platforms and sizes unknown.
    pub read: bool,
    /// Repositories.
    pub repositories: Vec<Repository>,
}

/// A repository.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Repository {
    /// Name in the bundle.
    pub name: String,
    /// Artifacts.
    pub items: Vec<Item>,
}

/// An artifact.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Item {
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Digest.
    pub digest: String,
    /// Kind.
    pub kind: Kind,
    /// Type that it states.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub stated: Option<String>,
    /// Platforms that it carries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Platforms that it names but does not carry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Digest at the source if a platform filter made a new index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    /// Whether that index is in the bundle too, with its own signatures and other referrers.
    #[serde(skip_serializing_if = "is_false")]
    pub original_kept: bool,
    /// Repository that it comes from, if the exporter gave it another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Size in bytes of all carried content that it reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Number of blobs that it reaches but the bundle does not carry.
    #[serde(skip_serializing_if = "is_zero")]
    pub lacks: u64,
    /// Whether it has a signature by its publisher, which is not checked. For images and charts, if
    /// known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Brought>,
    /// Whether it has a list of its components.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbom: Option<Brought>,
    /// Whether it has statements about vulnerabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vex: Option<Brought>,
    /// Comparison with earlier bundles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub news: Option<Novelty>,
    /// Statements of a single image's config, if it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Outcome of an import.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Artifacts that refer to it: signatures, SBOMs and the like.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<Item>,
}

/// Statements of an image's config about itself. Not checked.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Image {
    /// Creation time, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Labels; at most 64.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Last steps of its history, in order; at most 64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Kind of an artifact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the words say it")]
pub enum Kind {
    Image,
    Chart,
    Signature,
    Sbom,
    Vex,
    Attestation,
    #[default]
    Artifact,
}

/// Whether an artifact comes with a certain kind of referrer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Brought {
    /// For all of it.
    Yes,
    /// For some of its platforms.
    Some,
    /// No.
    #[default]
    No,
}

/// Comparison of an artifact with earlier bundles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Novelty {
    /// It was not there.
    New,
    /// One of its names referred to something else.
    Changed,
    /// It was there.
    Same,
}

/// Changes compared with bases.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct News {
    /// Bases.
    pub bases: Vec<Base>,
    /// Number of names that did not exist before.
    pub new: u64,
    /// Names that referred to something else, with what they referred to.
    pub changed: Vec<Changed>,
    /// Number of unchanged names.
    pub same: u64,
}

/// An earlier bundle.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Base {
    /// Name.
    pub name: String,
    /// Id.
    pub id: String,
    /// Whether the signed manifest names it. Nothing is known about other bases.
    pub named: bool,
}

/// A name that referred to something else.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Changed {
    /// Repository and tag.
    pub name: String,
    /// Earlier digest.
    pub was: String,
    /// Current digest.
    pub is: String,
}

/// Content that is not carried, for one reason.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Absent {
    /// `base`, `foreign`, `missing` or `platform`.
    pub reason: String,
    /// Reason in a sentence.
    pub why: String,
    /// Number of blobs.
    pub blobs: u64,
    /// Size in bytes, as far as known.
    pub bytes: u64,
    /// Artifacts that refer to the content.
    pub artifacts: Vec<String>,
}
