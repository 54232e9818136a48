//! Context of every operation: cancel flag, event sink, clock, and numbers of jobs and threads.
//!
//! None of this is global, so that Ctrl-C, limits and a fixed time in tests work in every
//! operation.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{JoinHandle, Scope, ScopedJoinHandle};
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::base::fault::{Class, Fault};
use crate::base::lock::{into_inner, lock};

/// Source of time: that of the process or of a test.
pub trait Clock: Send + Sync {
    /// Returns the seconds since 1970-01-01T00:00:00Z.
    fn unix(&self) -> i64;
    /// Returns the time since a fixed moment. Never goes back.
    fn elapsed(&self) -> Duration;
    /// Waits for `time`.
    fn sleep(&self, time: Duration);
}

/// A clock that advances only by sleeping.
#[derive(Default)]
pub struct FixedClock {
    /// Seconds since 1970 at the start.
    pub start: i64,
    slept: Mutex<Duration>,
}

impl FixedClock {
    /// Makes a clock that starts at `start` seconds since 1970.
    pub fn at(start: i64) -> Self {
        Self { start, slept: Mutex::default() }
    }
}

impl Clock for FixedClock {
    fn unix(&self) -> i64 {
        self.start.saturating_add(i64::try_from(self.elapsed().as_secs()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        *lock(&self.slept)
    }

    fn sleep(&self, time: Duration) {
        *lock(&self.slept) += time;
    }
}

/// A report of progress from an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A stage begins. The totals are those known now; 0 means unknown.
    Stage {
        /// Name of the stage, shown to the user (`writing`, `checking`).
        name: &'static str,
        /// Number of bytes to process.
        bytes: u64,
        /// Number of items to process.
        items: u64,
    },
    /// Number of further bytes of the stage that are done.
    Bytes(u64),
    /// One more item of the stage is done.
    Item(String),
    /// A host that has stopped answering is waited for.
    Waiting {
        /// Its name.
        host: String,
        /// How often it was looked for, this time included.
        tries: u32,
        /// How long it is waited for at most.
        left: Duration,
    },
    /// A warning for the user; the run continues.
    Warning(String),
    /// A detail for `-v`.
    Detail(String),
    /// Everything that follows belongs to the run of a pipeline with this id, or to none.
    Run(Option<String>),
}

/// A receiver of events, called from many threads.
pub trait Events: Send + Sync {
    /// Receives one event.
    fn event(&self, event: Event);
}

/// A receiver that discards events.
pub struct Silent;

impl Events for Silent {
    fn event(&self, _: Event) {}
}

/// Context that every operation takes. Cheap to clone.
#[derive(Clone)]
pub struct Flow {
    cancel: Arc<AtomicBool>,
    events: Arc<dyn Events>,
    clock: Arc<dyn Clock>,
    // Made when first needed; `None` if the system cannot start a thread.
    pool: Arc<OnceLock<Option<ThreadPool>>>,
    /// Number of concurrent transfers.
    pub jobs: usize,
    /// Number of threads for CPU work, at most the number of cores.
    pub cpus: usize,
}

/// Error: the run was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

impl From<Cancelled> for Fault {
    fn from(_: Cancelled) -> Self {
        Self::new(Class::Cancelled, "cancelled")
    }
}

impl Flow {
    /// Makes a flow with `jobs` transfers and `cpus` threads for CPU work.
    pub fn new(events: Arc<dyn Events>, clock: Arc<dyn Clock>, jobs: usize, cpus: usize) -> Self {
        let (cancel, pool) = (Arc::new(AtomicBool::new(false)), Arc::default());
        Self { cancel, events, clock, pool, jobs: jobs.max(1), cpus: cpus.max(1) }
    }

