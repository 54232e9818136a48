//! Limits how many threads wait for one server at once: fewer when it asks to slow
//! down, then slowly more again.
//!
//! A thread holds a permit only while it waits for this registry, never while it waits for anything
//! else (a disk, another registry, a consumer), so that permits cannot deadlock.

use std::fmt::Display;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::retry;
use crate::base::lock::{lock, wait};
use crate::content::Error;
use crate::flow::{Cancelled, Event, Flow};

/// Interval at which a waiting thread checks for cancellation.
const TICK: Duration = Duration::from_millis(100);
/// Refusals within this time halve the limit only once, since they answer one burst of requests.
const SAME: Duration = Duration::from_secs(1);
/// Time without a refusal after which the limit is raised by one.
const CALM: Duration = Duration::from_secs(5);

struct State {
    limit: usize,
    active: usize,
    waiting: usize,
    changed: Option<Duration>,
    /// No new requests before this time.
    closed_until: Duration,
}

/// The permits of one registry.
pub struct Pace {
    most: usize,
    state: Mutex<State>,
    freed: Condvar,
}

/// Permission to wait for the registry, until it is dropped.
pub struct Permit<'a>(&'a Pace);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.active -= 1;
        if state.waiting > 0 {
            self.0.freed.notify_one();
        }
    }
}

impl Pace {
    /// Makes `most` permits, all available from the start.
    pub fn new(most: usize) -> Self {
        let most = most.max(1);
        let state = State { limit: most, active: 0, waiting: 0, changed: None, closed_until: Duration::ZERO };
        Self { most, state: Mutex::new(state), freed: Condvar::new() }
    }

    /// Waits for a permit.
    pub fn enter(&self, flow: &Flow) -> Result<Permit<'_>, Cancelled> {
        let mut state = lock(&self.state);
        while state.active >= state.limit {
            flow.check()?;
            state.waiting += 1;
            state = wait(&self.freed, state, TICK);
            state.waiting -= 1;
        }
        state.active += 1;
        Ok(Permit(self))
    }

    /// Waits, before a new request, as long as the registry has asked for.
    pub fn hold(&self, flow: &Flow) -> Result<(), Error> {
        let until = lock(&self.state).closed_until;
        if until.is_zero() {
            return Ok(());
        }
        retry::pause(flow, until.saturating_sub(flow.clock().elapsed()))
    }

    /// Halves the permits after the registry answered `status` and maybe asked to wait for `after`.
    pub fn slower(&self, flow: &Flow, name: &dyn Display, status: u16, after: Option<Duration>) {
        let now = flow.clock().elapsed();
        let (from, to) = {
            let mut state = lock(&self.state);
            if let Some(after) = after {
                state.closed_until = state.closed_until.max(now.saturating_add(after));
            }
            let from = state.limit;
            if state.changed.is_none_or(|changed| now >= changed.saturating_add(SAME)) {
                state.limit = (from / 2).max(1);
            }
            state.changed = Some(now);
            (from, state.limit)
        };
        if from != to {
            flow.event(Event::Detail(format!(
                "{name}: asks to slow down, status {status}; {to} requests at once instead of {from}"
            )));
        }
    }

    /// Records a good response; adds a permit after some time without refusals.
    pub fn well(&self, flow: &Flow, name: &dyn Display) {
        let more = {
            let mut state = lock(&self.state);
            let Some(changed) = state.changed.filter(|_| state.limit < self.most) else { return };
            let now = flow.clock().elapsed();
            if now < changed.saturating_add(CALM) {
                return;
            }
            state.limit += 1;
            state.changed = Some(now);
            self.freed.notify_one();
            state.limit
        };
        flow.event(Event::Detail(format!("{name}: {more} requests at once again")));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::flow::{Clock as _, FixedClock, Silent};

    fn flow() -> (Flow, Arc<FixedClock>) {
        let clock = Arc::new(FixedClock::default());
        (Flow::new(Arc::new(Silent), clock.clone(), 1, 1), clock)
    }

    #[test]
    fn halves_once_a_crowd_and_recovers_one_by_one() {
        let (flow, clock) = flow();
        let pace = Pace::new(8);
        let limit = || lock(&pace.state).limit;
        let wait_until = |second| clock.sleep(Duration::from_secs(second).saturating_sub(clock.elapsed()));
        pace.slower(&flow, &"h", 429, None);
        pace.slower(&flow, &"h", 429, None);
        assert_eq!(limit(), 4, "two answers at the same time are one reason");
        for (at, left) in [(10, 2), (20, 1), (30, 1)] {
            wait_until(at);
            pace.slower(&flow, &"h", 503, None);
            assert_eq!(limit(), left);
        }
        for (at, now) in [(31, 1), (35, 2), (36, 2), (40, 3), (50, 4), (60, 5), (70, 6), (80, 7), (90, 8), (99, 8)] {
            wait_until(at);
            pace.well(&flow, &"h");
            assert_eq!(limit(), now, "{at}");
        }
    }

    #[test]
    fn what_one_was_asked_to_wait_all_wait() {
        let (flow, clock) = flow();
        let pace = Pace::new(4);
        pace.slower(&flow, &"h", 429, Some(Duration::from_secs(7)));
        pace.hold(&flow).unwrap();
        assert!(clock.elapsed() >= Duration::from_secs(7));
    }

    #[test]
    fn never_more_than_the_limit_wait_at_once() {
        let (flow, _) = flow();
        let pace = Pace::new(2);
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let _permit = pace.enter(&flow).unwrap();
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_micros(200));
                        now.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 2);
        let _one = (pace.enter(&flow).unwrap(), pace.enter(&flow).unwrap());
        flow.cancel_flag().store(true, Ordering::Relaxed);
        assert!(pace.enter(&flow).is_err(), "a cancelled run waits for no permit");
    }
}
