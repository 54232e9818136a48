//! The gate: counts what several threads have pinned, and is the only place that lets a bundle pass
//! (`spec/verification.md`, the final gate).
//!
//! Every unit of the bundle is listed with its expected counts. A unit must be pinned once, with
//! exactly these counts, and a worker that begins must end. Only then, and if nothing is left,
//! [`Gate::close`] returns the tally. Knows neither files nor bundles. `xtask/model` compiles this
//! very file with loom's mutex and atomics and tries every interleaving, so it takes them only from
//! `crate::bundle::sync`.

use super::sync::{AtomicUsize, Mutex, MutexGuard, Ordering, PoisonError};

/// Numbers of things that were checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Members whose every byte was compared or hashed.
    pub members: u64,
    /// Blobs among them.
    pub blobs: u64,
    /// Frames.
    pub frames: u64,
    /// Bytes of the tar stream.
    pub bytes: u64,
}

impl Tally {
    /// Returns the sum of both, or `None` on overflow.
    pub fn plus(self, other: Self) -> Option<Self> {
        Some(Self {
            members: self.members.checked_add(other.members)?,
            blobs: self.blobs.checked_add(other.blobs)?,
            frames: self.frames.checked_add(other.frames)?,
            bytes: self.bytes.checked_add(other.bytes)?,
        })
    }
}

/// How the check of one unit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Every byte is right; holds the counts.
    Pinned(Tally),
    /// It is wrong or was not checked. Other units continue.
    Open,
    /// Like [`Step::Open`], but no further unit is begun.
    Stop,
}

/// Reason why the gate stays closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// A worker began but did not end.
    #[error("internal error: a worker of the check ended early")]
    Worker,
    /// A unit was pinned twice, or is not listed.
    #[error("final gate: unit {0} was counted more than once")]
    Twice(usize),
    /// A unit has other counts than the manifest lists for it.
    #[error("final gate: unit {unit}: expected {expected:?}, found {found:?}")]
    Differs {
        /// Number of the unit, from 0.
        unit: usize,
        /// Counts from the manifest.
        expected: Tally,
        /// Counts found.
        found: Tally,
    },
    /// Something was not pinned.
    #[error("final gate: expected {expected:?}, found {found:?}")]
    Incomplete {
        /// Counts from the manifest.
        expected: Tally,
        /// Counts found.
        found: Tally,
    },
}

/// Units of one bundle and their states.
#[derive(Debug)]
pub struct Gate {
    whole: Tally,
    units: Vec<Tally>,
    next: AtomicUsize,
    count: Mutex<Count>,
}

#[derive(Debug)]
struct Count {
    tally: Tally,
    pinned: Vec<bool>,
    workers: usize,
    refused: Option<Closed>,
}

impl Gate {
    /// Returns a gate for `units`, given by their counts, which must add up to `whole`.
    pub fn new(whole: Tally, units: Vec<Tally>) -> Self {
        let pinned = vec![false; units.len()];
        let count = Mutex::new(Count { tally: Tally::default(), pinned, workers: 0, refused: None });
        Self { whole, units, next: AtomicUsize::new(0), count }
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        // `close` decides by what a panic left behind, not by whether the lock is poisoned.
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one worker: takes units in `order`, which all workers share, until none are left.
    pub fn work(&self, order: &[usize], check: impl Fn(usize) -> Step) {
        self.count().workers += 1;
        while let Some(&unit) = order.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            match check(unit) {
                Step::Pinned(found) => self.pin(unit, found),
                Step::Open => {}
                Step::Stop => self.next.store(order.len(), Ordering::Relaxed),
            }
        }
        // Not reached if `check` panics; then the gate stays closed.
        self.count().workers -= 1;
    }

    /// Counts a unit that is right. [`Gate::work`] does so itself; readers in one pass must call
    /// it.
    pub fn pin(&self, unit: usize, found: Tally) {
        let mut count = self.count();
        let refused = match (self.units.get(unit), count.pinned.get(unit)) {
            (Some(&expected), Some(false)) if expected != found => Some(Closed::Differs { unit, expected, found }),
            (Some(_), Some(false)) => None,
            _ => Some(Closed::Twice(unit)),
        };
        match (refused, count.tally.plus(found)) {
            (None, Some(tally)) => {
                count.tally = tally;
                count.pinned[unit] = true;
            }
            (refused, _) => {
                let refused = refused.unwrap_or(Closed::Twice(unit));
                count.refused.get_or_insert(refused);
            }
        }
    }

