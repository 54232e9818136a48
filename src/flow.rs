//! What every operation is given: cancel flag, event sink, clock, numbers of jobs, limits.
//!
//! Nothing of these is global, so that Ctrl-C, a rate limit and a fixed time in tests work in every
//! operation.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::base::fault::{Class, Fault};
use crate::base::lock::{into_inner, lock};

/// The time, as the process or a test gives it.
pub trait Clock: Send + Sync {
    /// Seconds since 1970-01-01T00:00:00Z.
    fn unix(&self) -> i64;
    /// Time since some fixed moment; never goes back.
    fn elapsed(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
}

/// A clock that moves only when someone sleeps.
#[derive(Default)]
pub struct FixedClock {
    /// Seconds since 1970 at the start.
    pub start: i64,
    slept: Mutex<Duration>,
}

impl FixedClock {
    /// A clock that shows `start` seconds since 1970.
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
    /// A host that has stopped answering is waited for.
    Waiting {
        /// Its name.
        host: String,
        /// How often it was looked for, this time included.
        tries: u32,
        /// How long it is waited for at most.
        left: Duration,
    },
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
    // Made when it is first needed; `None` where the system gives no thread.
    pool: Arc<OnceLock<Option<ThreadPool>>>,
    /// Transfers at once.
    pub jobs: usize,
    /// Threads for CPU work: at most the cores.
    pub cpus: usize,
}

/// The run was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

impl From<Cancelled> for Fault {
    fn from(_: Cancelled) -> Self {
        Self::new(Class::Cancelled, "cancelled")
    }
}

impl Flow {
    /// A flow with `jobs` transfers and `cpus` threads for CPU work.
    pub fn new(events: Arc<dyn Events>, clock: Arc<dyn Clock>, jobs: usize, cpus: usize) -> Self {
        let (cancel, pool) = (Arc::new(AtomicBool::new(false)), Arc::default());
        Self { cancel, events, clock, pool, jobs: jobs.max(1), cpus: cpus.max(1) }
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

    /// Does `work` on every thread of the pool for CPU work at once and waits for all of them. The pool is made once a run,
    /// of `cpus` threads or as many as the system gives; where it gives none, the caller's thread does the work.
    ///
    /// # Panics
    /// Where `work` does on some thread, after the others have ended.
    pub fn on_all_cpus(&self, work: impl Fn() + Sync) {
        match self.pool.get_or_init(|| pool(self.cpus)) {
            Some(pool) => drop(pool.broadcast(|_| work())),
            None => work(),
        }
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The same without events: for work whose progress another stage tells.
    #[must_use]
    pub fn quiet(&self) -> Self {
        Self { events: Arc::new(Silent), ..self.clone() }
    }

    /// Returns the flow with the listener that `make` makes of its own.
    #[must_use]
    pub fn with_events(mut self, make: impl FnOnce(Arc<dyn Events>) -> Arc<dyn Events>) -> Self {
        self.events = make(self.events);
        self
    }

    /// The same events, flag and clock with another number of jobs.
    #[must_use]
    pub fn with_jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs.max(1);
        self
    }
}

/// Makes a pool of `threads` threads; where the system gives fewer, of half as many, and so on down to none.
fn pool(mut threads: usize) -> Option<ThreadPool> {
    while threads > 0 {
        if let Ok(pool) = ThreadPoolBuilder::new().num_threads(threads).build() {
            return Some(pool);
        }
        threads /= 2;
    }
    None
}

/// The system gave no thread.
#[derive(Debug, thiserror::Error)]
#[error("threads: expected one more, found none: {0}")]
pub struct NoThread(std::io::Error);

impl NoThread {
    /// What to do about it.
    pub const HELP: &str = "use fewer --jobs, or let the process have more threads and memory (ulimit -u, ulimit -v)";
}

impl From<NoThread> for Fault {
    fn from(none: NoThread) -> Self {
        Self::new(Class::Io, none.to_string()).help(NoThread::HELP)
    }
}

/// Starts up to `count` threads that each do `work`: as many as the system gives. Where it gives none, the caller does the
/// work itself and there are none to wait for.
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

/// Starts one thread, which cannot be done without.
///
/// # Errors
/// [`NoThread`].
pub fn start_one<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, NoThread> {
    std::thread::Builder::new().spawn_scoped(scope, work).map_err(NoThread)
}

/// Starts up to `count` threads that each do `work`, and one at least.
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

/// `work` done for every item with at most `flow.jobs` threads; the results stand in the items' order
/// whatever the timing.
///
/// # Errors
/// [`Cancelled`] once the run is cancelled; work that has begun is waited for.
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
