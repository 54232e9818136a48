//! Reads large objects in blocks, and the next blocks before they are asked for, by several requests
//! at once.
//!
//! Only reads that continue an earlier one go through blocks; others get exactly their bytes. The
//! number of blocks in memory is limited, whatever the number of readers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::pinned::Pinned;
use crate::base::lock::lock;
use crate::content::{Error, Kind};

/// Size of a block in bytes.
pub(super) const BLOCK: u64 = 4 << 20;
/// Maximum number of blocks in memory, those that are being read included.
const BLOCKS: usize = 12;
/// Maximum number of blocks that are read ahead for one reader.
const AHEAD: u64 = 6;
/// Number of ends of reads that are remembered: a reader that goes on is known by its last one.
const ENDS: usize = 32;
/// Number of reads after which a reader no longer counts, and a block that nobody took may go.
const OLD: u64 = 128;
/// Maximum number of blocks whose memory is kept for later ones.
const SPARE: usize = 4;
/// Maximum number of requests that read ahead.
const THREADS: usize = 6;

/// Reads ahead until it is dropped.
pub(super) struct ReadAhead {
    shared: Arc<Shared>,
    threads: usize,
}

struct Shared {
    objects: Pinned,
    state: Mutex<State>,
    changed: Condvar,
}

type Key = (Arc<str>, u64);

#[derive(Default)]
struct State {
    slots: HashMap<Key, Slot>,
    queue: VecDeque<Key>,
    ends: VecDeque<End>,
    clock: u64,
    threads: usize,
    is_closed: bool,
    // Memory of blocks that were taken. Used again, so that it does not fall to pieces.
    spare: Vec<Vec<u8>>,
}

/// Where a read ended.
struct End {
    name: Arc<str>,
    offset: u64,
    /// Time of the read, in reads.
    at: u64,
    /// Whether it went on from another one.
    goes_on: bool,
}

enum Slot {
    Queued,
    Loading,
    Ready { bytes: Arc<Vec<u8>>, at: u64 },
    Failed(Error),
}

impl ReadAhead {
    /// Returns a reader of `objects` that makes up to `jobs` requests at once.
    pub(super) fn new(objects: Pinned, jobs: usize) -> Self {
        let shared = Shared { objects, state: Mutex::default(), changed: Condvar::new() };
        Self { shared: Arc::new(shared), threads: jobs.clamp(1, THREADS) }
    }

    pub(super) fn objects(&self) -> &Pinned {
        &self.shared.objects
    }

    /// Fills `buffer` from `offset` of an object that has `size` bytes.
    ///
    /// # Errors
    /// Those of [`Pinned::read`].
    pub(super) fn read(&self, name: &str, size: u64, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let end = offset.saturating_add(buffer.len() as u64);
        if buffer.is_empty() || end > size {
            return self.shared.objects.read(name, offset, buffer);
        }
        let (name, goes_on) = self.note(name, offset, end);
        if !goes_on {
            return self.shared.objects.read(&name, offset, buffer);
        }
        self.ask(&name, size, offset, end);
        let mut filled = 0;
        for block in offset / BLOCK..=(end - 1) / BLOCK {
            let key = (Arc::clone(&name), block);
            let start = block * BLOCK;
            let bytes = self.shared.take(&key, size)?;
            // No truncation: within a block.
            let from = usize::try_from((offset + filled as u64) - start).unwrap_or_default();
            let count = (buffer.len() - filled).min(bytes.len() - from);
            buffer[filled..filled + count].copy_from_slice(&bytes[from..from + count]);
            filled += count;
            if from + count == bytes.len() {
                drop(bytes);
                lock(&self.shared.state).recycle(&key);
            }
        }
        Ok(())
    }

    /// Forgets what nobody took.
    pub(super) fn clear(&self) {
        let mut state = lock(&self.shared.state);
        state.slots.retain(|_, slot| matches!(slot, Slot::Loading));
        state.queue.clear();
    }

    /// Remembers the end of a read. Returns whether it goes on where an earlier one ended.
    fn note(&self, name: &str, offset: u64, end: u64) -> (Arc<str>, bool) {
        let mut state = lock(&self.shared.state);
        state.clock += 1;
        let at = state.clock;
        let before = state.ends.iter().position(|one| one.offset == offset && *one.name == *name);
        let known = before.and_then(|index| state.ends.remove(index));
        let (name, goes_on) = known.map_or_else(|| (Arc::from(name), false), |one| (one.name, true));
        state.ends.push_back(End { name: Arc::clone(&name), offset: end, at, goes_on });
        if state.ends.len() > ENDS {
            state.ends.pop_front();
        }
        (name, goes_on)
    }