    /// Closes the gate. The only place that lets a bundle pass.
    ///
    /// # Errors
    /// [`Closed`]: the first reason, but a lost worker before all others.
    pub fn close(self) -> Result<Tally, Closed> {
        let count = self.count.into_inner().unwrap_or_else(PoisonError::into_inner);
        if count.workers != 0 {
            return Err(Closed::Worker);
        }
        if let Some(refused) = count.refused {
            return Err(refused);
        }
        if count.tally == self.whole && count.pinned.iter().all(|&pinned| pinned) {
            Ok(count.tally)
        } else {
            Err(Closed::Incomplete { expected: self.whole, found: count.tally })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Tally = Tally { members: 2, blobs: 1, frames: 1, bytes: 1024 };
    const TWO: Tally = Tally { members: 1, blobs: 1, frames: 3, bytes: 4096 };

    fn two() -> Gate {
        Gate::new(ONE.plus(TWO).unwrap(), vec![ONE, TWO])
    }

    #[test]
    fn every_unit_once_passes() {
        let gate = two();
        gate.work(&[1, 0], |unit| Step::Pinned([ONE, TWO][unit]));
        assert_eq!(gate.close(), Ok(ONE.plus(TWO).unwrap()));
    }

    #[test]
    fn what_is_open_stays_closed() {
        for (steps, begun) in [([Step::Open, Step::Pinned(TWO)], 2), ([Step::Stop, Step::Pinned(TWO)], 1)] {
            let (gate, seen) = (two(), std::cell::Cell::new(0));
            gate.work(&[0, 1], |unit| {
                seen.set(seen.get() + 1);
                steps[unit]
            });
            assert!(matches!(gate.close(), Err(Closed::Incomplete { .. })));
            assert_eq!(seen.get(), begun);
        }
    }

    #[test]
    fn each_wrong_count_is_refused() {
        let mut wrong = Vec::new();
        for (members, blobs, frames, bytes) in [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)] {
            wrong.push(ONE.plus(Tally { members, blobs, frames, bytes }).unwrap());
        }
        for found in wrong {
            let gate = two();
            gate.pin(0, found);
            gate.pin(1, TWO);
            assert_eq!(gate.close(), Err(Closed::Differs { unit: 0, expected: ONE, found }));
        }
    }

    #[test]
    fn twice_is_refused_even_where_the_sum_fits() {
        let gate = Gate::new(ONE.plus(ONE).unwrap(), vec![ONE, ONE]);
        gate.work(&[0, 0], |_| Step::Pinned(ONE));
        assert_eq!(gate.close(), Err(Closed::Twice(0)));
        let all = two();
        all.work(&[0, 1, 1], |unit| Step::Pinned([ONE, TWO][unit]));
        assert_eq!(all.close(), Err(Closed::Twice(1)));
        let beyond = two();
        beyond.pin(2, ONE);
        assert_eq!(beyond.close(), Err(Closed::Twice(2)));
    }

    #[test]
    fn units_that_are_not_the_whole_are_refused() {
        let gate = Gate::new(ONE, vec![ONE, Tally::default()]);
        gate.pin(0, ONE);
        assert!(matches!(gate.close(), Err(Closed::Incomplete { .. })), "an empty unit counts too");
        let gate = Gate::new(ONE.plus(TWO).unwrap(), vec![ONE]);
        gate.pin(0, ONE);
        assert!(matches!(gate.close(), Err(Closed::Incomplete { .. })));
    }

    #[test]
    fn after_a_panic_it_stays_closed_although_all_was_pinned() {
        let gate = two();
        let lost = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            gate.work(
                &[0, 1, 1],
                |unit| if gate.count().pinned[unit] { panic!() } else { Step::Pinned([ONE, TWO][unit]) },
            );
        }));
        assert!(lost.is_err());
        assert_eq!(gate.close(), Err(Closed::Worker));
    }
}
