//! Notes on how each blob came into each repository, taken while an import runs.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::base::lock::lock;
use crate::oci::{Descriptor, Digest, Repository};
use crate::receipt::{Counts, How};

/// How each blob came into each repository that needed it.
#[derive(Default)]
pub(super) struct BlobNotes(Mutex<HashMap<(Repository, Digest), (How, u64)>>);

impl BlobNotes {
    /// Notes how a blob came. Anything that this run did takes precedence over finding it there
    /// later.
    pub(super) fn add(&self, repository: &Repository, blob: &Descriptor, how: How) {
        let mut notes = lock(&self.0);
        let note = notes.entry((repository.clone(), blob.digest)).or_insert((how, blob.size));
        if how != How::Found {
            note.0 = how;
        }
    }

    /// Returns the number of blobs that came each way.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (how, size) in lock(&self.0).values() {
            match how {
                How::Sent => {
                    counts.sent += 1;
                    counts.bytes = counts.bytes.saturating_add(*size);
                }
                How::Mounted => counts.mounted += 1,
                How::Found => counts.found += 1,
                How::Base | How::BaseMounted => counts.base += 1,
                How::Implied => {}
            }
        }
        counts
    }

    /// Returns how a blob came into `repository`, if known.
    pub(super) fn get(&self, repository: &Repository, digest: Digest) -> Option<How> {
        lock(&self.0).get(&(repository.clone(), digest)).map(|note| note.0)
    }
}
