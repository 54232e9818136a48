//! The server of content: what it serves, and how it is reached.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use tokio::sync::Semaphore;

pub use super::handler::Page;
use super::handler::{Offer, Shared, handle};
use super::htpasswd::Htpasswd;
use super::index::Index;
use super::limits::{PULLING, READERS, READING, UNIT};
use super::listening::Listening;
use super::log::Log;
use super::metrics::Metrics;
use super::registry::Pulling;
use super::tls::Tls;
use crate::base::fault::Fault;
use crate::flow::Flow;

/// How a server is reached, and by whom.
#[derive(Default)]
pub struct Settings {
    /// Certificate and key; without, plain HTTP.
    pub tls: Option<Tls>,
    /// Users; without, everybody.
    pub users: Option<Htpasswd>,
    /// Number of threads that send; at least one.
    pub threads: usize,
}

/// A bound server. Connections are answered while [`Server::run`] runs.
pub struct Server {
    listening: Listening,
    shared: Arc<Shared>,
}

impl Server {
    /// Binds `address`.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`] if the address is in use or not this machine's, or if no
    /// thread can be started.
    pub fn bind(
        address: SocketAddr,
        settings: Settings,
        (index, page): (Index, Arc<dyn Page>),
        log: Arc<dyn Log>,
        flow: &Flow,
    ) -> Result<Self, Fault> {
        let metrics = Arc::new(Metrics::default());
        let is_tls = settings.tls.is_some();
        let threads = (settings.threads, READERS + PULLING);
        let listening = Listening::bind(address, settings.tls, threads, Arc::clone(&metrics))?;
        let shared = Shared {
            offer: RwLock::new(Arc::new(Offer { index: Arc::new(index), page })),
            users: settings.users,
            flow: flow.clone(),
            log,
            metrics,
            handle: listening.handle().clone(),
            pulling: Pulling::default(),
            streams: Arc::new(Semaphore::new(usize::try_from(READING / UNIT).unwrap_or(1))),
            address: listening.address(),
            is_tls,
        };
        Ok(Self { listening, shared: Arc::new(shared) })
    }

    /// Returns the address, with the port that the system chose if none was given.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Serves something else from now on. Requests that have begun are answered from what was
    /// served before.
    pub fn replace(&self, index: Index, page: Arc<dyn Page>) {
        let offer = Arc::new(Offer { index: Arc::new(index), page });
        *self.shared.offer.write().unwrap_or_else(PoisonError::into_inner) = offer;
    }

    /// Answers requests until `is_over` returns true, then lets those finish that have begun.
    /// Returns whether all of them finished in time.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`] if the listener fails.
    pub fn run(&self, is_over: &dyn Fn() -> bool) -> Result<bool, Fault> {
        let router = Router::new().fallback(handle).with_state(Arc::clone(&self.shared));
        self.listening.run(&router, is_over)
    }
}