    /// Puts the blocks of a read, and those after it, into the queue.
    fn ask(&self, name: &Arc<str>, size: u64, offset: u64, end: u64) {
        let mut state = lock(&self.shared.state);
        let (first, last) = (offset / BLOCK, (end - 1) / BLOCK);
        let now = state.clock;
        let readers = state.ends.iter().filter(|one| one.goes_on && one.at + OLD > now).count().max(1);
        let ahead = u64::try_from(BLOCKS / readers).unwrap_or(1).clamp(1, AHEAD);
        for block in first..=(last + ahead).min((size - 1) / BLOCK) {
            let key = (Arc::clone(name), block);
            if state.slots.contains_key(&key) || !state.make_room(block <= last) {
                continue;
            }
            state.slots.insert(key.clone(), Slot::Queued);
            state.queue.push_back(key);
        }
        let wanted = state.queue.len().saturating_sub(1).min(self.threads);
        while state.threads < wanted {
            let shared = Arc::clone(&self.shared);
            let work = move || shared.work();
            // Without a thread every reader reads for itself.
            if std::thread::Builder::new().name("read-ahead".into()).spawn(work).is_err() {
                break;
            }
            state.threads += 1;
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.is_closed = true;
        state.slots.clear();
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl State {
    /// Removes a block that was taken to its end, and keeps its memory.
    fn recycle(&mut self, key: &Key) {
        let Some(Slot::Ready { bytes, .. }) = self.slots.remove(key) else { return };
        if let Some(bytes) = Arc::into_inner(bytes).filter(|_| self.spare.len() < SPARE) {
            self.spare.push(bytes);
        }
    }

    /// Makes room for one more block. One that is asked for now drives out the oldest that nobody
    /// took, and another one only what is old.
    fn make_room(&mut self, is_asked: bool) -> bool {
        if self.slots.len() < BLOCKS {
            return true;
        }
        let ready = self.slots.iter().filter_map(|(key, slot)| match slot {
            Slot::Ready { at, .. } => Some((*at, key.clone())),
            _ => None,
        });
        let oldest = ready.min_by_key(|(at, _)| *at);
        match oldest {
            Some((at, key)) if is_asked || at + OLD < self.clock => {
                self.recycle(&key);
                true
            }
            _ => is_asked,
        }
    }
}

impl Shared {
    /// Reads queued blocks until the end.
    fn work(&self) {
        let mut state = lock(&self.state);
        loop {
            if state.is_closed {
                return;
            }
            let Some(key) = state.queue.pop_front() else {
                state = self.wait(state);
                continue;
            };
            if matches!(state.slots.get(&key), Some(Slot::Queued)) {
                state.slots.insert(key.clone(), Slot::Loading);
                drop(state);
                self.load(&key);
                state = lock(&self.state);
            }
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a block into its slot.
    fn load(&self, key: &Key) {
        let read = || {
            let size = self.objects.object(&key.0)?.ok_or_else(|| Error::new(Kind::Absent, "missing"))?.size;
            let start = key.1 * BLOCK;
            // No truncation: at most a block.
            let length = usize::try_from(size.saturating_sub(start).min(BLOCK)).unwrap_or_default();
            let mut bytes = lock(&self.state).spare.pop().unwrap_or_default();
            bytes.resize(length, 0);
            self.objects.read(&key.0, start, &mut bytes)?;
            Ok(Arc::new(bytes))
        };
        let read = read();
        let mut state = lock(&self.state);
        if !state.is_closed {
            let at = state.clock;
            state.slots.insert(key.clone(), read.map_or_else(Slot::Failed, |bytes| Slot::Ready { bytes, at }));
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Returns a block. Reads it on this thread if no other one has begun to.
    fn take(&self, key: &Key, size: u64) -> Result<Arc<Vec<u8>>, Error> {
        let mut state = lock(&self.state);
        loop {
            match state.slots.get(key) {
                Some(Slot::Ready { bytes, .. }) if bytes.len() as u64 == (size - key.1 * BLOCK).min(BLOCK) => {
                    return Ok(Arc::clone(bytes));
                }
                Some(Slot::Failed(_)) => {
                    let Some(Slot::Failed(error)) = state.slots.remove(key) else { continue };
                    return Err(error);
                }
                Some(Slot::Loading) => state = self.wait(state),
                // Another reader may have taken it to its end.
                Some(Slot::Queued | Slot::Ready { .. }) | None => {
                    state.slots.insert(key.clone(), Slot::Loading);
                    drop(state);
                    self.load(key);
                    state = lock(&self.state);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    use super::*;
    use crate::flow::Flow;
    use crate::storage::{Condition, Container, Object, Unfinished, Upload, Uploaded};

    /// One object that is made from positions. Counts what is read.
    struct Made {
        size: u64,
        bytes: AtomicU64,
        now: AtomicUsize,
        most: AtomicUsize,
        fails_at: u64,
    }

    fn byte(at: u64) -> u8 {
        (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
    }

    impl Container for Made {
        fn shown(&self, name: &str) -> String {
            name.to_owned()
        }
        fn head(&self, name: &str) -> Result<Option<Object>, Error> {
            let (name, size) = (name.to_owned(), self.size);
            Ok(Some(Object { name, size, etag: None, md5: None, modified: None }))
        }
        fn read_at(&self, _: &str, _: Option<&str>, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(2));
            for (at, into) in (offset..).zip(buffer.iter_mut()) {
                *into = byte(at);
            }
            self.bytes.fetch_add(buffer.len() as u64, Ordering::SeqCst);
            self.now.fetch_sub(1, Ordering::SeqCst);
            let broken = offset <= self.fails_at && self.fails_at < offset + buffer.len() as u64;
            if broken { Err(Error::new(Kind::Failed, "broke off")) } else { Ok(()) }
        }
        fn list(&self, _: &str, _: &mut dyn FnMut(Object)) -> Result<(), Error> {
            Ok(())
        }
        fn put(&self, _: &str, _: &[u8], _: &Condition) -> Result<Object, Error> {
            Err(Error::new(Kind::Refused, "read only"))
        }
        fn upload(&self, _: &Upload<'_>, _: &Flow) -> Result<Uploaded, Error> {
            Err(Error::new(Kind::Refused, "read only"))
        }
        fn remove(&self, _: &str) -> Result<(), Error> {
            Ok(())
        }
        fn unfinished(&self, _: &str) -> Result<Vec<Unfinished>, Error> {
            Ok(Vec::new())
        }
        fn discard(&self, _: &Unfinished) -> Result<(), Error> {
            Ok(())
        }
    }

    fn made(size: u64, fails_at: u64) -> (Arc<Made>, ReadAhead) {
        let made = Made { size, bytes: 0.into(), now: 0.into(), most: 0.into(), fails_at };
        let made = Arc::new(made);
        let container = Arc::clone(&made) as Arc<dyn Container>;
        (made, ReadAhead::new(Pinned::new(container), 8))
    }

    fn is_right(offset: u64, buffer: &[u8]) -> bool {
        (offset..).zip(buffer).all(|(at, found)| *found == byte(at))
    }

    #[test]
    fn what_is_read_on_and_on_comes_by_several_requests_and_once() {
        let size = 30 * BLOCK + 12_345;
        let (container, reader) = made(size, u64::MAX);
        let mut buffer = vec![0; 900_001];
        let mut at = 0;
        while at < size {
            let count = usize::try_from(size - at).unwrap().min(buffer.len());
            reader.read("a", size, at, &mut buffer[..count]).unwrap();
            assert!(is_right(at, &buffer[..count]), "at {at}");
            at += count as u64;
            assert!(lock(&reader.shared.state).slots.len() <= BLOCKS);
        }
        // Only the first read is read again with its block.
        assert_eq!(container.bytes.load(Ordering::SeqCst), size + buffer.len() as u64);
        assert!(container.most.load(Ordering::SeqCst) > 3, "several at once");
        assert!(lock(&reader.shared.state).slots.is_empty());
    }

    #[test]
    fn single_reads_get_no_more_than_their_bytes() {
        let size = 30 * BLOCK;
        let (container, reader) = made(size, u64::MAX);
        let mut buffer = vec![0; 1000];
        for at in [BLOCK, 17, 9 * BLOCK - 5, 5000] {
            reader.read("a", size, at, &mut buffer).unwrap();
            assert!(is_right(at, &buffer));
        }
        assert_eq!(container.bytes.load(Ordering::SeqCst), 4000);
        assert_eq!(reader.read("a", size, size - 1, &mut buffer).unwrap_err().class, Kind::Mismatch);
    }

    #[test]
    fn many_readers_stay_within_the_limit_and_get_their_own_bytes() {
        let size = 200 * BLOCK;
        let (_, reader) = made(size, u64::MAX);
        std::thread::scope(|scope| {
            for number in 0..16 {
                let reader = &reader;
                scope.spawn(move || {
                    let mut buffer = vec![0; 700_000];
                    for step in 0..12 {
                        let at = number * 12 * BLOCK + step * 700_000;
                        reader.read("a", size, at, &mut buffer).unwrap();
                        assert!(is_right(at, &buffer), "{number} {step}");
                        // Each reader may hold one more that it reads itself.
                        assert!(lock(&reader.shared.state).slots.len() <= BLOCKS + 16);
                    }
                });
            }
        });
    }

    #[test]
    fn a_failure_is_told_to_who_asks_and_tried_again() {
        let size = 8 * BLOCK;
        let (_, reader) = made(size, 3 * BLOCK + 1);
        let mut buffer = vec![0; usize::try_from(BLOCK).unwrap()];
        for block in 0..3 {
            reader.read("a", size, block * BLOCK, &mut buffer).unwrap();
        }
        for _ in 0..2 {
            let failed = reader.read("a", size, 3 * BLOCK, &mut buffer).unwrap_err();
            assert_eq!(failed.class, Kind::Content(crate::base::fault::Class::Source), "{}", failed.what);
        }
    }
}
