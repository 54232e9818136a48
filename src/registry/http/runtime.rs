//! The private async runtime behind the blocking traits, and the one way to wait on it.
//!
//! Every wait looks at the flow's cancel flag ten times a second and ends when nothing came for the
//! idle time. No I/O of its own.

use std::future::Future;
use std::panic::catch_unwind;
use std::pin::pin;
use std::time::Duration;

use tokio::runtime::{self, Builder, Handle};
use tokio::time::timeout;

use crate::content::{Error, Kind};
use crate::flow::{Flow, NoThread};

/// How often a wait looks up.
const TICK: Duration = Duration::from_millis(100);

/// Why a wait ended without its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Stop {
    /// The run was cancelled.
    Cancelled,
    /// Nothing came for this long.
    Idle(Duration),
}

/// The runtime and the flow of the run.
pub(in crate::registry) struct Runtime {
    inner: Option<runtime::Runtime>,
    handle: Handle,
    /// Its cancel flag, clock and events.
    pub flow: Flow,
}

impl Runtime {
    /// Starts the runtime. Two threads are enough for sockets and TLS of all transfers on the machines this runs on;
    /// hashing is done by the callers.
    pub fn new(flow: Flow) -> Result<Self, Error> {
        let failed = |why: &dyn std::fmt::Display| {
            Error::new(Kind::Io, format!("threads of the registry client: {why}")).help(NoThread::HELP)
        };
        let build =
            || Builder::new_multi_thread().worker_threads(2).thread_name("registry").enable_io().enable_time().build();
        // It panics where the system gives it no thread.
        let inner = catch_unwind(build).map_err(|_| failed(&"expected two, found none"))?;
        let inner = inner.map_err(|error| failed(&error))?;
        let handle = inner.handle().clone();
        Ok(Self { inner: Some(inner), handle, flow })
    }

    /// Returns where tasks are spawned.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits for `future`, at most `idle` long.
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
            // A name lookup that hangs must not hold the process.
            inner.shutdown_background();
        }
    }
}
