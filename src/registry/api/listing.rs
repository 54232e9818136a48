//! What a run knows of one list of referrers under a fallback tag.
//!
//! A value only: [`super::referrers_list`] reads and writes the list.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::oci::{Digest, Repository};

/// How long after its last write a list is looked at again, at least.
const SETTLE: Duration = Duration::from_secs(2);
/// The wait is so many times the slowest write of this run: others may be as slow.
const SLOWER: u32 = 4;

/// The lists that a run has to do with, by repository and subject; each locked by whoever changes it.
pub(in crate::registry) type Listings = HashMap<(Repository, Digest), Arc<Mutex<Listing>>>;

/// What this run knows of one list.
#[derive(Default)]
pub(in crate::registry) struct Listing {
    /// The entries that it must have.
    pub own: BTreeMap<Digest, Value>,
    /// What stood there whenever it was read.
    pub seen: BTreeMap<Digest, Value>,
    /// Entries whose manifests are gone: theirs are not put back.
    pub gone: BTreeSet<Digest>,
    /// When this run wrote it last; `None`: never, or it was looked at since.
    pub written: Option<Duration>,
    /// The longest way from reading it to the answer to writing it.
    pub longest: Duration,
}

impl Listing {
    /// Returns when everything has arrived that others wrote from an older reading.
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
