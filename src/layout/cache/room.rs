//! Counts the bytes of a cache and who reads what, and says what is removed to make room.
//!
//! Numbers only: no file is touched here.

use std::collections::HashMap;

use crate::oci::Digest;

/// Blobs of a cache, with their sizes and uses.
#[derive(Default)]
pub(super) struct Room {
    blobs: HashMap<Digest, Stored>,
    // Bytes of all blobs, also of what was written of those that are incomplete.
    bytes: u64,
    // Maximum number of bytes.
    most: Option<u64>,
    // Increases with every use.
    turn: u64,
}

struct Stored {
    size: u64,
    used: u64,
    readers: usize,
    // Documents stay as long as they fit: they take little room, and layers are of no use without them.
    is_document: bool,
}

impl Room {
    /// Returns an empty room for `most` bytes.
    pub(super) fn new(most: Option<u64>) -> Self {
        Self { most, ..Self::default() }
    }

    /// Returns the maximum number of bytes.
    pub(super) const fn most(&self) -> Option<u64> {
        self.most
    }

    /// Returns the number of bytes of all blobs, also of what was written of those that are incomplete.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the number of blobs.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.blobs.len()
    }

    /// Returns the size of a blob.
    pub(super) fn size(&self, digest: Digest) -> Option<u64> {
        self.blobs.get(&digest).map(|stored| stored.size)
    }

    /// Reserves bytes for a blob that is being written.
    pub(super) fn reserve(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Gives back reserved bytes.
    pub(super) fn give_back(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Adds a complete blob, whose bytes are reserved. Counts this as a use.
    pub(super) fn add(&mut self, digest: Digest, size: u64) {
        self.turn += 1;
        let stored = Stored { size, used: self.turn, readers: 0, is_document: false };
        if let Some(same) = self.blobs.insert(digest, stored) {
            self.give_back(same.size);
            let keep = |stored: &mut Stored| (stored.readers, stored.is_document) = (same.readers, same.is_document);
            self.blobs.entry(digest).and_modify(keep);
        }
    }

    /// Marks a blob as a document.
    pub(super) fn mark(&mut self, digest: Digest) {
        if let Some(stored) = self.blobs.get_mut(&digest) {
            stored.is_document = true;
        }
    }

    /// Begins to read a blob, and counts this as a use. Returns whether there is one.
    pub(super) fn read(&mut self, digest: Digest) -> bool {
        self.turn += 1;
        let turn = self.turn;
        let Some(stored) = self.blobs.get_mut(&digest) else { return false };
        stored.used = turn;
        stored.readers += 1;
        true
    }

    /// Ends reading a blob.
    pub(super) fn release(&mut self, digest: Digest) {
        if let Some(stored) = self.blobs.get_mut(&digest) {
            stored.readers = stored.readers.saturating_sub(1);
        }
    }

    /// Forgets a blob.
    pub(super) fn forget(&mut self, digest: Digest) {
        if let Some(stored) = self.blobs.remove(&digest) {
            self.give_back(stored.size);
        }
    }

    /// Returns the blobs to remove so that the rest fits: those that were used longest ago, but none
    /// that is being read, and documents only if these alone do not fit.
    pub(super) fn surplus(&self) -> Vec<Digest> {
        let Some(mut excess) = self.most.and_then(|most| self.bytes.checked_sub(most)).filter(|excess| *excess > 0)
        else {
            return Vec::new();
        };
        // Content that is still being written is no reason to remove documents.
        let documents: u64 = self.blobs.values().filter(|stored| stored.is_document).map(|stored| stored.size).sum();
        let are_documents_many = self.most.is_some_and(|most| documents > most);
        let mut unread: Vec<((bool, u64), Digest, u64)> = (self.blobs.iter())
            .filter(|(_, stored)| stored.readers == 0 && (!stored.is_document || are_documents_many))
            .map(|(digest, stored)| ((stored.is_document, stored.used), *digest, stored.size))
            .collect();
        unread.sort_unstable();
        let mut gone = Vec::new();
        for (_, digest, size) in unread {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(size);
            gone.push(digest);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_stay_until_they_alone_do_not_fit() {
        let digest = |number: u8| Digest::sha256(&[number]);
        let mut room = Room::new(Some(10));
        for (number, size) in [(0, 4), (1, 4), (2, 6)] {
            room.reserve(size);
            room.add(digest(number), size);
        }
        room.mark(digest(0));
        room.mark(digest(1));
        assert_eq!(room.surplus(), [digest(2)], "the newest, but no document");
        room.mark(digest(2));
        assert_eq!(room.surplus(), [digest(0)], "the oldest of too many documents");
        assert!(room.read(digest(0)) && !room.read(digest(9)));
        assert_eq!(room.surplus(), [digest(1)], "the first is being read");
        room.release(digest(0));
        // One that arrives twice counts once.
        room.reserve(4);
        room.add(digest(1), 4);
        assert_eq!(room.bytes(), 14);
        room.reserve(u64::MAX);
        assert_eq!(room.bytes(), u64::MAX, "no overflow");
    }
}
