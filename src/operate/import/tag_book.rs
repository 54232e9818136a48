//! The tags that imports of a bundle's channel set at a destination, kept in the state: what
//! `--tag-conflict advance` may move.

use std::borrow::Cow;
use std::sync::Mutex;

use super::request::{Intended, Named, TagBook};
use crate::base::fault::Fault;
use crate::base::lock::lock;
use crate::flow::Flow;
use crate::oci::{Digest, Repository, Tag};
use crate::operate::freshness::Keeper;
use crate::state::{Tags, destination};

/// The tags of one channel at one destination.
pub struct ChannelTags<'a> {
    keeper: &'a Keeper,
    flow: &'a Flow,
    known: Mutex<Tags>,
}

impl<'a> ChannelTags<'a> {
    /// Reads the tags for the bundle that `keeper` judged. Warns of stored ones that do not count.
    /// Returns `None` if nothing is kept: without a channel, or without a state.
    pub fn open(keeper: &'a Keeper, flow: &'a Flow) -> Option<Self> {
        let (known, why) = keeper.tags()?;
        if let Some(why) = why {
            flow.warn(format!("tags that were set here before are not known: {why}"));
        }
        Some(Self { keeper, flow, known: Mutex::new(known) })
    }

    /// Returns the name of a repository in the state: below a registry, its path; the registry itself
    /// may be typed in several ways.
    fn name<'r>(&self, repository: &'r Repository) -> Cow<'r, str> {
        let is_registry = self.keeper.destination().is_some_and(|name| destination::registry(name).is_some());
        if is_registry { Cow::Borrowed(repository.path()) } else { Cow::Owned(repository.to_string()) }
    }

    /// Stores `new`, unless that is known already; `about` are the tags of this run.
    fn hold(&self, new: Tags, about: &[(Cow<'_, str>, &Tag)]) -> Result<(), Fault> {
        let mut known = lock(&self.known);
        if new == *known {
            return Ok(());
        }
        let kept = about.iter().map(|(name, tag)| (&**name, *tag));
        let forgotten = self.keeper.hold_tags(new.clone(), kept)?;
        if forgotten > 0 {
            self.flow
                .warn(format!("state: {forgotten} tags of earlier bundles are forgotten, since there are too many"));
        }
        *known = new;
        Ok(())
    }
}

impl TagBook for ChannelTags<'_> {
    fn digests(&self, repository: &Repository, tag: &Tag) -> Vec<Digest> {
        lock(&self.known).of(&self.name(repository), tag).to_vec()
    }

    fn intend(&self, tags: &[Intended<'_>]) -> Result<(), Fault> {
        let mut new = lock(&self.known).clone();
        let about: Vec<_> = tags.iter().map(|one| (self.name(one.repository), one.tag)).collect();
        for (one, (name, tag)) in tags.iter().zip(&about) {
            new.intend(name, tag, one.found, one.digest);
        }
        self.hold(new, &about)
    }

    fn record(&self, tags: &[Named<'_>]) -> Result<(), Fault> {
        let mut new = lock(&self.known).clone();
        let about: Vec<_> = tags.iter().map(|(repository, tag, _)| (self.name(repository), *tag)).collect();
        for ((_, _, digest), (name, tag)) in tags.iter().zip(&about) {
            new.set(name, tag, *digest);
        }
        self.hold(new, &about)
    }
}
