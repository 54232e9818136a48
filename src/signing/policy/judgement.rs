//! Result of judging a signature file: a [`Judgement`] or a [`Refusal`].
//!
//! Values and messages only; the judging is done elsewhere.

use std::fmt;

use crate::base::fault::{Class, Description, Fault, differs};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadSignature {
    /// The payload is not the statement about this file.
    OtherStatement,
    /// The list of signatures is empty.
    None,
    /// Invalid signatures by known keys. Holds the key ids.
    Bad(Vec<String>),
}

/// Refusals of class trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// No signature is by a key of the policy.
    Unknown {
        /// Keys that were given, with their names; empty with a policy file.
        expected: Vec<String>,
        /// Key ids in the file.
        found: Vec<String>,
    },
    /// All valid signatures are by keys that have ended.
    Ended {
        /// Ids of these keys.
        found: Vec<String>,
    },
    /// Some valid signatures, but not enough.
    TooFew {
        /// Number that the policy requires.
        needed: usize,
        /// Keys with valid signatures, with their names.
        good: Vec<String>,
        /// Keys that were given and have not signed, with their names.
        missing: Vec<String>,
    },
    /// Too few distinct holders in the section for the channel.
    TooFewHolders {
        /// Name of the section.
        section: String,
        /// Number of holders that the policy requires.
        needed: usize,
        /// Holders that count.
        found: Vec<String>,
    },
    /// No counted signature has a required role.
    NoRole {
        /// Name of the section.
        section: String,
        /// Missing roles.
        missing: Vec<String>,
        /// Holders that count, with their roles.
        found: Vec<String>,
    },
}

impl BadSignature {
    /// Returns the description.
    pub fn description(&self) -> Description {
        let subject = "signature file";
        match self {
            Self::OtherStatement => differs(subject, "signatures over this manifest", "them over something else"),
            Self::None => differs(subject, "a signature", "none"),
            Self::Bad(keys) => format!("{subject}: bad signature under key {}", keys.join(", ")).into(),
        }
    }
}

impl Distrust {
    /// Returns the description.
    pub fn description(&self) -> Description {
        let subject = "signature file";
        match self {
            Self::Unknown { expected, found } if expected.is_empty() => {
                differs(subject, "a signature by a trusted key", found.join(", "))
            }
            Self::Unknown { expected, found } => {
                differs(subject, format_args!("a signature by {}", expected.join(" or ")), found.join(", "))
            }
            Self::Ended { found } => {
                let found = format_args!("only those of {}, whose `until` is over", found.join(", "));
                differs(subject, "a signature by a key that still counts", found)
            }
            Self::TooFew { needed, good, missing } => {
                let found = format_args!("{}, by {}; not by {}", good.len(), good.join(", "), missing.join(", "));
                differs(subject, format_args!("signatures by {needed} trusted keys"), found)
            }
            Self::TooFewHolders { section, needed, found } => {
                let found = format_args!("{}: {}", found.len(), found.join(", "));
                differs(section, format_args!("signatures of {needed} distinct holders"), found)
            }
            Self::NoRole { section, missing, found } => {
                let expected = format_args!("a signature in the role {}", missing.join(", "));
                differs(section, expected, format_args!("those of {}", found.join(", ")))
            }
        }
    }
}

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.description().fmt(f)
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.description().fmt(f)
    }
}

impl std::error::Error for BadSignature {}

impl std::error::Error for Distrust {}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let (class, help) = match &refusal {
            Refusal::Signature(BadSignature::None) => {
                (Class::Signature, "have it signed: `packmule sign BUNDLE --sign KEY`")
            }
            Refusal::Signature(_) => (Class::Signature, "do not use it; get the manifest and the signature file again"),
            Refusal::Trust(Distrust::TooFew { .. } | Distrust::TooFewHolders { .. } | Distrust::NoRole { .. }) => {
                (Class::Trust, "have the others check and sign it: `packmule sign BUNDLE --sign KEY`")
            }
            Refusal::Trust(Distrust::Ended { .. }) => {
                (Class::Trust, "have it signed by a key that still counts, or give this one a later end in the policy")
            }
            Refusal::Trust(_) => {
                (Class::Trust, "use it only after its holder has confirmed the key through another channel")
            }
        };
        let description = match refusal {
            Refusal::Signature(bad) => bad.description(),
            Refusal::Trust(distrust) => distrust.description(),
        };
        Self::new(class, description).help(help)
    }
}
