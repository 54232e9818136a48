//! The workers of a check: the threads for CPU work take units from one gate, and what they find is collected.
//!
//! Knows no bundle; which unit holds is for the caller's function to say.

use crate::base::lock::{into_inner, lock};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use super::gate::{Gate, Step, Tally};
use crate::base::fault::Class;
use crate::bundle::Error;
use crate::flow::Flow;

/// The errors that were found so far.
#[derive(Debug)]
pub(super) struct Findings {
    fail_fast: bool,
    errors: Mutex<Vec<Error>>,
}

impl Findings {
    /// Of nothing yet; with `fail_fast` the first one ends the check.
    pub(super) const fn new(fail_fast: bool) -> Self {
        Self { fail_fast, errors: Mutex::new(Vec::new()) }
    }

    /// Takes an error; returns whether it ends the check.
    pub(super) fn add(&self, error: Error) -> bool {
        let ends = self.fail_fast || error.class == Class::Cancelled;
        lock(&self.errors).push(error);
        ends
    }

    /// Takes errors that were found after the workers ended.
    pub(super) fn extend(&self, errors: Vec<Error>) {
        lock(&self.errors).extend(errors);
    }

    /// Returns the errors in the order of their texts, each once.
    pub(super) fn into_sorted(self) -> Vec<Error> {
        let mut errors = into_inner(self.errors);
        errors.sort_by(|a, b| a.what.cmp(&b.what));
        errors.dedup();
        errors
    }
}

/// Checks the units of `gate` in `order`, several at once, and pins those that hold. `check` counts what is in a unit;
/// `None` leaves it open without a finding.
pub(super) fn check_all(
    gate: &Gate,
    order: &[usize],
    findings: &Findings,
    flow: &Flow,
    check: impl Fn(usize) -> Result<Option<Tally>, Error> + Sync,
) {
    let step = |unit: usize| match check(unit) {
        Ok(Some(counted)) => Step::Pinned(counted),
        Ok(None) => Step::Open,
        Err(error) => {
            if findings.add(error) {
                Step::Stop
            } else {
                Step::Open
            }
        }
    };
    // A panic was taken note of by the gate, which stays closed; here it must only not spread.
    drop(catch_unwind(AssertUnwindSafe(|| flow.on_all_cpus(|| gate.work(order, step)))));
}
