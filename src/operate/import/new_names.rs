//! Repositories that the destination says it does not have: nothing is asked for there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::context::Context;
use crate::base::fault::Fault;
use crate::base::lock::lock;
use crate::content::Kind;
use crate::oci::Repository;

/// Answer about a repository, once it is known; locked while the destination is asked.
type Slot = Arc<Mutex<Option<bool>>>;

/// Answers about repositories, each asked for at most once.
#[derive(Default)]
pub(super) struct NewNames {
    slots: Mutex<HashMap<Repository, Slot>>,
    /// Those that cannot be pushed to before something is made there.
    unmade: Mutex<HashMap<Repository, Fault>>,
}

impl NewNames {
    fn slot(&self, repository: &Repository) -> Slot {
        Arc::clone(lock(&self.slots).entry(repository.clone()).or_default())
    }

    /// Returns whether the repository is known not to exist. Asks nothing.
    pub(super) fn is_new(&self, repository: &Repository) -> bool {
        lock(&self.slots).get(repository).is_some_and(|slot| *lock(slot) == Some(true))
    }

    /// Returns why nothing can be pushed to the repository, as far as that is known.
    pub(super) fn unmade(&self, repository: &Repository) -> Option<Fault> {
        lock(&self.unmade).get(repository).cloned()
    }

    /// Returns whether the repository does not exist; called once something was not found there.
    pub(super) fn learn(&self, context: &Context, repository: &Repository) -> Result<bool, Fault> {
        let slot = self.slot(repository);
        let mut known = lock(&slot);
        if let Some(known) = *known {
            return Ok(known);
        }
        context.workers.check()?;
        let is_new = match context.destination.is_new(repository) {
            Ok(is_new) => is_new,
            Err(error) if error.class == Kind::Cancelled => return Err(context.at_destination(error)),
            Err(error) if error.class == Kind::Absent => {
                lock(&self.unmade).insert(repository.clone(), context.at_destination(error));
                true
            }
            // Then everything is asked for.
            Err(_) => false,
        };
        *known = Some(is_new);
        Ok(is_new)
    }
}
