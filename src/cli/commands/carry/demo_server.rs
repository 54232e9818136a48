//! The server of `demo`: `serve` as typed, running in this process until it is stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use clap::Parser;

use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::cli::commands::online::serve;
use crate::flow::{Flow, start_apart};
use crate::serve::{Access, Log};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    serve: serve::Args,
}

/// A running server.
pub struct DemoServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), Fault>>,
}

/// Tells failures, but not each request.
struct Failures(Flow);

impl Log for Failures {
    fn access(&self, _: Access) {}

    fn failure(&self, text: String) {
        self.0.warn(text);
    }
}

impl DemoServer {
    /// Starts the server that `words` describe. Returns `None` in a build that cannot serve.
    ///
    /// # Errors
    /// Those of `serve`.
    pub fn begin(session: &Session<'_>, words: &[&str]) -> Result<Option<Self>, Fault> {
        let Line { serve } = Line::try_parse_from(words)
            .map_err(|error| Fault::new(Class::Bug, format!("internal error: {}", error.kind())))?;
        let flow = session.flow.clone();
        let (ready, _) = serve.open(session, Arc::new(Failures(flow.clone())))?;
        let (address, stop) = (ready.address(), Arc::new(AtomicBool::new(false)));
        let is_over = Arc::clone(&stop);
        let serving = move || ready.run(&flow, None, &|| is_over.load(Ordering::Relaxed));
        let thread = start_apart("demo server", serving)?;
        Ok(Some(Self { address, stop, thread }))
    }

    /// Returns its address.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Stops the server.
    ///
    /// # Errors
    /// Those of serving.
    pub fn stop(self) -> Result<(), Fault> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err(Fault::new(Class::Bug, "internal error: the server panicked")))
    }
}
