//! Locks that go on after a panic elsewhere.
//!
//! A panic ends the run, but threads that are still at work must not panic because of it. Callers keep what a lock guards
//! whole at every step, so that its content is good even where the thread that held it panicked.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Locks `mutex`, also one that is poisoned.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the content of `mutex`, also of one that is poisoned.
pub fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Waits on `condition` until it is notified, at most `longest`, and returns the guard with the lock held again. May also
/// return earlier without a reason, so callers check what they wait for in a loop.
pub fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>, longest: Duration) -> MutexGuard<'a, T> {
    condition.wait_timeout(guard, longest).unwrap_or_else(PoisonError::into_inner).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poisoned_lock_still_opens() {
        let mutex = Mutex::new(1);
        std::thread::scope(|scope| {
            let panicking = scope.spawn(|| {
                let _guard = mutex.lock().unwrap();
                panic!("on purpose");
            });
            assert!(panicking.join().is_err());
        });
        assert!(mutex.is_poisoned());
        *lock(&mutex) += 1;
        let guard = wait(&Condvar::new(), lock(&mutex), Duration::from_millis(1));
        assert_eq!(*guard, 2);
        drop(guard);
        assert_eq!(into_inner(mutex), 2);
    }
}
