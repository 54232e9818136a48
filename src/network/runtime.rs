//! The private async runtime used by the blocking traits, and the only way to wait for it.
//!
//! Every wait checks the flow's cancel flag ten times a second, and ends when nothing arrives
//! within the idle time. Does no I/O itself.

use std::future::Future;
use std::panic::catch_unwind;
use std::pin::pin;
use std::time::Duration;

use tokio::runtime::{self, Builder, Handle};
use tokio::time::timeout;

use crate::content::{Error, Kind};
use crate::flow::{Flow, NoThread};

/// Interval at which a wait checks for cancellation.
const TICK: Duration = Duration::from_millis(100);

/// Reason why a wait ended without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The run was cancelled.
    Cancelled,
    /// Nothing arrived for this long.
    Idle(Duration),
}

/// The runtime and the flow of the run.
pub struct Runtime {
    inner: Option<runtime::Runtime>,
    handle: Handle,
    /// Cancel flag, clock and events of the run.
    pub flow: Flow,
}

impl Runtime {
    /// Starts the runtime. Two threads are enough for the sockets and TLS of all transfers; the
    /// callers do the hashing.
    pub fn new(flow: Flow) -> Result<Self, Error> {
        let failed = |why: &dyn std::fmt::Display| {
            Error::new(Kind::Io, format!("network client threads: {why}")).help(NoThread::HELP)
        };
        let build =
            || Builder::new_multi_thread().worker_threads(2).thread_name("network").enable_io().enable_time().build();
        // `build` panics if the system cannot start a thread.
        let inner = catch_unwind(build).map_err(|_| failed(&"expected two, found none"))?;
        let inner = inner.map_err(|error| failed(&error))?;
        let handle = inner.handle().clone();
        Ok(Self { inner: Some(inner), handle, flow })
    }

    /// Returns the handle for spawning tasks.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits for `future`, for at most `idle`.
    pub fn wait<F: Future>(&self, idle: Duration, future: F) -> Result<F::Output, Stop> {
        if self.flow.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        self.handle.block_on(async {
            let mut future = pin!(future);
            let mut waited = Duration::ZERO;
            loop {
                if let Ok(output) = timeout(TICK, future.as_mut()).await {
                    return Ok(output);
                }
                if self.flow.is_cancelled() {
                    return Err(Stop::Cancelled);
                }
                waited += TICK;
                if waited >= idle {
                    return Err(Stop::Idle(idle));
                }
            }
        })
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            // A hanging name lookup must not block the end of the process.
            inner.shutdown_background();
        }
    }
}
