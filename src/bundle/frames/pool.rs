//! Limits memory while frames are made: a few reused buffers, and the finished frames that wait for
//! their turn.
//!
//! Buffers are taken in frame order, so the frame that everything waits for always has one.

use crate::base::lock::lock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::system::memory;

/// Interval at which a waiting thread checks whether the run was stopped.
const LOOK: Duration = Duration::from_millis(50);

/// Waits briefly for a change.
pub fn wait<'a, T>(changed: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    crate::base::lock::wait(changed, guard, LOOK)
}

/// Sets the flag if its thread panics.
#[derive(Debug)]
pub struct Watch<'a>(pub &'a AtomicBool);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// A buffer that holds a frame as it is on the medium. Returns to its pool when dropped.
#[derive(Debug)]
pub struct Lease {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

/// Buffers, allocated when first needed. If there is no memory for one more, the existing ones are
/// reused.
#[derive(Debug)]
pub struct Pool {
    free: Mutex<(Vec<Vec<u8>>, usize)>,
    count: usize,
    size: usize,
    changed: Condvar,
}

impl Pool {
    /// Returns a pool of at most `count` buffers of `size` bytes.
    pub fn sized(count: usize, size: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new((Vec::new(), count)), count, size, changed: Condvar::new() })
    }

    /// Takes a buffer together with the next item from `next`, so that buffers are handed out in
    /// the order of the items. Returns `None` once `stop` is set or `next` has no more items.
    pub fn take<T>(self: &Arc<Self>, stop: &AtomicBool, next: impl Fn() -> Option<T>) -> Option<(T, Lease)> {
        let mut free = lock(&self.free);
        loop {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            if free.0.is_empty() && free.1 > 0 && free.1 < self.count && !memory::has_room(self.size) {
                // The existing buffers must suffice.
                free.1 = 0;
            }
            if !free.0.is_empty() || free.1 > 0 {
                let item = next()?;
                let bytes = free.0.pop().unwrap_or_else(|| {
                    free.1 -= 1;
                    vec![0; self.size]
                });
                return Some((item, Lease { bytes, pool: Arc::clone(self) }));
            }
            free = wait(&self.changed, free);
        }
    }
}

impl std::ops::Deref for Lease {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::ops::DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        lock(&self.pool.free).0.push(std::mem::take(&mut self.bytes));
        self.pool.changed.notify_all();
    }
}

/// Items that are added in any order and taken in order.
#[derive(Debug)]
pub struct Queue<T> {
    ready: Mutex<BTreeMap<usize, T>>,
    changed: Condvar,
}

impl<T> Queue<T> {
    /// Returns an empty queue.
    pub const fn new() -> Self {
        Self { ready: Mutex::new(BTreeMap::new()), changed: Condvar::new() }
    }

    /// Adds the item numbered `index`.
    pub fn put(&self, index: usize, thing: T) {
        lock(&self.ready).insert(index, thing);
        self.changed.notify_all();
    }

    /// Makes waiting threads check again whether the queue has ended.
    pub fn wake(&self) {
        // Takes the lock, so that no thread is between checking and waiting.
        let _ready = lock(&self.ready);
        self.changed.notify_all();
    }

    /// Waits for the item numbered `index`. Returns `None` once `ended` says that it will not come.
    pub fn get(&self, index: usize, ended: impl Fn() -> bool) -> Option<T> {
        let mut ready = lock(&self.ready);
        loop {
            if let Some(thing) = ready.remove(&index) {
                return Some(thing);
            }
            if ended() {
                return None;
            }
            ready = wait(&self.changed, ready);
        }
    }

    /// Waits for any item and takes the one with the lowest number. Returns `None` once `ended`
    /// says that no more items are wanted.
    pub fn first(&self, ended: impl Fn() -> bool) -> Option<(usize, T)> {
        let mut ready = lock(&self.ready);
        loop {
            if ended() {
                return None;
            }
            if let Some(first) = ready.pop_first() {
                return Some(first);
            }
            ready = wait(&self.changed, ready);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_buffers_go_out_than_there_are() {
        let (pool, stop) = (Pool::sized(2, 4), AtomicBool::new(false));
        let take = || pool.take(&stop, || Some(())).map(|((), lease)| lease);
        let (first, second) = (take().unwrap(), take().unwrap());
        assert_eq!((first.len(), second.len()), (4, 4));
        drop(first);
        let third = take().unwrap();
        std::thread::scope(|scope| {
            let fourth = scope.spawn(|| take().is_none());
            std::thread::sleep(LOOK);
            stop.store(true, Ordering::Relaxed);
            assert!(fourth.join().unwrap(), "it waited until nothing was wanted");
        });
        drop((second, third));
    }

    #[test]
    fn where_memory_ends_the_buffers_that_there_are_go_round() {
        let (pool, stop) = (Pool::sized(3, 8), AtomicBool::new(false));
        let take = || pool.take(&stop, || Some(())).map(|((), lease)| lease);
        let first = take().unwrap();
        // No machine has that much memory.
        let huge = Arc::new(Pool {
            free: Mutex::new((Vec::new(), 2)),
            count: 3,
            size: usize::MAX / 4,
            changed: Condvar::new(),
        });
        std::thread::scope(|scope| {
            let second = scope.spawn(|| huge.take(&stop, || Some(())).is_none());
            std::thread::sleep(LOOK);
            stop.store(true, Ordering::Relaxed);
            assert!(second.join().unwrap(), "it waited for one that comes back");
        });
        assert_eq!(lock(&huge.free).1, 0);
        drop(first);
    }
}
