//! Blob push: one PUT if the server accepts it, otherwise chunks, smaller chunks, or one chunk. A large PUT that breaks is
//! followed by chunks, so that the next break costs one chunk at most.
//!
//! A retry sends the content again, after checking that it has not arrived already. Content that cannot be read again is
//! sent in chunks from the start, and the last chunk is kept.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response, Url};

use super::blobs::digest;
use super::call::Call;
use super::mounts::Prepared;
use super::registry::Registry;
use super::session::Session;
use super::ways::{CHUNK, UploadMode};
use crate::base::fault::Reason;
use crate::base::lock::lock;
use crate::content::{Body, Error, Kind};
use crate::flow::Event;
use crate::network::origin;
use crate::network::retry::{self, Trouble};
use crate::network::upload_body::UploadBody;
use crate::oci::{Descriptor, Repository};
use crate::registry::auth::scopes::Scopes;
use crate::registry::http::body::SMALL;
use crate::registry::http::exchange::MOST_HOPS;
use crate::registry::http::request::Authorization;
use crate::registry::http::stream::Unsent;

/// Size of the smallest chunk that is tried when larger ones are refused. Some proxies allow 1 MiB
/// or less.
const LEAST_CHUNK: u64 = 256 << 10;

/// Outcome of a try that was answered.
pub(in crate::registry) enum UploadOutcome {
    /// The registry has the blob.
    Stored,
    /// Status 401, with a login that was valid when the session began.
    Relogin,
    /// The server refuses this mode; the next mode to try, and the error.
    Otherwise {
        /// How it may be taken.
        next: UploadMode,
        /// The refusal.
        error: Error,
        /// The refusal is about the size.
        too_large: bool,
    },
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
    /// Stores a blob, unless the registry already has it. What [`Registry::has_blob`] found missing
    /// before is not asked again.
    pub fn put_blob(&self, repository: &Repository, blob: &Descriptor, body: &dyn Body) -> Result<(), Error> {
        let Prepared::Missing(opened) = self.prepare(repository, blob)? else { return Ok(()) };
        let subject = format!("blob {} to {}", blob.digest, repository.path());
        Upload { registry: self, repository, blob, body, subject }.run(opened)
    }
}

/// The content of one upload: opened again for each try, or, if it can be read only once, kept from the last chunk on.
pub(in crate::registry) struct Content<'u> {
    upload: &'u Upload<'u>,
    /// It can be read once only.
    pub is_once: bool,
    open: Option<UploadBody<'u>>,
}

impl<'u> Content<'u> {
    /// Opens the content from byte `start` on.
    pub fn at(&mut self, start: u64) -> Result<&mut UploadBody<'u>, Unsent> {
        let body = match self.open.take() {
            Some(body) if self.is_once => body,
            _ => self.upload.open_content()?,
        };
        let body = self.open.insert(body);
        body.keep(self.is_once);
        if body.go_to(start).map_err(Unsent::Content)? { Ok(body) } else { Err(Unsent::Passed) }
    }
}

/// The tries of one upload.
struct Attempts {
    mode: UploadMode,
    /// The ways that were refused here.
    refused: Vec<UploadMode>,
    /// The first refusal: it says of the plainest way, and so most.
    refusal: Option<Error>,
    /// The size from which one PUT is not enough.
    too_large: Option<u64>,
    /// The last failure that may have passed.
    last: Option<Error>,
    has_logged_in_again: bool,
}

impl Attempts {
    /// Goes on otherwise after a refusal, if there is a way that was not refused.
    fn otherwise(&mut self, next: UploadMode, error: Error, from: u64) -> Result<(), Error> {
        if self.mode == UploadMode::Once {
            self.too_large = Some(from);
        }
        self.refused.push(self.mode);
        if self.refused.contains(&next) {
            return Err(self.refusal.take().unwrap_or(error));
        }
        self.mode = next;
        self.refusal.get_or_insert(error);
        Ok(())
    }
}

