//! Limits in bytes per second, shared by all uploads and downloads under them.
//!
//! Waits on the flow's clock. Does not know about requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::retry;
use crate::base::lock::lock;
use crate::content::Error;
use crate::flow::Flow;

/// Burst that is allowed after a pause.
const BURST: Duration = Duration::from_millis(100);

/// The limits of a run: one for all registries together, and one for each registry that has its
/// own. Several [`crate::registry::Registries`] can share them.
#[derive(Default)]
pub struct Limits {
    all: Option<Arc<Rate>>,
    hosts: Mutex<HashMap<String, Arc<Rate>>>,
}

impl Limits {
    /// Makes the limits of a run. `all` is the number of bytes per second for all registries and
    /// both directions together; `None` for no limit.
    pub fn new(all: Option<u64>) -> Self {
        Self { all: all.map(|limit| Arc::new(Rate::new(limit))), hosts: Mutex::default() }
    }

    /// Returns the limits for `host`, whose own limit is `own`.
    pub fn of(&self, host: &str, own: Option<u64>) -> Vec<Arc<Rate>> {
        let own = own.map(|limit| {
            Arc::clone(lock(&self.hosts).entry(host.to_owned()).or_insert_with(|| Arc::new(Rate::new(limit))))
        });
        self.all.iter().cloned().chain(own).collect()
    }
}

/// One limit.
pub struct Rate {
    per_second: u64,
    /// Time at which everything taken so far is used up.
    free: Mutex<Duration>,
}

impl Rate {
    /// Makes a limit of `per_second` bytes, at least one.
    pub fn new(per_second: u64) -> Self {
        Self { per_second: per_second.max(1), free: Mutex::default() }
    }

    /// Waits until `bytes` more are allowed.
    pub fn take(&self, flow: &Flow, bytes: u64) -> Result<(), Error> {
        retry::pause(flow, self.claim(flow, bytes))
    }

    /// Claims `bytes` more. Returns how long to wait before they are allowed.
    pub fn claim(&self, flow: &Flow, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.per_second);
        let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut free = lock(&self.free);
        let now = flow.clock().elapsed();
        *free = (*free).max(now.saturating_sub(BURST)).saturating_add(time);
        free.saturating_sub(now)
    }

    /// Returns the number of bytes for a quarter of a second, at least 1 KiB.
    pub fn piece(&self) -> u64 {
        (self.per_second / 4).max(1 << 10)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::flow::{Clock as _, FixedClock, Silent};

    #[test]
    fn who_shares_limits_shares_each_of_them() {
        let limits = Limits::new(Some(1000));
        let (one, other) = (limits.of("a.example", Some(10)), limits.of("a.example", Some(10)));
        assert!(one.len() == 2 && one.iter().zip(&other).all(|(one, other)| Arc::ptr_eq(one, other)));
        assert!(!Arc::ptr_eq(&one[1], &limits.of("b.example", Some(10))[1]));
        assert!(limits.of("c.example", None).len() == 1 && Limits::default().of("c.example", None).is_empty());
    }

    #[test]
    fn ten_seconds_of_bytes_take_ten_seconds() {
        let clock = Arc::new(FixedClock::default());
        let flow = Flow::new(Arc::new(Silent), clock.clone(), 1, 1);
        let rate = Rate::new(1000);
        for _ in 0..100 {
            rate.take(&flow, 100).unwrap();
        }
        let taken = clock.elapsed();
        assert!(taken >= Duration::from_millis(9800) && taken <= Duration::from_millis(10_100), "{taken:?}");
        flow.cancel_flag().store(true, Ordering::Relaxed);
        assert!(rate.take(&flow, 1).is_err(), "a cancelled run waits for nothing");
    }
}
