//! Blob push: one PUT if the server accepts it, otherwise chunks, smaller chunks, or one chunk.
//!
//! A retry sends the content again, after checking that it has not arrived already.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response, Url};

use super::blobs::digest;
use super::call::Call;
use super::registry::Registry;
use super::session::Session;
use crate::base::lock::lock;
use crate::content::{Body, Error, Kind};
use crate::flow::Event;
use crate::oci::{Descriptor, Repository};
use crate::registry::auth::scopes::Scopes;
use crate::registry::http::body::SMALL;
use crate::registry::http::exchange::MOST_HOPS;
use crate::registry::http::origin;
use crate::registry::http::request::Authorization;
use crate::registry::http::retry::{self, Trouble};
use crate::registry::http::upload_body::{Unsent, UploadBody};

/// Size of a chunk, in bytes, that even the strictest servers accept.
const CHUNK: u64 = 4 << 20;
/// Size of the smallest chunk that is tried when larger ones are refused. Some proxies allow 1 MiB
/// or less.
const LEAST_CHUNK: u64 = 256 << 10;

/// How content is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum UploadMode {
    /// One PUT.
    Once,
    /// PATCHes of this many bytes.
    Chunks(u64),
    /// One PATCH.
    OneChunk,
}

/// Outcome of a try that was answered.
pub(in crate::registry) enum UploadOutcome {
    /// The registry has the blob.
    Stored,
    /// Status 401, with a login that was valid when the session began.
    Relogin,
    /// The server refuses this mode; the next mode to try, and the error.
    Otherwise(UploadMode, Error),
}

/// One blob upload: the content and its destination.
pub(in crate::registry) struct Upload<'a> {
    pub registry: &'a Registry,
    pub repository: &'a Repository,
    pub blob: &'a Descriptor,
    pub body: &'a dyn Body,
    pub subject: String,
}

impl Registry {
    /// Stores a blob, unless the registry already has it.
    pub fn put_blob(&self, repository: &Repository, blob: &Descriptor, body: &dyn Body) -> Result<(), Error> {
        let opened = lock(&self.sessions).remove(&(repository.path().to_owned(), blob.digest));
        if self.has_blob(repository, blob, Scopes::push(repository))? {
            return Ok(());
        }
        let subject = format!("blob {} to {}", blob.digest, repository.path());
        Upload { registry: self, repository, blob, body, subject }.run(opened)
    }
}

