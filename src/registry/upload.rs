//! Blob push: mount, session, one PUT; chunks where a server refuses that.
//!
//! A failed try sends the content again from its start; one that may have arrived is looked for
//! first.

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, Response, Url};

use super::auth::Scopes;
use super::blobs::digest;
use super::client::{Call, Host, SMALL, lock};
use super::feed::{Feed, Unsent};
use super::origin;
use super::retry::{self, Tries, Trouble};
use crate::content::{Body, Error, Kind};
use crate::oci::{Descriptor, Repository};

/// Bytes of a chunk: what even the strictest servers take.
const CHUNK: u64 = 4 << 20;
/// What a server may ask for at least (`OCI-Chunk-Min-Length`).
const CHUNK_BOUNDS: (u64, u64) = (1 << 10, 64 << 20);

/// What is sent where.
struct Upload<'a> {
    host: &'a Host,
    repository: &'a Repository,
    blob: &'a Descriptor,
    body: &'a dyn Body,
    subject: String,
}

/// How a try ended that was answered.
enum Outcome {
    Stored,
    /// 401 with a login that did hold when the session began.
    Relogin,
    /// This server takes no monolithic PUT.
    Chunks(Error),
}

impl Host {
    /// Stores a blob that may be there already.
    pub fn put_blob(&self, repository: &Repository, blob: &Descriptor, body: &dyn Body) -> Result<(), Error> {
        let opened = lock(&self.sessions).remove(&(repository.path().to_owned(), blob.digest));
        if self.has_blob(repository, blob, Scopes::push(repository))? {
            return Ok(());
        }
        let subject = format!("blob {} to {}", blob.digest, repository.path());
        Upload { host: self, repository, blob, body, subject }.run(opened)
    }

    /// Tries to mount; keeps the session that a refusal opens.
    pub fn mount(&self, repository: &Repository, blob: &Descriptor, from: &Repository) -> Result<bool, Error> {
        if from.host() != repository.host() || from == repository {
            return Ok(false);
        }
        let subject = format!("mount of {} from {} to {}", blob.digest, from.path(), repository.path());
        let mut url = self.at(repository, "blobs/uploads/")?;
        url.query_pairs_mut().append_pair("mount", &blob.digest.to_string()).append_pair("from", from.path());
        let scopes = Scopes::push(repository).and_pull(from);
        let call = Call::new(Method::POST, url, scopes, &subject).header(CONTENT_LENGTH, "0");
        let response = self.open(&call)?;
        match response.status().as_u16() {
            201 => Ok(true),
            202 => {
                if let Ok(session) = self.session(&call.url, &response, &subject) {
                    lock(&self.sessions).insert((repository.path().to_owned(), blob.digest), session);
                }
                Ok(false)
            }
            // Not permitted or not known there: it is sent as any other.
            400..=499 => Ok(false),
            _ => {
                let answer = self.whole(response, SMALL, &subject).map_err(|trouble| trouble.error)?;
                Err(self.refusal(&answer, &subject))
            }
        }
    }

    /// Where a session goes on.
    fn session(&self, from: &Url, response: &Response, subject: &str) -> Result<Url, Error> {
        match response.headers().get(LOCATION) {
            Some(location) if !location.is_empty() => self.hop(from, location, subject),
            _ => Err(self.error(Kind::Failed, format_args!("{subject}: the answer names no Location"))),
        }
    }
}

