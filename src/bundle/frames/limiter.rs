//! Bounds how many threads do something at once.

use std::sync::{Condvar, Mutex};

use super::pool::wait;
use crate::base::lock::lock;

/// Limits how many threads do something at once.
#[derive(Debug)]
pub struct Limiter {
    free: Mutex<usize>,
    changed: Condvar,
}

impl Limiter {
    /// Allows `count` threads at once.
    pub const fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), changed: Condvar::new() }
    }

    /// Waits for a free place, then runs `work`.
    pub fn pass<T>(&self, work: impl FnOnce() -> T) -> T {
        let mut free = lock(&self.free);
        while *free == 0 {
            free = wait(&self.changed, free);
        }
        *free -= 1;
        drop(free);
        let out = work();
        *lock(&self.free) += 1;
        self.changed.notify_one();
        out
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn so_many_pass_at_once_and_no_more() {
        let (limiter, inside, most) = (Limiter::new(2), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    limiter.pass(|| {
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(50));
                        inside.fetch_sub(1, Ordering::SeqCst);
                    });
                });
            }
        });
        assert_eq!(most.into_inner(), 2);
    }
}
