//! Workers of a check: CPU threads take units from one gate, and their errors are collected.
//!
//! Knows no bundle; the caller's function decides which units are right.

use crate::base::lock::{into_inner, lock};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use super::gate::{Gate, Step, Tally};
use crate::base::fault::Class;
use crate::bundle::Error;
use crate::flow::Flow;

/// Errors found so far.
#[derive(Debug)]
pub(super) struct Findings {
    fail_fast: bool,
    errors: Mutex<Vec<Error>>,
}

impl Findings {
    /// Returns empty findings. With `fail_fast` the first error ends the check.
    pub(super) const fn new(fail_fast: bool) -> Self {
        Self { fail_fast, errors: Mutex::new(Vec::new()) }
    }

    /// Adds an error. Returns whether it ends the check.
    pub(super) fn add(&self, error: Error) -> bool {
        let ends = self.fail_fast || error.class == Class::Cancelled;
        lock(&self.errors).push(error);
        ends
    }

    /// Adds errors that were found after the workers ended.
    pub(super) fn extend(&self, errors: Vec<Error>) {
        lock(&self.errors).extend(errors);
    }

    /// Returns the errors sorted by text, without duplicates.
    pub(super) fn into_sorted(self) -> Vec<Error> {
        let mut errors = into_inner(self.errors);
        errors.sort_by(|a, b| a.what.cmp(&b.what));
        errors.dedup();
        errors
    }
}

/// Checks the units of `gate` in `order`, several at once, and pins those that are right. `check`
/// returns the counts of a unit, or `None` to leave it open without an error.
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
    // A panic leaves the gate closed; here it only must not spread.
    drop(catch_unwind(AssertUnwindSafe(|| flow.on_all_cpus(|| gate.work(order, step)))));
}