impl Upload<'_> {
    fn run(&self, mut opened: Option<Url>) -> Result<(), Error> {
        let host = self.host;
        let mut tries = Tries::new(&host.engine.flow, host.settings.retries);
        let mut relogin = false;
        let mut chunks: Option<Error> = None;
        loop {
            let once = match opened.take().map_or_else(|| self.begin(), |session| Ok((session, CHUNK))) {
                Ok((session, chunk)) if chunks.is_some() => self.in_chunks(session, chunk),
                Ok((session, _)) => self.at_once(session),
                Err(trouble) => Err(trouble.into()),
            };
            let trouble = match once {
                Ok(Outcome::Stored) => return Ok(()),
                Ok(Outcome::Relogin) if !relogin => {
                    relogin = true;
                    continue;
                }
                Ok(Outcome::Relogin) => {
                    return Err(host
                        .error(Kind::Denied, format_args!("{}: login refused again", self.subject))
                        .help(format!("check the login for {}", host.name)));
                }
                Ok(Outcome::Chunks(error)) if chunks.is_none() => {
                    chunks = Some(error);
                    continue;
                }
                Ok(Outcome::Chunks(error)) => return Err(chunks.unwrap_or(error)),
                Err(Unsent::Content(error)) => return Err(error),
                Err(Unsent::Trouble(trouble)) => trouble,
            };
            if trouble.error.kind == Kind::Cancelled {
                return Err(trouble.error);
            }
            tries.again(trouble)?;
            // It may have arrived though its answer did not.
            if host.has_blob(self.repository, self.blob, Scopes::push(self.repository))? {
                return Ok(());
            }
        }
    }

    /// Opens a session: where it goes on, and the size of chunks that it wants.
    fn begin(&self) -> Result<(Url, u64), Trouble> {
        let url = self.host.at(self.repository, "blobs/uploads/")?;
        let call =
            Call::new(Method::POST, url, Scopes::push(self.repository), &self.subject).header(CONTENT_LENGTH, "0");
        let response = self.host.send(&call)?;
        if response.status().as_u16() != 202 {
            let answer = self.host.whole(response, SMALL, &self.subject)?;
            return Err(Trouble::last(self.host.refusal(&answer, &self.subject)));
        }
        let least = response.headers().get("oci-chunk-min-length").and_then(|value| value.to_str().ok()?.parse().ok());
        let chunk = least.map_or(CHUNK, |least: u64| least.clamp(CHUNK_BOUNDS.0, CHUNK_BOUNDS.1).max(CHUNK));
        Ok((self.host.session(&call.url, &response, &self.subject)?, chunk))
    }

    fn feed(&self) -> Result<Feed<'_>, Unsent> {
        let subject = format!("blob {}", self.blob.digest);
        let reader = self.body.open().map_err(|error| Unsent::Content(Error::from_io(&subject, error)))?;
        Ok(Feed::new(reader, self.blob.size, &subject))
    }

    fn call(&self, method: Method, url: Url) -> Call {
        Call::new(method, url, Scopes::push(self.repository), &self.subject)
            .header(CONTENT_TYPE, "application/octet-stream")
    }

    /// The login for an address: only the registry's own gets one.
    fn authorization(&self, url: &Url) -> Result<Option<HeaderValue>, Unsent> {
        if origin::same(&self.host.base()?, url) {
            Ok(self.host.authorization(&Scopes::push(self.repository))?)
        } else {
            Ok(None)
        }
    }

    fn at_once(&self, session: Url) -> Result<Outcome, Unsent> {
        let mut feed = self.feed()?;
        let call = self.call(Method::PUT, self.closing(session));
        let authorization = self.authorization(&call.url)?;
        let response = self.host.stream(&call, authorization.as_ref(), self.blob.size, &mut feed)?;
        let outcome = self.judge(response, authorization.as_ref())?;
        Ok(outcome)
    }

    fn in_chunks(&self, mut session: Url, chunk: u64) -> Result<Outcome, Unsent> {
        let mut feed = self.feed()?;
        let mut sent = 0;
        while sent < self.blob.size {
            let length = chunk.min(self.blob.size - sent);
            let range = format!("{sent}-{}", sent + length - 1);
            let call = self.call(Method::PATCH, session.clone()).header(CONTENT_RANGE, &range);
            let authorization = self.authorization(&call.url)?;
            let response = self.host.stream(&call, authorization.as_ref(), length, &mut feed)?;
            if !response.status().is_success() {
                return self.judge(response, authorization.as_ref());
            }
            if response.headers().contains_key(LOCATION) {
                session = self.host.session(&session, &response, &self.subject)?;
            }
            sent += length;
        }
        if self.blob.size == 0 {
            // Its only check is its end.
            feed.piece(0).map_err(Unsent::Content)?;
        }
        let call = self.call(Method::PUT, self.closing(session)).header(CONTENT_LENGTH, "0");
        let authorization = self.authorization(&call.url)?;
        let response = self.host.exchange(&call, authorization.as_ref())?;
        self.judge(response, authorization.as_ref())
    }

    /// The session's address with the digest, behind whatever query it has.
    fn closing(&self, mut session: Url) -> Url {
        session.query_pairs_mut().append_pair("digest", &self.blob.digest.to_string());
        session
    }

    fn judge(&self, response: Response, sent: Option<&HeaderValue>) -> Result<Outcome, Unsent> {
        let host = self.host;
        let status = response.status().as_u16();
        if response.status().is_success() {
            return match digest(response.headers()) {
                Some(found) if found != self.blob.digest => {
                    let what = format_args!("{}: stored as {found}", self.subject);
                    Err(host.error(Kind::Mismatch, what).into())
                }
                _ => Ok(Outcome::Stored),
            };
        }
        if host.renew(&response, &Scopes::push(self.repository), sent) {
            return Ok(Outcome::Relogin);
        }
        if retry::passes(status) {
            return Err(host.troubled(response, &self.subject).into());
        }
        let answer = host.whole(response, SMALL, &self.subject)?;
        let error = host.refusal(&answer, &self.subject);
        if matches!(status, 404 | 405 | 411 | 413 | 416 | 501) {
            return Ok(Outcome::Chunks(error));
        }
        Err(error.into())
    }
}
