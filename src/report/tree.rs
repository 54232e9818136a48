//! What a report says of the contents: the tree, what is new in it, and what is not carried. Values alone.

use serde::Serialize;

/// What is inside, as a tree.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Contents {
    /// Whether the artifacts' documents were read and hold: else kinds are guessed, and platforms and sizes unknown.
    pub read: bool,
    /// By repository.
    pub repositories: Vec<Repository>,
}

/// A repository.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Repository {
    /// Its name in the bundle.
    pub name: String,
    /// Its artifacts.
    pub items: Vec<Item>,
}

/// An artifact.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Item {
    /// Its tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its digest.
    pub digest: String,
    /// What it is, in a word.
    pub kind: Kind,
    /// The type that it states.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub stated: Option<String>,
    /// The platforms that it carries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// The platforms that it names and does not carry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The source's digest, where a platform filter made a new index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    /// Bytes of all that it reaches and the bundle carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Blobs that it reaches and the bundle does not carry.
    #[serde(skip_serializing_if = "is_zero")]
    pub lacks: u64,
    /// Whether it brings a signature of its own maker, which nothing here has checked; of images and charts, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Brought>,
    /// Whether it brings a list of its parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbom: Option<Brought>,
    /// Whether it brings statements about weak spots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vex: Option<Brought>,
    /// Against the bundles that were there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub news: Option<Novelty>,
    /// What became of it, at an import.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// What refers to it: signatures, SBOMs and the like.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<Item>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What an artifact is.
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

/// Whether something comes with an artifact.
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

/// Whether something was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Novelty {
    /// It was not.
    New,
    /// One of its names meant something else.
    Changed,
    /// It was.
    Same,
}

/// What is new against bases.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct News {
    /// The bases.
    pub bases: Vec<Base>,
    /// Names that were not there.
    pub new: u64,
    /// Names that meant something else; what each meant stands in `was`.
    pub changed: Vec<Changed>,
    /// Names that mean the same.
    pub same: u64,
}

/// A bundle that was there before.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Base {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Whether the signed manifest names it; of any other nothing is known.
    pub named: bool,
}

/// A name that meant something else.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Changed {
    /// Repository and tag.
    pub name: String,
    /// The digest before.
    pub was: String,
    /// The digest now.
    pub is: String,
}

/// What is not carried, for one reason.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Absent {
    /// `base`, `foreign`, `missing` or `platform`.
    pub reason: String,
    /// The reason in a sentence.
    pub why: String,
    /// How many blobs.
    pub blobs: u64,
    /// Their bytes, as far as known.
    pub bytes: u64,
    /// Artifacts that refer to them.
    pub artifacts: Vec<String>,
}
