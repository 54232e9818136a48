//! The tries of one step at one registry.
//!
//! Counts and waits; [`crate::network::retry`] says how long, [`super::outage`] what becomes of a step that has used them up.

use super::exchange::Http;
use crate::content::Error;
use crate::flow::Event;
use crate::network::retry::{self, Trouble};

/// So often the registry may go away and come back within one step.
const MOST_OUTAGES: u32 = 5;

/// Counts the tries of one step.
pub(in crate::registry) struct Tries<'a> {
    http: &'a Http,
    done: u32,
    outages: u32,
}

impl Http {
    /// Returns a new counter for the retries of one step at this registry.
    pub fn tries(&self) -> Tries<'_> {
        self.tries_after(0)
    }

    /// Returns a counter that has counted `done` retries.
    pub fn tries_after(&self, done: u32) -> Tries<'_> {
        Tries { http: self, done, outages: 0 }
    }
}

impl Tries<'_> {
    /// Returns how many tries were made after the first.
    pub fn done(&self) -> u32 {
        self.done
    }

    /// Waits before the next try, or returns the error if no try is left.
    pub fn again(&mut self, trouble: Trouble) -> Result<(), Error> {
        if !trouble.again {
            return Err(trouble.error);
        }
        let (flow, most) = (self.http.flow(), self.http.rules.retries);
        if self.done >= most || !self.http.health.has_tries() {
            let mut error = trouble.error;
            if self.done > 0 {
                error.what = format!("{} (tried {} times)", error.what, self.done + 1);
            }
            if self.outages >= MOST_OUTAGES {
                return Err(error);
            }
            self.http.outlast(error)?;
            (self.done, self.outages) = (0, self.outages + 1);
            return Ok(());
        }
        let wait = retry::before(self.done, trouble.after);
        self.done += 1;
        flow.event(Event::Detail(format!(
            "{}; trying again in {} ms ({} of {most})",
            trouble.error.what,
            wait.as_millis(),
            self.done,
        )));
        retry::pause(flow, wait)
    }
}
