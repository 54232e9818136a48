//! What tags name in one run: each is asked for once, whoever wants to know it and however many at a time, so that a tag that
//! moves meanwhile is one version everywhere.
//!
//! Keeps answers, no failures: a later question may have more luck.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::content::{Error, Source};
use crate::oci::{Descriptor, Digest, Reference, Repository, Tag};

/// What decides an answer: a digest pins, whatever tag stands beside it.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Name {
    Pinned(Digest),
    Tagged(Option<Tag>),
}

/// Held by whoever asks, so that others wait for the answer.
type Slot = Arc<Mutex<Option<Descriptor>>>;

/// The answers of one source.
#[derive(Default)]
pub struct Resolved(Mutex<HashMap<(Repository, Name), Slot>>);

impl Resolved {
    fn slot(&self, repository: &Repository, name: Name) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry((repository.clone(), name)).or_default())
    }

    /// What `reference` names at `source`, asked for unless it is known.
    ///
    /// # Errors
    /// The source's.
    pub fn get(&self, source: &dyn Source, reference: &Reference) -> Result<Descriptor, Error> {
        let name = reference.digest.map_or_else(|| Name::Tagged(reference.tag.clone()), Name::Pinned);
        let slot = self.slot(&reference.repository, name);
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = &*slot {
            return Ok(found.clone());
        }
        let found = source.resolve(reference)?;
        if reference.digest.is_none() {
            let pinned = self.slot(&reference.repository, Name::Pinned(found.digest));
            pinned.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| found.clone());
        }
        Ok(slot.insert(found).clone())
    }
}
