//! What every operation is given: cancel flag, event sink, clock, numbers of jobs, limits.
//!
//! Nothing of these is global, so that Ctrl-C, a rate limit and a fixed time in tests work in every
//! operation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The time, as the process or a test gives it.
pub trait Clock: Send + Sync {
    /// Seconds since 1970-01-01T00:00:00Z.
    fn unix(&self) -> i64;
    /// Time since some fixed moment; never goes back.
    fn elapsed(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
}

/// What an operation tells while it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A stage begins; the totals are what is known now (0: unknown).
    Stage {
        /// Its name, in the words of the command's user (`writing`, `checking`).
        name: &'static str,
        /// Bytes to come.
        bytes: u64,
        /// Things to come.
        items: u64,
    },
    /// So many more bytes of the stage are done.
    Bytes(u64),
    /// One more thing of the stage is done.
    Item(String),
    /// Something that its reader should know; the run goes on.
    Warning(String),
    /// A detail for `-v`.
    Detail(String),
}

/// Takes events; called from many threads.
pub trait Events: Send + Sync {
    /// Takes one.
    fn event(&self, event: Event);
}

/// Events go nowhere.
pub struct Silent;

impl Events for Silent {
    fn event(&self, _: Event) {}
}

/// The value that every operation takes. Cheap to clone.
#[derive(Clone)]
pub struct Flow {
    cancel: Arc<AtomicBool>,
    events: Arc<dyn Events>,
    clock: Arc<dyn Clock>,
    /// Transfers at once.
    pub jobs: usize,
    /// Threads for CPU work: at most the cores.
    pub cpus: usize,
    /// Bytes a second over all transfers; `None`: no limit.
    pub limit_rate: Option<u64>,
}

/// The run was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

impl Flow {
    /// A flow with `jobs` transfers and `cpus` threads for CPU work.
    pub fn new(events: Arc<dyn Events>, clock: Arc<dyn Clock>, jobs: usize, cpus: usize) -> Self {
        Self {
            cancel: Arc::new(AtomicBool::new(false)),
            events,
            clock,
            jobs: jobs.max(1),
            cpus: cpus.max(1),
            limit_rate: None,
        }
    }

    /// The flag that a signal handler sets.
    pub fn cancel_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancel)
    }

    /// Whether the run was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// # Errors
    /// [`Cancelled`] once the flag is set.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// Sends an event.
    pub fn event(&self, event: Event) {
        self.events.event(event);
    }

    /// Sends a warning.
    pub fn warn(&self, text: impl Into<String>) {
        self.events.event(Event::Warning(text.into()));
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The same events, flag and clock with another number of jobs.
    #[must_use]
    pub fn with_jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs.max(1);
        self
    }
}
