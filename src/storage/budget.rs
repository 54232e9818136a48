//! Memory for the parts of uploads: limited for all uploads of a container together, however many
//! files and parts are sent at once.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::base::lock::lock;
use crate::content::Error;
use crate::flow::Flow;

/// Time after which a wait looks whether the run was cancelled.
const LOOK: Duration = Duration::from_millis(100);

/// Bytes that may be in memory at once.
pub(super) struct Budget {
    most: u64,
    used: Mutex<u64>,
    freed: Condvar,
}

/// Bytes that are in memory until this is dropped.
pub(super) struct Held {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { most, used: Mutex::default(), freed: Condvar::new() })
    }

    /// Waits until `bytes` fit. A part that is larger than everything goes alone.
    ///
    /// # Errors
    /// The cancellation of the run.
    pub(super) fn take(self: &Arc<Self>, bytes: u64, flow: &Flow) -> Result<Held, Error> {
        let mut used = lock(&self.used);
        while *used > 0 && *used + bytes > self.most {
            flow.check()?;
            (used, _) = self.freed.wait_timeout(used, LOOK).unwrap_or_else(PoisonError::into_inner);
        }
        *used += bytes;
        drop(used);
        Ok(Held { budget: Arc::clone(self), bytes })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        *lock(&self.budget.used) -= self.bytes;
        self.budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::flow::{FixedClock, Silent};

    #[test]
    fn no_more_is_held_than_fits_and_a_large_part_goes_alone() {
        let (budget, flow) = (Budget::new(10), Flow::new(Arc::new(Silent), Arc::new(FixedClock::at(0)), 1, 1));
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for size in [4, 4, 25, 3, 9] {
                let (budget, flow, now, most) = (&budget, &flow, &now, &most);
                scope.spawn(move || {
                    for _ in 0..20 {
                        let held = budget.take(size, flow).unwrap();
                        let all = now.fetch_add(size, Ordering::SeqCst) + size;
                        assert!(all <= 10 || all == 25, "{all}");
                        most.fetch_max(all, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(size, Ordering::SeqCst);
                        drop(held);
                    }
                });
            }
        });
        assert_eq!((most.into_inner(), *lock(&budget.used)), (25, 0));
    }
}
