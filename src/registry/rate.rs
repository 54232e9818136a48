//! A limit in bytes per second, shared by all bodies that go through it, both ways.
//!
//! Waits on the flow's clock; knows nothing of requests.

use std::sync::Mutex;
use std::time::Duration;

use super::client::lock;
use super::retry;
use crate::content::Error;
use crate::flow::Flow;

/// What may go at once after a pause.
const BURST: Duration = Duration::from_millis(100);

/// One limit.
pub(super) struct Rate {
    per_second: u64,
    /// When everything taken so far has had its time.
    free: Mutex<Duration>,
}

impl Rate {
    /// `per_second` bytes; none at all is one.
    pub fn new(per_second: u64) -> Self {
        Self { per_second: per_second.max(1), free: Mutex::default() }
    }

    /// Waits until `bytes` more may have gone.
    pub fn take(&self, flow: &Flow, bytes: u64) -> Result<(), Error> {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.per_second);
        let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let wait = {
            let mut free = lock(&self.free);
            let now = flow.clock().elapsed();
            *free = (*free).max(now.saturating_sub(BURST)).saturating_add(time);
            free.saturating_sub(now)
        };
        retry::pause(flow, wait)
    }

    /// Bytes that are a quarter of a second's.
    pub fn piece(&self) -> u64 {
        (self.per_second / 4).max(1 << 10)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::flow::{Clock, Silent};

    /// Waits by moving itself.
    #[derive(Default)]
    pub struct Moved(AtomicU64);

    impl Clock for Moved {
        fn unix(&self) -> i64 {
            0
        }
        fn elapsed(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }
        fn sleep(&self, time: Duration) {
            self.0.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
        }
    }

    #[test]
    fn ten_seconds_of_bytes_take_ten_seconds() {
        let clock = Arc::new(Moved::default());
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
