//! Result of judging a signature file: a [`Judgement`] or a [`Refusal`].
//!
//! Values and messages only; the judging is done elsewhere.

use crate::base::fault::{Class, Fault};

/// Keys of an accepted signature file, grouped by how they count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Ids of the policy's keys with valid signatures, ascending. Keys that have ended are not
    /// included.
    pub good: Vec<String>,
    /// Ids of the policy's keys that have ended but whose signatures are valid. They are shown, but
    /// not counted.
    pub ended: Vec<String>,
    /// Ids of keys that are not in the policy. They are shown, but not counted.
    pub unknown: Vec<String>,
}

/// Reason why a signature file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A signature is missing or wrong.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// Signed, but not by the keys that the policy requires.
    #[error(transparent)]
    Trust(#[from] Distrust),
}

/// Refusals of class signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// The payload is not the statement about this file.
    #[error("signature file: expected signatures over this manifest, found them over something else")]
    OtherStatement,
    /// The list of signatures is empty.
    #[error("signature file: expected a signature, found none")]
    None,
    /// Invalid signatures by known keys. Holds the key ids.
    #[error("signature file: bad signature under key {}", .0.join(", "))]
    Bad(Vec<String>),
}

/// Refusals of class trust.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// No signature is by a key of the policy.
    #[error("signature file: expected a signature by a trusted key, found {}", .found.join(", "))]
    Unknown {
        /// Key ids in the file.
        found: Vec<String>,
    },
    /// All valid signatures are by keys that have ended.
    #[error("signature file: expected a signature by a key that still counts, found only those of {}, whose `until` is over", .found.join(", "))]
    Ended {
        /// Ids of these keys.
        found: Vec<String>,
    },
    /// Some valid signatures, but not enough.
    #[error("signature file: expected signatures by {needed} trusted keys, found {}: {}", .good.len(), .good.join(", "))]
    TooFew {
        /// Number that the policy requires.
        needed: usize,
        /// Ids of the keys with valid signatures.
        good: Vec<String>,
    },
    /// Too few distinct holders in the section for the channel.
    #[error("{section}: expected signatures of {needed} distinct holders, found {}: {}", .found.len(), .found.join(", "))]
    TooFewHolders {
        /// Name of the section.
        section: String,
        /// Number of holders that the policy requires.
        needed: usize,
        /// Holders that count.
        found: Vec<String>,
    },
    /// No counted signature has a required role.
    #[error("{section}: expected a signature in the role {}, found those of {}", .missing.join(", "), .found.join(", "))]
    NoRole {
        /// Name of the section.
        section: String,
        /// Missing roles.
        missing: Vec<String>,
        /// Holders that count, with their roles.
        found: Vec<String>,
    },
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let (class, help) = match &refusal {
            Refusal::Signature(BadSignature::None) => {
                (Class::Signature, "have it signed: `packmule sign BUNDLE --sign KEY`")
            }
            Refusal::Signature(_) => (Class::Signature, "do not use it; get the manifest and the signature file again"),
            Refusal::Trust(Distrust::TooFewHolders { .. } | Distrust::NoRole { .. }) => {
                (Class::Trust, "have the others check and sign it: `packmule sign BUNDLE --sign KEY`")
            }
            Refusal::Trust(Distrust::Ended { .. }) => {
                (Class::Trust, "have it signed by a key that still counts, or give this one a later end in the policy")
            }
            Refusal::Trust(_) => {
                (Class::Trust, "use it only after its holder has confirmed the key through another channel")
            }
        };
        Self::new(class, refusal.to_string()).help(help)
    }
}