impl Upload<'_> {
    fn run(&self, mut opened: Option<Session>) -> Result<(), Error> {
        let registry = self.registry;
        let (size, is_once) = (self.blob.size, self.body.is_once());
        let mut tries = registry.http.tries();
        let mut content = Content { upload: self, is_once, open: None };
        let mut attempts = Attempts {
            mode: lock(&registry.ways).of(size, is_once),
            refused: Vec::new(),
            refusal: None,
            too_large: None,
            last: None,
            has_logged_in_again: false,
        };
        // What fits into a chunk fits into a PUT.
        let chunk = size.min(CHUNK + 1);
        loop {
            let mode = attempts.mode;
            let session = opened.take().map_or_else(|| registry.begin(self.repository, &self.subject), Ok);
            let (sent, is_begun) = match session {
                Err(trouble) => (Err(trouble.into()), false),
                Ok(session) => (self.send(session, mode, &mut content), true),
            };
            let trouble = match sent {
                Ok(UploadOutcome::Stored) => {
                    lock(&registry.ways).learn(size, is_once, mode, attempts.too_large);
                    return Ok(());
                }
                Ok(UploadOutcome::Relogin) if !attempts.has_logged_in_again => {
                    attempts.has_logged_in_again = true;
                    continue;
                }
                Ok(UploadOutcome::Relogin) => {
                    return Err(registry
                        .http
                        .error(Kind::Denied, format_args!("{}: the login was refused again", self.subject))
                        .help(format!("check the login for {}", registry.http.name)));
                }
                Ok(UploadOutcome::Otherwise { next, error, too_large }) => {
                    registry.http.flow().event(Event::Detail(format!("{}; sent as {next:?} instead", error.what)));
                    attempts.otherwise(next, error, if too_large { chunk } else { 0 })?;
                    continue;
                }
                Err(Unsent::Content(error)) => return Err(error),
                Err(Unsent::Passed) => return self.passed(attempts.last),
                Err(Unsent::Trouble(trouble)) => trouble,
            };
            if trouble.error.class == Kind::Cancelled {
                return Err(trouble.error);
            }
            attempts.last = Some(trouble.error.clone());
            let is_broken = is_begun && trouble.again && trouble.status.is_none_or(|status| !retry::is_limit(status));
            let chunks = UploadMode::Chunks(CHUNK);
            tries.again(trouble)?;
            // The blob may have arrived even if the response was lost.
            if self.is_there()? {
                return Ok(());
            }
            if is_broken && mode == UploadMode::Once && size > CHUNK && !attempts.refused.contains(&chunks) {
                (attempts.mode, attempts.too_large) = (chunks, Some(chunk));
            }
        }
    }

    fn send(&self, session: Session, mode: UploadMode, content: &mut Content<'_>) -> Result<UploadOutcome, Unsent> {
        match mode {
            UploadMode::Once => self.at_once(session, content),
            UploadMode::Chunks(size) => self.in_chunks(session, size, mode, content),
            UploadMode::OneChunk => self.in_chunks(session, self.blob.size.max(1), mode, content),
        }
    }

    /// Ends an upload whose content has passed before all of it was taken; `last`: what broke it.
    fn passed(&self, last: Option<Error>) -> Result<(), Error> {
        if self.is_there()? {
            return Ok(());
        }
        let broke = last.map_or_else(|| format!("registry {}: {}", self.registry.http.name, self.subject), |e| e.what);
        Err(Error::new(Kind::Failed, format!("{broke}; a stream cannot be read again"))
            .reason(Reason::HasPassed)
            .help("run the same import again: what is there already is not sent again; or import from files"))
    }

    /// Reports whether the registry has the blob.
    pub fn is_there(&self) -> Result<bool, Error> {
        self.registry.has_blob(self.repository, self.blob, Scopes::push(self.repository))
    }

    fn open_content(&self) -> Result<UploadBody<'_>, Unsent> {
        let subject = format!("blob {}", self.blob.digest);
        let reader = self.body.open().map_err(|error| Unsent::Content(Error::from_io(&subject, error)))?;
        Ok(UploadBody::new(reader, self.blob.size, &subject))
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

    fn at_once(&self, session: Session, content: &mut Content<'_>) -> Result<UploadOutcome, Unsent> {
        let mut url = self.closing(session.url);
        let mut strayed = false;
        for _ in 0..=MOST_HOPS {
            let body = content.at(0)?;
            // More than a chunk is not kept.
            body.keep(self.body.is_once() && self.blob.size <= CHUNK);
            let call = self.call(Method::PUT, url.clone());
            let authorization = if strayed { None } else { self.authorization(&url)? };
            let response = self.registry.http.stream(&call.request, authorization.as_ref(), self.blob.size, body)?;
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
            registry.http.well();
            return match digest(response.headers()) {
                Some(found) if found != self.blob.digest => {
                    let what = format_args!("{}: stored as {found}", self.subject);
                    Err(registry.http.error(Kind::Mismatch, what).into())
                }
                found => {
                    if found.is_some() {
                        registry.note_put(self.repository, self.blob.digest);
                    }
                    Ok(UploadOutcome::Stored)
                }
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
        let next = match (mode, status) {
            // ACR and proxies have a size limit; Artifactory does not support a PUT with content.
            (UploadMode::Once, 404 | 405 | 411 | 413 | 416 | 501) => UploadMode::Chunks(CHUNK),
            (UploadMode::Chunks(size), 413) if size > LEAST_CHUNK => UploadMode::Chunks(size / 4),
            // The session is gone or at a different offset: start a new one.
            (UploadMode::Chunks(_) | UploadMode::OneChunk, 416) => {
                return Err(Trouble { status: Some(status), ..Trouble::passing(error) }.into());
            }
            (UploadMode::Chunks(_) | UploadMode::OneChunk, 404) if answer.says("BLOB_UPLOAD_UNKNOWN") => {
                return Err(Trouble { status: Some(status), ..Trouble::passing(error) }.into());
            }
            // Some know no PATCH.
            (_, 404 | 405 | 411 | 413 | 501) => UploadMode::Once,
            _ => return Err(error.into()),
        };
        Ok(UploadOutcome::Otherwise { next, error, too_large: matches!(status, 413 | 416) })
    }
}
