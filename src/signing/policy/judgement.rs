//! The result of judging a signature file: a [`Judgement`], or a [`Refusal`].
//!
//! Values and their messages; nothing is judged here.

use crate::base::fault::{Class, Fault};

/// The keys of a signature file that satisfies a policy, by how they count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Ids of the policy's keys whose signatures hold, ascending; those of keys past their end are not among them.
    pub good: Vec<String>,
    /// Ids of the policy's keys that are past their end and whose signatures hold: they count for nothing and are shown.
    pub ended: Vec<String>,
    /// Key ids that the policy does not know: they count for nothing and are shown.
    pub unknown: Vec<String>,
}

/// Why a signature file does not authenticate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A signature is missing or wrong.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// Signed, but not by whom the policy demands.
    #[error(transparent)]
    Trust(#[from] Distrust),
}

/// Refusals of class signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// The payload is not the statement over this file.
    #[error("signature file: expected signatures over this manifest, found them over something else")]
    OtherStatement,
    /// The list is empty.
    #[error("signature file: expected a signature, found none")]
    None,
    /// Signatures under known keys that do not hold.
    #[error("signature file: bad signature under key {}", .0.join(", "))]
    Bad(Vec<String>),
}

/// Refusals of class trust.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// No signature is by a key of the policy.
    #[error("signature file: expected a signature by a trusted key, found {}", .found.join(", "))]
    Unknown {
        /// The key ids in the file.
        found: Vec<String>,
    },
    /// The only good signatures are by keys past their end.
    #[error("signature file: expected a signature by a key that still counts, found only those of {}, whose `until` is over", .found.join(", "))]
    Ended {
        /// The ids of these keys.
        found: Vec<String>,
    },
    /// Good ones, but not enough.
    #[error("signature file: expected signatures by {needed} trusted keys, found {}: {}", .good.len(), .good.join(", "))]
    TooFew {
        /// How many the policy demands.
        needed: usize,
        /// Whose are there and good.
        good: Vec<String>,
    },
    /// Too few distinct holders in the section that the channel picked.
    #[error("{section}: expected signatures of {needed} distinct holders, found {}: {}", .found.len(), .found.join(", "))]
    TooFewHolders {
        /// The section.
        section: String,
        /// How many the policy demands.
        needed: usize,
        /// Whose count.
        found: Vec<String>,
    },
    /// A role that must be among them is not.
    #[error("{section}: expected a signature in the role {}, found those of {}", .missing.join(", "), .found.join(", "))]
    NoRole {
        /// The section.
        section: String,
        /// The roles that are missing.
        missing: Vec<String>,
        /// Whose count, with their roles.
        found: Vec<String>,
    },
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let (class, help) = match &refusal {
            Refusal::Signature(BadSignature::None) => {
                (Class::Signature, "have it signed: `packmule sign BUNDLE --sign KEY`")
            }
            Refusal::Signature(_) => (Class::Signature, "do not use it; get manifest and signature file again"),
            Refusal::Trust(Distrust::TooFewHolders { .. } | Distrust::NoRole { .. }) => {
                (Class::Trust, "have the others look at it and sign: `packmule sign BUNDLE --sign KEY`")
            }
            Refusal::Trust(Distrust::Ended { .. }) => {
                (Class::Trust, "have it signed by a key that still counts, or give this one a later end in the policy")
            }
            Refusal::Trust(_) => (Class::Trust, "use it only once its holder has confirmed the key by another way"),
        };
        Self::new(class, refusal.to_string()).help(help)
    }
}
