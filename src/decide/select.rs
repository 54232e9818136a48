//! What the user asked for: references, filters, and what may be left behind.
//!
//! Values only; what was typed becomes them on the command line, what they mean is the plan's
//! business. Nothing here asks a source.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::oci::{Artifact, Digest, Platform, Reference, Repository, Tag};

/// One selected reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// What to resolve at the source.
    pub reference: Reference,
    /// The name that it travels under, where the user gave one; without a tag it keeps the source's.
    pub as_name: Option<(Repository, Option<Tag>)>,
    /// What of it travels.
    pub filters: Arc<Filters>,
}

impl Wanted {
    /// All of `reference` under its own name.
    pub fn new(reference: Reference) -> Self {
        Self { reference, as_name: None, filters: Arc::default() }
    }

    /// The repository that it travels under.
    pub fn repository(&self) -> &Repository {
        self.as_name.as_ref().map_or(&self.reference.repository, |(repository, _)| repository)
    }

    /// The tag that it travels under.
    pub fn tag(&self) -> Option<&Tag> {
        let renamed = self.as_name.as_ref().and_then(|(_, tag)| tag.as_ref());
        renamed.or(self.reference.tag.as_ref())
    }
}

/// What of a selected reference travels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filters {
    /// The platforms that stay in an index; none: all.
    pub platforms: Vec<Platform>,
    /// Which referrers travel.
    pub referrers: Referrers,
}

/// What becomes of an index that a platform filter cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IndexMode {
    /// A new index is made of the entries that stay; one single platform takes that manifest itself.
    #[default]
    Rebuild,
    /// The index travels as it is, and lacks children.
    Sparse,
}

/// Which referrers travel with what they refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Referrers {
    /// All, and cosign's `.sig`, `.att`, `.sbom` tags.
    #[default]
    All,
    /// None, cosign's tags neither.
    None,
    /// Those with one of these artifact types. Cosign's tags state no type and stay behind.
    Types(Vec<String>),
}

impl Referrers {
    /// Whether a referrer of `artifact_type` travels.
    pub fn takes(&self, artifact_type: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Types(types) => artifact_type.is_some_and(|given| types.iter().any(|wanted| wanted == given)),
        }
    }
}

/// A leaf that a base brought, or found delivered by a base of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its size in bytes.
    pub size: u64,
    /// A repository that it was delivered in, named as in the base; `None` where the base does not say.
    pub repository: Option<Repository>,
}

/// What one earlier bundle has delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Its bundle id.
    pub id: Digest,
    /// Its content. Documents may stand among it; they travel all the same.
    pub leaves: HashMap<Digest, Leaf>,
    /// Its artifacts: where a repository is not said, their documents at the source tell it.
    pub artifacts: Vec<Artifact>,
}

/// What the destination has already, and what it lacks of that. A hint: the proof is made at the import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// The bases, in the order given: the first that has a leaf says where.
    pub bases: Vec<Base>,
    /// Leaves that travel whatever the bases say.
    pub again: BTreeSet<Digest>,
}

/// Everything that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The references, in any order; the plan does not depend on it.
    pub wanted: Vec<Wanted>,
    /// What becomes of an index that the platforms of a filter cut.
    pub index: IndexMode,
    /// Whether non-distributable layers travel.
    pub foreign: bool,
    /// Whether what is not to be had is left out and named, instead of ending the run.
    pub allow_partial: bool,
    /// What stays behind because it was delivered.
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
