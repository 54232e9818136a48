//! From a request to its answer: login, method, path; then the record for log and counters.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_SECURITY_POLICY, HOST, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderName, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::Stream;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::connection::Answering;
use super::error::Refusal;
use super::htpasswd::{Htpasswd, Login};
use super::index::Index;
use super::listening::Client;
use super::log::{Access, Log};
use super::metrics::{self, Metrics};
use super::path::Target;
use super::query::Query;
use super::registry::{Asked, Pulling};
use super::reply::{Chunks, Content, Reply};
use crate::content::Error;
use crate::flow::Flow;
use crate::oci::Repository;

const VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
pub(super) const NO_SNIFFING: HeaderName = HeaderName::from_static("x-content-type-options");
/// Policy of the page: no scripts, nothing from elsewhere.
pub(super) const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page for people at `/`.
pub trait Page: Send + Sync {
    /// Returns the page as HTML. `host` is a valid name of this server, as its clients write it in
    /// references.
    fn html(&self, host: &str, is_tls: bool) -> String;
}

/// Content that is served at one time.
pub(super) struct Offer {
    pub index: Arc<Index>,
    pub page: Arc<dyn Page>,
}

/// A server's state, shared by its connections.
pub(super) struct Shared {
    pub offer: RwLock<Arc<Offer>>,
    pub users: Option<Htpasswd>,
    pub flow: Flow,
    pub log: Arc<dyn Log>,
    pub metrics: Arc<Metrics>,
    pub handle: Handle,
    pub streams: Arc<Semaphore>,
    pub pulling: Pulling,
    pub address: SocketAddr,
    pub is_tls: bool,
}

impl Shared {
    fn offer(&self) -> Arc<Offer> {
        Arc::clone(&self.offer.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns a receiver of errors of places.
    fn failures(&self) -> impl Fn(Error) + Send + Sync + use<> {
        let (log, metrics) = (Arc::clone(&self.log), Arc::clone(&self.metrics));
        move |error: Error| {
            metrics.failed();
            log.failure(error.to_string());
        }
    }

    /// Returns the name of this server as the client wrote it, if it is one.
    fn host(&self, request: &Parts) -> String {
        let sent = request.headers.get(HOST).and_then(|value| value.to_str().ok());
        let sent = sent.or_else(|| request.uri.authority().map(axum::http::uri::Authority::as_str));
        let host = sent.map(str::to_ascii_lowercase).filter(|host| Repository::new(host, "x").is_ok());
        host.unwrap_or_else(|| self.address.to_string())
    }

    async fn answer(&self, request: &Parts, login: &Login) -> Reply {
        match login {
            Login::User(_) => {}
            Login::Busy => {
                let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", "too many logins at once");
                return Reply::from(refusal).with(RETRY_AFTER, "2");
            }
            Login::Refused => {
                self.metrics.refused();
                let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "expected a user and a password");
                return Reply::from(refusal).with(WWW_AUTHENTICATE, "Basic realm=\"packmule\", charset=\"UTF-8\"");
            }
        }
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return Reply::from(Refusal::unsupported()).with(ALLOW, "GET, HEAD");
        }
        let offer = self.offer();
        match Target::parse(request.uri.path()) {
            Err(error) => Refusal::from(error).into(),
            Ok(Target::Page) => {
                let (host, is_tls) = (self.host(request), self.is_tls);
                // The first time, the page reads what it shows.
                match self.handle.spawn_blocking(move || offer.page.html(&host, is_tls)).await {
                    Ok(html) => Reply::of("text/html; charset=utf-8", html).with(CONTENT_SECURITY_POLICY, POLICY),
                    Err(_) => Refusal::failed().into(),
                }
            }
            Ok(Target::Health) => Reply::of("text/plain; charset=utf-8", "ok\n"),
            Ok(Target::Metrics) => Reply::of(metrics::MEDIA_TYPE, self.metrics.text(offer.index.counts())),
            Ok(target) => match Query::parse(request.uri.query().unwrap_or_default()) {
                Err(error) => Refusal::bad_request(error.0).into(),
                Ok(mut query) => {
                    // A client that names this server itself means nothing by it.
                    query.ns = query.ns.filter(|ns| *ns != self.host(request));
                    self.registry(&offer.index, request, &query, target).await
                }
            },
        }
    }

    async fn registry(&self, index: &Arc<Index>, request: &Parts, query: &Query, target: Target) -> Reply {
        let asked = Asked {
            index,
            query,
            headers: &request.headers,
            is_head: request.method == Method::HEAD,
            handle: &self.handle,
            streams: &self.streams,
            pulling: &self.pulling,
            told: &self.failures(),
            later: &|| Box::new(self.failures()),
        };
        match asked.answer(target).await {
            Ok(reply) => reply,
            Err(refusal) => {
                let is_method = refusal.status == StatusCode::METHOD_NOT_ALLOWED;
                let reply = Reply::from(refusal);
                if is_method { reply.with(ALLOW, "GET, HEAD") } else { reply }
            }
        }
    }
}

/// Answers one request.
pub(super) async fn handle(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Response {
    let answering = client.busy.begin();
    let began = shared.flow.clock().elapsed();
    let (request, _) = request.into_parts();
    let login = match &shared.users {
        // Whoever watches a server has no login.
        Some(users) if request.uri.path() != "/healthz" => {
            users.check(request.headers.get(AUTHORIZATION).map(axum::http::HeaderValue::as_bytes), &shared.handle).await
        }
        _ => Login::User(String::new()),
    };
    let reply = shared.answer(&request, &login).await.with(NO_SNIFFING, "nosniff");
    let reply = if request.uri.path().starts_with("/v2") { reply.with(VERSION, "registry/2.0") } else { reply };
    let access = Access {
        client: client.address,
        user: match login {
            Login::User(user) => Some(user).filter(|user| !user.is_empty()),
            Login::Refused | Login::Busy => None,
        },
        method: request.method.to_string(),
        path: request.uri.path().to_owned(),
        version: format!("{:?}", request.version),
        status: reply.status.as_u16(),
        bytes: 0,
        is_complete: false,
        took: Duration::ZERO,
    };
    let record = Record { access, began, shared: Arc::clone(&shared), _answering: answering };
    sent(reply, request.method == Method::HEAD, record)
}

fn sent(reply: Reply, is_head: bool, mut record: Record) -> Response {
    let Reply { status, headers, content } = reply;
    let body = match content {
        Content::Bytes(bytes) => {
            record.access.is_complete = true;
            if is_head {
                Body::empty()
            } else {
                record.access.bytes = bytes.len() as u64;
                Body::from(bytes)
            }
        }
        Content::Stream(chunks) => {
            let length =
                headers.get(axum::http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
            Body::from_stream(Recorded { chunks, record, length })
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Tells log and counters of a request when it is dropped.
struct Record {
    access: Access,
    began: Duration,
    shared: Arc<Shared>,
    _answering: Answering,
}

impl Drop for Record {
    fn drop(&mut self) {
        self.access.took = self.shared.flow.clock().elapsed().saturating_sub(self.began);
        self.shared.metrics.answered(self.access.status, self.access.bytes, self.access.is_complete);
        self.shared.log.access(self.access.clone());
    }
}

/// A body that counts what of it was sent.
struct Recorded {
    chunks: Chunks,
    record: Record,
    length: Option<u64>,
}

impl Stream for Recorded {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.chunks.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(chunk))) = &polled {
            self.record.access.bytes += chunk.len() as u64;
            self.record.access.is_complete = Some(self.record.access.bytes) == self.length;
        }
        polled
    }
}
