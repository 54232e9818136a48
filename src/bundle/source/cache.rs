//! Caches parts of a bundle that are read by position and may be asked for again: shared frames and
//! documents.
//!
//! Reading a member means reading and decompressing its whole frame. So the most recently used
//! frames are kept, and with a document everything in its unit that may be a document. If all
//! documents fit, they cost no more than reading the bundle once, whatever the order of access. If
//! they do not, this holds only for bundles that store them in the order of their use.
//! [`super::shared`] does the reading and checking.

use crate::base::lock::lock;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use super::blob_cache::MAX_CACHED;
use crate::bundle::Error;
use crate::bundle::frames::limiter::Limiter;
use crate::bundle::frames::spares::{Spare, Spares};

/// Number of decompressed frames of small members that are kept; a walk in order needs this many.
const KEPT_FRAMES: usize = 2;
/// Number of frames of small members that are read at once; each takes up to twice its size meanwhile.
const UNPACKING: usize = 1;

/// A frame that one thread reads while others that want it wait.
pub(super) type Slot = Arc<Mutex<Option<Arc<Spare>>>>;

/// Cached frames and documents of one bundle.
pub(in crate::bundle) struct ReadCache {
    // Most recently used last.
    frames: Mutex<Vec<(usize, Slot)>>,
    documents: Mutex<Documents>,
    unpacking: Limiter,
    spares: Arc<Spares>,
}

impl Default for ReadCache {
    fn default() -> Self {
        let unpacking = Limiter::new(UNPACKING);
        Self { frames: Mutex::default(), documents: Mutex::default(), unpacking, spares: Arc::default() }
    }
}

/// Cached documents.
pub(super) struct Documents {
    // Maximum number of bytes kept.
    pub(super) room: u64,
    // Units whose documents are kept, oldest first.
    units: VecDeque<usize>,
    kept: HashMap<usize, Held>,
    pub(super) bytes: u64,
    // Number of bytes of the tar stream read for documents.
    pub(super) read: u64,
    // First error found around a document.
    pub(super) amiss: Option<Error>,
}

impl ReadCache {
    /// Returns the first error found in the headers and padding around the documents read so far.
    pub(in crate::bundle) fn amiss(&self) -> Option<Error> {
        lock(&self.documents).amiss.clone()
    }

    /// Reads a whole frame, when its turn comes.
    pub(super) fn unpacking<T>(&self, read: impl FnOnce() -> T) -> T {
        self.unpacking.pass(read)
    }

    /// Returns the buffers for frames.
    pub(super) const fn spares(&self) -> &Arc<Spares> {
        &self.spares
    }

    /// Keeps at most this many bytes of documents from now on.
    pub(in crate::bundle) fn keep_documents(&self, bytes: u64) {
        lock(&self.documents).room = bytes;
    }

    /// Locks the documents: others that want one of them wait.
    pub(super) fn documents(&self) -> MutexGuard<'_, Documents> {
        lock(&self.documents)
    }

    /// Returns how many bytes of the tar stream were read for documents so far.
    pub(in crate::bundle) fn read(&self) -> u64 {
        lock(&self.documents).read
    }

    /// Returns the slot of a frame, which becomes the most recently used one.
    pub(super) fn slot(&self, frame: usize) -> Slot {
        let mut frames = lock(&self.frames);
        let found = frames.iter().position(|(number, _)| *number == frame).map(|at| frames.remove(at));
        let (_, slot) = found.unwrap_or_else(|| (frame, Slot::default()));
        if frames.len() == KEPT_FRAMES {
            frames.remove(0);
        }
        frames.push((frame, Arc::clone(&slot)));
        slot
    }
}

/// Kept blobs of a unit (documents, and blobs that look like one) by their index in `blobs`.
pub(super) type Held = HashMap<usize, Arc<[u8]>>;

fn bytes(held: &Held) -> u64 {
    held.values().map(|raw| raw.len() as u64).sum()
}

impl Default for Documents {
    fn default() -> Self {
        Self { room: MAX_CACHED, units: VecDeque::new(), kept: HashMap::new(), bytes: 0, read: 0, amiss: None }
    }
}

impl Documents {
    /// Returns a blob of a unit, if it is kept.
    pub(super) fn get(&self, unit: usize, index: usize) -> Option<&Arc<[u8]>> {
        self.kept.get(&unit)?.get(&index)
    }

    /// Whether the documents of a unit are kept.
    pub(super) fn has(&self, unit: usize) -> bool {
        self.kept.contains_key(&unit)
    }

    /// Keeps the documents of a unit. If there is no room, removes the oldest ones.
    pub(super) fn keep(&mut self, unit: usize, held: Held) {
        let more = bytes(&held);
        while self.bytes + more > self.room {
            let Some(oldest) = self.units.pop_front().and_then(|oldest| self.kept.remove(&oldest)) else { break };
            self.bytes -= bytes(&oldest);
        }
        self.bytes += more;
        self.units.push_back(unit);
        self.kept.insert(unit, held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_asked_for_last_are_kept() {
        let cache = ReadCache::default();
        let (first, second) = (cache.slot(1), cache.slot(2));
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&first, &cache.slot(1)));
        // The third replaces the second, which was used before the first.
        cache.slot(3);
        assert!(Arc::ptr_eq(&first, &cache.slot(1)));
        assert!(!Arc::ptr_eq(&second, &cache.slot(2)));
    }

    #[test]
    fn units_are_kept_up_to_the_last_byte_of_room() {
        let held = |size: usize| HashMap::from([(0, Arc::from(vec![0; size]))]);
        let mut documents = Documents { room: 10, ..Documents::default() };
        documents.keep(0, held(3));
        documents.keep(1, held(7));
        assert_eq!((documents.bytes, documents.kept.len()), (10, 2));
        documents.keep(2, held(1));
        assert_eq!((documents.bytes, documents.kept.len()), (8, 2), "the oldest goes");
        documents.keep(3, held(11));
        assert_eq!(
            (documents.bytes, documents.kept.len()),
            (11, 1),
            "one that has no room is kept while it is asked for"
        );
    }
}