    /// Returns the flag that a signal handler sets.
    pub fn cancel_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancel)
    }

    /// Reports whether the run was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// Returns an error if the run was cancelled.
    ///
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

    /// Runs `work` on every thread of the pool for CPU work at the same time, and waits for all of
    /// them. The pool is made once per run, with `cpus` threads or as many as the system allows. If
    /// it allows none, the calling thread does the work.
    ///
    /// # Panics
    /// If `work` panics on a thread, after the others have ended.
    pub fn on_all_cpus(&self, work: impl Fn() + Sync) {
        match self.pool.get_or_init(|| pool(self.cpus)) {
            Some(pool) => drop(pool.broadcast(|_| work())),
            None => work(),
        }
    }

    /// Returns the clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Returns this flow without events, for work whose progress another stage reports.
    #[must_use]
    pub fn quiet(&self) -> Self {
        Self { events: Arc::new(Silent), ..self.clone() }
    }

    /// Returns this flow with its event receiver replaced by the result of `make`.
    #[must_use]
    pub fn with_events(mut self, make: impl FnOnce(Arc<dyn Events>) -> Arc<dyn Events>) -> Self {
        self.events = make(self.events);
        self
    }

    /// Returns this flow with another number of jobs.
    #[must_use]
    pub fn with_jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs.max(1);
        self
    }
}

/// Makes a pool of `threads` threads. If that fails, tries half as many, and so on down to none.
fn pool(mut threads: usize) -> Option<ThreadPool> {
    while threads > 0 {
        if let Ok(pool) = ThreadPoolBuilder::new().num_threads(threads).build() {
            return Some(pool);
        }
        threads /= 2;
    }
    None
}

/// Error: the system could not start a thread.
#[derive(Debug, thiserror::Error)]
#[error("threads: expected one more, found none: {0}")]
pub struct NoThread(std::io::Error);

impl NoThread {
    /// Advice for this error.
    pub const HELP: &str = "use fewer --jobs, or allow the process more threads and memory (ulimit -u, ulimit -v)";
}

impl From<NoThread> for Fault {
    fn from(none: NoThread) -> Self {
        Self::new(Class::Io, none.to_string()).help(NoThread::HELP)
    }
}

/// Starts up to `count` threads that each run `work`: as many as the system allows. If it allows
/// none, runs `work` on the calling thread and returns no threads.
pub fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    count: usize,
    work: impl Fn() + Send + Copy + 'scope,
) -> Vec<ScopedJoinHandle<'scope, ()>> {
    let mut threads = Vec::new();
    while threads.len() < count {
        match std::thread::Builder::new().spawn_scoped(scope, work) {
            Ok(thread) => threads.push(thread),
            Err(_) => break,
        }
    }
    if threads.is_empty() && count > 0 {
        work();
    }
    threads
}

/// Starts one thread that is required.
///
/// # Errors
/// [`NoThread`].
pub fn start_one<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, NoThread> {
    std::thread::Builder::new().spawn_scoped(scope, work).map_err(NoThread)
}

/// Starts one thread that is required and outlives the caller.
///
/// # Errors
/// [`NoThread`].
pub fn start_apart<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, NoThread> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(NoThread)
}

/// Starts at least one and up to `count` threads that each run `work`.
///
/// # Errors
/// [`NoThread`].
pub fn start_some<'scope>(
    scope: &'scope Scope<'scope, '_>,
    count: usize,
    work: impl Fn() + Send + Copy + 'scope,
) -> Result<Vec<ScopedJoinHandle<'scope, ()>>, NoThread> {
    let mut threads = vec![start_one(scope, work)?];
    while threads.len() < count {
        match start_one(scope, work) {
            Ok(thread) => threads.push(thread),
            Err(_) => break,
        }
    }
    Ok(threads)
}

/// Runs `work` for every item with at most `flow.jobs` threads. Returns the results in the order of
/// the items.
///
/// # Errors
/// [`Cancelled`] once the run is cancelled; waits for work that has begun.
pub fn each<T: Sync, R: Send>(flow: &Flow, items: &[T], work: impl Fn(&T) -> R + Sync) -> Result<Vec<R>, Cancelled> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let run = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            if flow.is_cancelled() {
                return;
            }
            let result = work(item);
            lock(&done).push((index, result));
        }
    };
    std::thread::scope(|scope| {
        let run = &run;
        drop(start(scope, flow.jobs.min(items.len()), run));
    });
    flow.check()?;
    let mut done = into_inner(done);
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}
