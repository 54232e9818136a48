//! A listener with its threads: accepts connections within limits and hands them to a router, and
//! stops in order: no new ones, then those that are being answered, for at most [`DRAIN`].

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::catch_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use futures_util::future::{Either, select};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::connection::{Busy, Patience, Timed};
use super::limits::{CONNECTIONS, DRAIN, H2_STREAMS, HEAD, HEAD_TIME, HEADERS, PING};
use super::metrics::Metrics;
use super::tls::Tls;
use crate::base::fault::{Class, Fault};
use crate::flow::NoThread;

/// Interval at which a running server checks whether it is to stop.
const TICK: Duration = Duration::from_millis(100);

/// The client of a connection.
#[derive(Clone)]
pub(super) struct Client {
    pub address: SocketAddr,
    pub busy: Busy,
}

/// A bound listener.
pub(super) struct Listening {
    runtime: Option<Runtime>,
    handle: Handle,
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    connections: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Listening {
    /// Binds `address`, with `threads` threads that send and at most `readers` that may wait.
    ///
    /// # Errors
    /// [`Class::Io`] if the address is in use or not this machine's, or if no thread can be
    /// started.
    pub(super) fn bind(
        address: SocketAddr,
        tls: Option<Tls>,
        (threads, readers): (usize, usize),
        metrics: Arc<Metrics>,
    ) -> Result<Self, Fault> {
        let io = |error: io::Error| {
            Fault::new(Class::Io, format!("listen on {address}: {error}"))
                .help("name another address with --listen, or end the program that uses it")
        };
        let listener = TcpListener::bind(address).map_err(io)?;
        listener.set_nonblocking(true).map_err(io)?;
        let address = listener.local_addr().map_err(io)?;
        let failed = |why: String| Fault::new(Class::Io, format!("server threads: {why}")).help(NoThread::HELP);
        let build = move || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder
                .worker_threads(threads.max(1))
                .max_blocking_threads(readers)
                .thread_name("server")
                .enable_all()
                .build()
        };
        // `build` panics if the system cannot start a thread.
        let runtime = catch_unwind(build).map_err(|_| failed("expected some, found none".to_owned()))?;
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        let connections = Arc::new(Semaphore::new(connections()));
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle, listener, address, tls, connections, metrics })
    }

    /// Returns the address, with the port that the system chose if none was given.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the handle of the threads.
    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Answers requests until `is_over` returns true, then lets those finish that have begun.
    /// Returns whether all of them finished in time.
    ///
    /// # Errors
    /// [`Class::Io`] if the listener fails.
    pub(super) fn run(&self, router: &Router, is_over: &dyn Fn() -> bool) -> Result<bool, Fault> {
        let Some(runtime) = &self.runtime else { return Ok(true) };
        runtime.block_on(self.serve(router, is_over)).map_err(|error| {
            Fault::new(Class::Io, format!("listen on {}: {error}", self.address())).help("start the server again")
        })
    }

    async fn serve(&self, router: &Router, is_over: &dyn Fn() -> bool) -> io::Result<bool> {
        let listener = tokio::net::TcpListener::from_std(self.listener.try_clone()?)?;
        let (stop, stopped) = watch::channel(false);
        loop {
            if is_over() {
                break;
            }
            let Ok(Ok(permit)) = timeout(TICK, Arc::clone(&self.connections).acquire_owned()).await else { continue };
            let (stream, client) = match timeout(TICK, listener.accept()).await {
                Err(_) => continue,
                Ok(Ok(accepted)) => accepted,
                // The client is gone already, or this process has no file left: either passes.
                Ok(Err(_)) => {
                    sleep(TICK).await;
                    continue;
                }
            };
            let connection = Connection {
                client,
                router: router.clone(),
                tls: self.tls.clone(),
                metrics: Arc::clone(&self.metrics),
                stopped: stopped.clone(),
            };
            tokio::spawn(async move {
                connection.serve(stream).await;
                drop(permit);
            });
        }
        drop(listener);
        // Ignore a failure: then no connection is left.
        let _ = stop.send(true);
        drop(stopped);
        Ok(timeout(DRAIN, stop.closed()).await.is_ok())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A reading thread may wait for a medium.
            runtime.shutdown_background();
        }
    }
}

/// Returns the number of connections that this process may have open: each may need a file, too.
fn connections() -> usize {
    let files = crate::system::raise_open_files();
    files.map_or(CONNECTIONS, |files| (files.saturating_sub(64) / 2).clamp(8, CONNECTIONS))
}

/// One connection.
struct Connection {
    client: SocketAddr,
    router: Router,
    tls: Option<Tls>,
    metrics: Arc<Metrics>,
    stopped: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        self.metrics.opened();
        // Ignore a failure: it only costs time.
        let _ = stream.set_nodelay(true);
        let busy = Busy::default();
        let stream = Timed::new(stream, Patience::default(), busy.clone());
        let metrics = Arc::clone(&self.metrics);
        match self.tls.clone() {
            None => self.answer(stream, busy).await,
            Some(tls) => {
                if let Ok(Ok(stream)) = timeout(HEAD_TIME, tls.0.accept(stream)).await {
                    self.answer(stream, busy).await;
                }
            }
        }
        metrics.closed();
    }

    async fn answer(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, busy: Busy) {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD)
            .max_headers(HEADERS)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(H2_STREAMS)
            .max_header_list_size(u32::try_from(HEAD).unwrap_or(u32::MAX))
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        let router = self.router.layer(Extension(Client { address: self.client, busy }));
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        let mut connection = pin!(connection);
        // The server waits until the last receiver is gone, so one is kept until the end.
        let (mut stopped, _open) = (self.stopped.clone(), self.stopped);
        let stop = pin!(async move {
            // Ignore a failure: it means that the server is gone.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        });
        // A client that breaks off is no event; what it got is in the access log.
        if let Either::Right(_) = select(connection.as_mut(), stop).await {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
