//! Relations between the documents of a layout: which refer to which, and which the entries reach.
//!
//! Only a value; `relate` fills it.

use std::collections::{HashMap, HashSet};

use crate::oci::{Descriptor, Digest, Tag};

/// The relations of all documents of a layout.
#[derive(Default)]
pub(super) struct Relations {
    /// Referrers by subject, sorted by digest.
    pub(super) referrers: HashMap<Digest, Vec<Descriptor>>,
    /// Entries of the lists of referrers, by fallback tag.
    pub(super) lists: HashMap<Tag, Vec<Descriptor>>,
    /// Subjects of documents that have one.
    pub(super) subjects: HashMap<Digest, Digest>,
    /// Documents that the entries reach.
    pub(super) reached: HashSet<Digest>,
}

impl Relations {
    /// Returns the referrers of `subject`, each once.
    pub(super) fn of(&self, subject: Digest) -> Vec<Descriptor> {
        let listed = self.lists.get(&Tag::referrers_fallback(subject)).into_iter().flatten();
        let mut seen = HashSet::from([subject]);
        let all = self.referrers.get(&subject).into_iter().flatten().chain(listed);
        all.filter(|one| seen.insert(one.digest)).cloned().collect()
    }

    /// Adds a referrer of `subject`.
    pub(super) fn add(&mut self, subject: Digest, referrer: Descriptor) {
        self.subjects.insert(referrer.digest, subject);
        self.referrers.entry(subject).or_default().push(referrer);
    }
}
