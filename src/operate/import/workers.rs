//! The threads of an import: they take items from one list until it ends, one fails, or the run is
//! cancelled.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::base::fault::{Class, Fault};
use crate::base::lock::{into_inner, lock};
use crate::flow::{Flow, each};

pub(super) struct Workers<'a> {
    flow: &'a Flow,
    stop: Arc<AtomicBool>,
}

impl<'a> Workers<'a> {
    pub(super) fn new(flow: &'a Flow) -> Self {
        Self { flow, stop: Arc::default() }
    }

    /// Returns the flag that is set when an item fails; long reads check it.
    pub(super) fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Returns whether work should end, because an item failed or the run was cancelled.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.flow.is_cancelled()
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        Ok(self.flow.check()?)
    }

    /// Runs `work` on every item, `flow.jobs` at a time, starting them in order. After the first
    /// fault, no further items are started; the faults of items in progress are added to it.
    pub(super) fn each<T: Sync>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> Result<(), Fault> + Sync,
    ) -> Result<(), Fault> {
        let faults = Mutex::new(Vec::new());
        let ended = each(self.flow, items, |item| {
            if self.is_stopped() {
                return;
            }
            if let Err(fault) = work(item) {
                // Ignore an item that ended only because another one failed.
                let is_echo = fault.class == Class::Cancelled && !self.flow.is_cancelled();
                if !is_echo {
                    lock(&faults).push(fault);
                }
                self.stop.store(true, Ordering::Relaxed);
            }
        });
        let faults = into_inner(faults);
        if let Some(fault) = Fault::from_list(faults) {
            return Err(fault);
        }
        Ok(ended.map(drop)?)
    }
}
