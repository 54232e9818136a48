//! State of one list of referrers under a fallback tag.
//!
//! Only a value; [`super::referrers_list`] reads and writes the list.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::oci::{Digest, Repository};

/// Minimum time from the last write of a list to its next check.
const SETTLE: Duration = Duration::from_secs(2);
/// Factor of the slowest write of this run that gives the wait, since other writers may be as slow.
const SLOWER: u32 = 4;

/// The lists that a run uses, by repository and subject; each is locked while it is changed.
pub(in crate::registry) type Listings = HashMap<(Repository, Digest), Arc<Mutex<Listing>>>;

/// State of one list in this run.
#[derive(Default)]
pub(in crate::registry) struct Listing {
    /// Entries that the list must have.
    pub own: BTreeMap<Digest, Value>,
    /// All entries found in any reading of the list.
    pub seen: BTreeMap<Digest, Value>,
    /// Entries whose manifests no longer exist. They are not added again.
    pub gone: BTreeSet<Digest>,
    /// Digests of the list as it was first read by [`Lists::listed`](crate::content::Lists::listed).
    pub read: Option<Vec<Digest>>,
    /// Whether an entry of `own` was added since the list was last written.
    pub is_pending: bool,
    /// Time of the last write by this run; `None` if there is none, or the list was checked since.
    pub written: Option<Duration>,
    /// Longest time from reading the list to the response to its write.
    pub longest: Duration,
}

impl Listing {
    /// Returns the time by which all writes of others that are based on an older version have
    /// arrived.
    pub fn settled(&self) -> Option<Duration> {
        self.written.map(|written| written + SETTLE.max(self.longest * SLOWER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_never_short_and_grows_with_slow_writes() {
        let at = |written, longest| {
            let listing = Listing {
                written: Some(Duration::from_secs(written)),
                longest: Duration::from_secs(longest),
                ..Listing::default()
            };
            listing.settled().unwrap().as_secs()
        };
        assert_eq!((at(10, 0), at(10, 3)), (12, 22));
        assert!(Listing::default().settled().is_none());
    }
}
