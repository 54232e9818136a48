//! Equal jobs that are asked for at once are done once; all who asked get the result.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::base::lock::lock;
use crate::flow::start_apart;

/// A job that runs: its result, when there is one.
struct Flight<T> {
    state: Mutex<Ended<T>>,
    ended: Condvar,
}

enum Ended<T> {
    NotYet,
    With(T),
    /// The job panicked.
    Without,
}

/// Jobs that run, by what they are for.
pub(super) struct Flights<K, T> {
    open: Mutex<HashMap<K, Arc<Flight<T>>>>,
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self { open: Mutex::default() }
    }
}

/// Ends a job for all who wait, also if it panics.
struct Landing<K: Hash + Eq, T> {
    flights: Arc<Flights<K, T>>,
    key: K,
    flight: Arc<Flight<T>>,
    result: Option<T>,
}

impl<K: Hash + Eq, T> Landing<K, T> {
    /// Ends the job with its result.
    fn end(mut self, result: T) {
        self.result = Some(result);
    }
}

impl<K: Hash + Eq, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        // First, so that whoever comes now begins again.
        lock(&self.flights.open).remove(&self.key);
        *lock(&self.flight.state) = self.result.take().map_or(Ended::Without, Ended::With);
        self.flight.ended.notify_all();
    }
}

impl<K: Hash + Eq + Clone + Send + 'static, T: Clone + Send + 'static> Flights<K, T> {
    /// Does a job on a thread of its own, unless one with the same key runs, and waits for its result.
    /// Returns `None` if that takes longer than `patience`, or if the job panicked; it goes on.
    pub(super) fn join(
        self: &Arc<Self>,
        key: K,
        patience: Option<Duration>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (flight, is_first) = {
            let mut open = lock(&self.open);
            match open.get(&key) {
                Some(flight) => (Arc::clone(flight), false),
                None => {
                    let flight = Arc::new(Flight { state: Mutex::new(Ended::NotYet), ended: Condvar::new() });
                    open.insert(key.clone(), Arc::clone(&flight));
                    (flight, true)
                }
            }
        };
        if is_first {
            let landing = Landing { flights: Arc::clone(self), key, flight: Arc::clone(&flight), result: None };
            // Without a thread, the landing is dropped with the closure, and all get `None`.
            drop(start_apart("cache", move || landing.end(work())));
        }
        let is_running = |state: &mut Ended<T>| matches!(state, Ended::NotYet);
        let state = lock(&flight.state);
        let state = match patience {
            None => flight.ended.wait_while(state, is_running).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                let waited = flight.ended.wait_timeout_while(state, patience, is_running);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        match &*state {
            Ended::With(result) => Some(result.clone()),
            Ended::Without | Ended::NotYet => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn equal_jobs_are_done_once_and_a_slow_one_is_not_waited_for() {
        let flights: Arc<Flights<u8, usize>> = Arc::default();
        let count = Arc::new(AtomicUsize::new(0));
        let (go, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let job = || {
            let (count, gate) = (Arc::clone(&count), Arc::clone(&gate));
            move || {
                lock(&gate).recv().unwrap();
                count.fetch_add(1, Ordering::SeqCst)
            }
        };
        assert_eq!(flights.join(1, Some(Duration::from_millis(10)), job()), None, "still running");
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let (flights, job) = (Arc::clone(&flights), job());
                std::thread::spawn(move || flights.join(1, None, job))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(50));
        go.send(()).unwrap();
        assert!(waiting.into_iter().all(|one| one.join().unwrap() == Some(0)));
        go.send(()).unwrap();
        assert_eq!(flights.join(1, None, job()), Some(1), "again after the end");
        assert_eq!(flights.join(2, None, || panic!("a test")), None);
        assert!(lock(&flights.open).is_empty());
    }
}
