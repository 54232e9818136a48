//! A few pages about a running program: health, metrics, and a status for people. Anybody who reaches
//! the address may read them; nothing can be changed.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::{Extension, Router};
use tokio::runtime::Handle;

use super::handler::{NO_SNIFFING, POLICY};
use super::listening::{Client, Listening};
use super::metrics::Metrics;
use super::reply::{Content, Reply};
use crate::base::fault::Fault;

/// Number of threads that make pages.
const MAKERS: usize = 2;

/// Pages by their path.
pub trait Pages: Send + Sync {
    /// Returns the media type and the content of a page. `None` if there is none at this path. Called
    /// from several threads.
    fn page(&self, path: &str) -> Option<(&'static str, String)>;
}

/// A bound server of pages. Connections are answered while [`StatusServer::run`] runs.
pub struct StatusServer {
    listening: Listening,
    shared: Arc<Shared>,
}

struct Shared {
    pages: Arc<dyn Pages>,
    handle: Handle,
}

impl StatusServer {
    /// Binds `address`, without TLS.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`] if the address is in use or not this machine's, or if no
    /// thread can be started.
    pub fn bind(address: SocketAddr, pages: Arc<dyn Pages>) -> Result<Self, Fault> {
        let listening = Listening::bind(address, None, (1, MAKERS), Arc::new(Metrics::default()))?;
        let handle = listening.handle().clone();
        Ok(Self { listening, shared: Arc::new(Shared { pages, handle }) })
    }

    /// Returns the address, with the port that the system chose if none was given.
    pub const fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// Answers requests until `is_over` returns true.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`] if the listener fails.
    pub fn run(&self, is_over: &dyn Fn() -> bool) -> Result<(), Fault> {
        let router = Router::new().fallback(answer).with_state(Arc::clone(&self.shared));
        self.listening.run(&router, is_over).map(drop)
    }
}

async fn answer(State(shared): State<Arc<Shared>>, Extension(client): Extension<Client>, request: Request) -> Response {
    let _answering = client.busy.begin();
    let is_head = *request.method() == Method::HEAD;
    let reply = if is_head || *request.method() == Method::GET {
        let (pages, path) = (Arc::clone(&shared.pages), request.uri().path().to_owned());
        match shared.handle.spawn_blocking(move || pages.page(&path)).await {
            Ok(Some((media_type, content))) => Reply::of(media_type, content),
            Ok(None) => plain(StatusCode::NOT_FOUND, "not found\n"),
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n"),
        }
    } else {
        plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n").with(ALLOW, "GET, HEAD")
    };
    let reply =
        reply.with(NO_SNIFFING, "nosniff").with(CACHE_CONTROL, "no-store").with(CONTENT_SECURITY_POLICY, POLICY);
    let body = match reply.content {
        Content::Bytes(bytes) if !is_head => Body::from(bytes),
        Content::Bytes(_) | Content::Stream(_) => Body::empty(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

fn plain(status: StatusCode, text: &'static str) -> Reply {
    Reply::of("text/plain; charset=utf-8", text).status(status)
}