impl Upload<'_> {
    fn run(&self, mut opened: Option<Session>) -> Result<(), Error> {
        let registry = self.registry;
        let mut tries = registry.http.tries();
        let mut relogin = false;
        let mut mode = UploadMode::Once;
        let mut refusal: Option<Error> = None;
        loop {
            let session = opened.take().map_or_else(|| registry.begin(self.repository, &self.subject), Ok);
            let once = match (session, mode) {
                (Err(trouble), _) => Err(trouble.into()),
                (Ok(session), UploadMode::Once) => self.at_once(session),
                (Ok(session), UploadMode::Chunks(size)) => self.in_chunks(session, size, mode),
                (Ok(session), UploadMode::OneChunk) => self.in_chunks(session, self.blob.size.max(1), mode),
            };
            let trouble = match once {
                Ok(UploadOutcome::Stored) => return Ok(()),
                Ok(UploadOutcome::Relogin) if !relogin => {
                    relogin = true;
                    continue;
                }
                Ok(UploadOutcome::Relogin) => {
                    return Err(registry
                        .http
                        .error(Kind::Denied, format_args!("{}: the login was refused again", self.subject))
                        .help(format!("check the login for {}", registry.http.name)));
                }
                Ok(UploadOutcome::Otherwise(next, error)) if next != mode => {
                    registry.http.flow().event(Event::Detail(format!("{}; sent as {next:?} instead", error.what)));
                    mode = next;
                    refusal.get_or_insert(error);
                    continue;
                }
                // The first refusal, of the simplest mode, is the most informative.
                Ok(UploadOutcome::Otherwise(_, error)) => return Err(refusal.unwrap_or(error)),
                Err(Unsent::Content(error)) => return Err(error),
                Err(Unsent::Trouble(trouble)) => trouble,
            };
            if trouble.error.class == Kind::Cancelled {
                return Err(trouble.error);
            }
            tries.again(trouble)?;
            // The blob may have arrived even if the response was lost.
            if self.is_there()? {
                return Ok(());
            }
        }
    }

    /// Reports whether the registry has the blob.
    pub fn is_there(&self) -> Result<bool, Error> {
        self.registry.has_blob(self.repository, self.blob, Scopes::push(self.repository))
    }

    /// Opens the content from `start` on.
    pub fn content(&self, start: u64) -> Result<UploadBody<'_>, Unsent> {
        let subject = format!("blob {}", self.blob.digest);
        let reader = self.body.open().map_err(|error| Unsent::Content(Error::from_io(&subject, error)))?;
        let mut content = UploadBody::new(reader, self.blob.size, &subject);
        content.skip(start).map_err(Unsent::Content)?;
        Ok(content)
    }

    /// Makes a call about this upload.
    pub fn call(&self, method: Method, url: Url) -> Call {
        Call::new(method, url, Scopes::push(self.repository), &self.subject)
            .header(CONTENT_TYPE, "application/octet-stream")
    }

    /// Returns the login for an address; `None` unless the address is the registry's own.
    pub fn authorization(&self, url: &Url) -> Result<Option<Authorization>, Unsent> {
        if origin::same(&self.registry.http.base()?, url) {
            Ok(self.registry.auth.authorization(&self.registry.http, &Scopes::push(self.repository))?)
        } else {
            Ok(None)
        }
    }

    fn at_once(&self, session: Session) -> Result<UploadOutcome, Unsent> {
        let mut url = self.closing(session.url);
        let mut strayed = false;
        for _ in 0..=MOST_HOPS {
            let mut content = self.content(0)?;
            let call = self.call(Method::PUT, url.clone());
            let authorization = if strayed { None } else { self.authorization(&url)? };
            let response =
                self.registry.http.stream(&call.request, authorization.as_ref(), self.blob.size, &mut content)?;
            if !matches!(response.status().as_u16(), 307 | 308) {
                return self.judge(response, authorization.as_ref(), UploadMode::Once);
            }
            let Some(next) = self.registry.next(&url, response.headers(), &self.subject)? else {
                return self.judge(response, authorization.as_ref(), UploadMode::Once);
            };
            // After a hop to another origin, the login is not sent again.
            strayed |= !origin::same(&url, &next);
            url = next;
        }
        Err(self.registry.http.too_many_hops(&self.subject).into())
    }

    /// Returns the session's address with the digest appended to its query.
    pub fn closing(&self, mut session: Url) -> Url {
        session.query_pairs_mut().append_pair("digest", &self.blob.digest.to_string());
        session
    }

    /// Evaluates the response to content that was sent in this mode.
    pub fn judge(
        &self,
        response: Response,
        sent: Option<&Authorization>,
        mode: UploadMode,
    ) -> Result<UploadOutcome, Unsent> {
        let registry = self.registry;
        let status = response.status().as_u16();
        if response.status().is_success() {
            registry.http.pace.well(registry.http.flow(), &registry.http.name);
            return match digest(response.headers()) {
                Some(found) if found != self.blob.digest => {
                    let what = format_args!("{}: stored as {found}", self.subject);
                    Err(registry.http.error(Kind::Mismatch, what).into())
                }
                _ => Ok(UploadOutcome::Stored),
            };
        }
        if registry.auth.renew(&registry.http, &response, &Scopes::push(self.repository), sent) {
            return Ok(UploadOutcome::Relogin);
        }
        if retry::passes(status) {
            return Err(registry.http.troubled(response, &self.subject).into());
        }
        let answer = registry.http.whole(response, SMALL, &self.subject)?;
        let error = registry.refusal(&answer, &self.subject);
        Ok(match (mode, status) {
            // ACR and proxies have a size limit; Artifactory does not support a PUT with content.
            (UploadMode::Once, 404 | 405 | 411 | 413 | 416 | 501) => {
                UploadOutcome::Otherwise(UploadMode::Chunks(CHUNK), error)
            }
            (UploadMode::Chunks(size), 413) if size > LEAST_CHUNK => {
                UploadOutcome::Otherwise(UploadMode::Chunks(size / 4), error)
            }
            // The session is gone or at a different offset: start a new one.
            (UploadMode::Chunks(_) | UploadMode::OneChunk, 416) => return Err(Trouble::passing(error).into()),
            (UploadMode::Chunks(_) | UploadMode::OneChunk, 404) if answer.says("BLOB_UPLOAD_UNKNOWN") => {
                return Err(Trouble::passing(error).into());
            }
            (_, 404 | 405 | 411 | 413 | 501) => UploadOutcome::Otherwise(mode, error),
            _ => return Err(error.into()),
        })
    }
}
