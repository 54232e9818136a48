//! Bounds memory while frames are made: a few buffers, each reused, and the made frames waiting
//! for their turn.
//!
//! Buffers are taken in the order of frames, so the frame that everything waits for always has one.

use crate::base::lock::lock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::system::memory;

/// How often a wait looks whether the run was stopped.
const LOOK: Duration = Duration::from_millis(50);

/// Waits a little for a change.
pub fn wait<'a, T>(changed: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    crate::base::lock::wait(changed, guard, LOOK)
}

/// Sets the flag when a thread goes, if by a panic.
#[derive(Debug)]
pub struct Watch<'a>(pub &'a AtomicBool);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// A buffer that holds a frame as it lies on the medium; goes back to its pool.
#[derive(Debug)]
pub struct Lease {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

/// Buffers, made when first needed; where there is no memory for one more, those that there are go round.
#[derive(Debug)]
pub struct Pool {
    free: Mutex<(Vec<Vec<u8>>, usize)>,
    count: usize,
    size: usize,
    changed: Condvar,
}

impl Pool {
    /// At most `count` buffers of `size` bytes.
    pub fn sized(count: usize, size: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new((Vec::new(), count)), count, size, changed: Condvar::new() })
    }

    /// Takes a buffer and, in the same moment, what `next` gives: so buffers go out in its order.
    /// `None` once `stop` is set or `next` has no more.
    pub fn take<T>(self: &Arc<Self>, stop: &AtomicBool, next: impl Fn() -> Option<T>) -> Option<(T, Lease)> {
        let mut free = lock(&self.free);
        loop {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            if free.0.is_empty() && free.1 > 0 && free.1 < self.count && !memory::has_room(self.size) {
                // Those that there are must do.
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

/// Things made in any order, taken in order.
#[derive(Debug)]
pub struct Queue<T> {
    ready: Mutex<BTreeMap<usize, T>>,
    changed: Condvar,
}

impl<T> Queue<T> {
    /// An empty one.
    pub const fn new() -> Self {
        Self { ready: Mutex::new(BTreeMap::new()), changed: Condvar::new() }
    }

    /// Puts the thing numbered `index`.
    pub fn put(&self, index: usize, thing: T) {
        lock(&self.ready).insert(index, thing);
        self.changed.notify_all();
    }

    /// Makes those who wait look again whether it ended.
    pub fn wake(&self) {
        // Under the lock, so that nobody is between looking and waiting.
        let _ready = lock(&self.ready);
        self.changed.notify_all();
    }

    /// Waits for the thing numbered `index`; `None` once `ended` says that it will not come.
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

    /// Waits for the foremost thing that is there; `None` once `ended` says that no more is wanted.
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
        // No machine has so much.
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
