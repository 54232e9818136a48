//! The user's selection: references, filters, and what may be left out.
//!
//! Values only. The command line creates them, and the plan interprets them. Nothing here queries a
//! source.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::base::fault::{Fault, differs};
use crate::oci::{Artifact, Digest, Platform, Reference, Repository, Tag};

/// One selected reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Reference to resolve at the source.
    pub reference: Reference,
    /// Name to carry it under, if the user gave one. Without a tag, it keeps the source's tag.
    pub as_name: Option<(Repository, Option<Tag>)>,
    /// Filters that select what to carry.
    pub filters: Arc<Filters>,
    /// Digest that it had before an earlier platform filter replaced it, if the source says so.
    pub original: Option<Digest>,
}

impl Wanted {
    /// Selects all of `reference` under its own name.
    pub fn new(reference: Reference) -> Self {
        Self { reference, as_name: None, filters: Arc::default(), original: None }
    }

    /// Returns the repository that it is carried under.
    pub fn repository(&self) -> &Repository {
        self.as_name.as_ref().map_or(&self.reference.repository, |(repository, _)| repository)
    }

    /// Returns the tag that it is carried under.
    pub fn tag(&self) -> Option<&Tag> {
        let renamed = self.as_name.as_ref().and_then(|(_, tag)| tag.as_ref());
        renamed.or(self.reference.tag.as_ref())
    }
}

/// Filters that select which parts of a reference are carried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filters {
    /// Platforms to keep in an index; empty means all.
    pub platforms: Vec<Platform>,
    /// Referrers to carry.
    pub referrers: Referrers,
}

/// How to treat an index when a platform filter removes some of its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IndexMode {
    /// Build a new index from the remaining entries. If one platform is selected and one manifest
    /// remains, carry that manifest instead.
    #[default]
    Rebuild,
    /// Carry the index unchanged, without some of its children.
    Sparse,
    /// Carry both: the new index (or manifest) under the selected name, and next to it the index
    /// unchanged, without a tag and without some of its children, with its referrers.
    Keep,
}

/// Referrers to carry along with their subjects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Referrers {
    /// All referrers, and cosign's `.sig`, `.att`, `.sbom` tags.
    #[default]
    All,
    /// No referrers and no cosign tags.
    None,
    /// Referrers with one of these artifact types. Cosign's tags state no type and are left out.
    Types(Vec<String>),
}

impl Referrers {
    /// Parses `all`, `none`, or artifact types. `subject` names the option or key in messages.
    ///
    /// # Errors
    /// Class usage for a mix.
    pub fn parse(subject: &str, words: &[String]) -> Result<Self, Fault> {
        match words {
            [all] if all == "all" => Ok(Self::All),
            [none] if none == "none" => Ok(Self::None),
            types if types.iter().any(|one| one == "all" || one == "none") => {
                Err(Fault::usage(differs(subject, "all, none, or artifact types", "a mix"), "give all or none alone"))
            }
            types => Ok(Self::Types(types.to_vec())),
        }
    }

    /// Returns whether a referrer of type `artifact_type` is carried.
    pub fn takes(&self, artifact_type: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Types(types) => artifact_type.is_some_and(|given| types.iter().any(|wanted| wanted == given)),
        }
    }
}

/// A leaf that a base carried, or that one of its own bases delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Size in bytes.
    pub size: u64,
    /// A repository that it was delivered to, named as in the base; `None` if the base does not
    /// state it.
    pub repository: Option<Repository>,
}

/// Content that one earlier bundle delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Bundle id.
    pub id: Digest,
    /// Its leaves. May include documents; those are carried again anyway.
    pub leaves: HashMap<Digest, Leaf>,
    /// Its artifacts. If a leaf's repository is not stated, their documents at the source show it.
    pub artifacts: Vec<Artifact>,
}

/// Content that the destination already has, with exceptions. Only a hint: the import verifies it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Bases, in the order given. The first one that states a leaf's repository determines it.
    pub bases: Vec<Base>,
    /// Leaves to carry whatever the bases say.
    pub again: BTreeSet<Digest>,
}

/// Everything the user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// References, in any order; the plan does not depend on the order.
    pub wanted: Vec<Wanted>,
    /// How to treat an index when a platform filter removes some of its entries.
    pub index: IndexMode,
    /// Whether to carry non-distributable layers.
    pub foreign: bool,
    /// Whether to leave out and report unavailable content instead of ending the run.
    pub allow_partial: bool,
    /// Content to leave out because it was already delivered.
    pub delivered: Delivered,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_without_a_tag_keeps_the_tag() {
        let mut wanted = Wanted::new("localhost/a:v1".parse().unwrap());
        let other = Repository::exact("localhost/b").unwrap();
        wanted.as_name = Some((other.clone(), None));
        assert_eq!((wanted.repository(), wanted.tag().map(Tag::as_str)), (&other, Some("v1")));
        wanted.as_name = Some((other, Some(Tag::new("v2").unwrap())));
        assert_eq!(wanted.tag().map(Tag::as_str), Some("v2"));
    }

    #[test]
    fn types_take_only_what_states_one_of_them() {
        let types = Referrers::Types(vec!["x/sbom".to_owned()]);
        assert!(types.takes(Some("x/sbom")) && !types.takes(Some("x/sig")) && !types.takes(None));
        assert!(Referrers::All.takes(None) && !Referrers::None.takes(Some("x/sbom")));
    }
}
