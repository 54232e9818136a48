//! Blob push: one PUT where the server takes it; else chunks, smaller ones, or one chunk.
//!
//! A failed try sends the content again; one that may have arrived is looked for first.

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response, Url};

use super::blobs::digest;
use crate::base::lock::lock;
use crate::content::{Body, Error, Kind};
use crate::flow::Event;
use crate::oci::{Descriptor, Repository};
use crate::registry::auth::authorization::Scopes;
use crate::registry::http::call::{Call, Host, MOST_HOPS, SMALL};
use crate::registry::http::origin;
use crate::registry::http::retry::{self, Trouble};
use crate::registry::http::upload_body::{Feed, Unsent};

/// Bytes of a chunk: what even the strictest servers take.
const CHUNK: u64 = 4 << 20;
/// The smallest chunk that is tried where larger ones are refused: proxies take 1 MiB or less.
const LEAST_CHUNK: u64 = 256 << 10;

/// An upload session.
pub(in crate::registry) struct Session {
    /// Where it goes on.
    pub url: Url,
    /// The smallest chunk that it takes; 0: any.
    pub least: u64,
}

/// How content goes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Manner {
    /// One PUT.
    Once,
    /// PATCHes of so many bytes.
    Chunks(u64),
    /// One PATCH.
    OneChunk,
}

/// How a try ended that was answered.
pub(in crate::registry) enum Outcome {
    Stored,
    /// 401 with a login that did hold when the session began.
    Relogin,
    /// This server refuses it so.
    Otherwise(Manner, Error),
}

/// What is sent where.
pub(in crate::registry) struct Upload<'a> {
    pub host: &'a Host,
    pub repository: &'a Repository,
    pub blob: &'a Descriptor,
    pub body: &'a dyn Body,
    pub subject: String,
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
}

impl Upload<'_> {
    fn run(&self, mut opened: Option<Session>) -> Result<(), Error> {
        let host = self.host;
        let mut tries = host.tries();
        let mut relogin = false;
        let mut manner = Manner::Once;
        let mut refusal: Option<Error> = None;
        loop {
            let session = opened.take().map_or_else(|| host.begin(self.repository, &self.subject), Ok);
            let once = match (session, manner) {
                (Err(trouble), _) => Err(trouble.into()),
                (Ok(session), Manner::Once) => self.at_once(session),
                (Ok(session), Manner::Chunks(size)) => self.in_chunks(session, size, manner),
                (Ok(session), Manner::OneChunk) => self.in_chunks(session, self.blob.size.max(1), manner),
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
                Ok(Outcome::Otherwise(next, error)) if next != manner => {
                    host.engine.flow.event(Event::Detail(format!("{}; sent as {next:?} instead", error.what)));
                    manner = next;
                    refusal.get_or_insert(error);
                    continue;
                }
                // What it said of the plainest way says most.
                Ok(Outcome::Otherwise(_, error)) => return Err(refusal.unwrap_or(error)),
                Err(Unsent::Content(error)) => return Err(error),
                Err(Unsent::Trouble(trouble)) => trouble,
            };
            if trouble.error.kind == Kind::Cancelled {
                return Err(trouble.error);
            }
            tries.again(trouble)?;
            // It may have arrived though its answer did not.
            if self.is_there()? {
                return Ok(());
            }
        }
    }

    /// Whether the registry has the blob.
    pub fn is_there(&self) -> Result<bool, Error> {
        self.host.has_blob(self.repository, self.blob, Scopes::push(self.repository))
    }

    /// The content from `start` on.
    pub fn feed(&self, start: u64) -> Result<Feed<'_>, Unsent> {
        let subject = format!("blob {}", self.blob.digest);
        let reader = self.body.open().map_err(|error| Unsent::Content(Error::from_io(&subject, error)))?;
        let mut feed = Feed::new(reader, self.blob.size, &subject);
        feed.skip(start).map_err(Unsent::Content)?;
        Ok(feed)
    }

    /// A call about this upload.
    pub fn call(&self, method: Method, url: Url) -> Call {
        Call::new(method, url, Scopes::push(self.repository), &self.subject)
            .header(CONTENT_TYPE, "application/octet-stream")
    }

    /// The login for an address: only the registry's own gets one.
    pub fn authorization(&self, url: &Url) -> Result<Option<HeaderValue>, Unsent> {
        if origin::same(&self.host.base()?, url) {
            Ok(self.host.authorization(&Scopes::push(self.repository))?)
        } else {
            Ok(None)
        }
    }

    fn at_once(&self, session: Session) -> Result<Outcome, Unsent> {
        let mut url = self.closing(session.url);
        let mut strayed = false;
        for _ in 0..=MOST_HOPS {
            let mut feed = self.feed(0)?;
            let call = self.call(Method::PUT, url.clone());
            let authorization = if strayed { None } else { self.authorization(&url)? };
            let response = self.host.stream(&call, authorization.as_ref(), self.blob.size, &mut feed)?;
            if !matches!(response.status().as_u16(), 307 | 308) {
                return self.judge(response, authorization.as_ref(), Manner::Once);
            }
            let Some(next) = self.host.next(&url, response.headers(), &self.subject)? else {
                return self.judge(response, authorization.as_ref(), Manner::Once);
            };
            // Once left out on a hop, the login never comes back.
            strayed |= !origin::same(&url, &next);
            url = next;
        }
        Err(self.host.too_many_hops(&self.subject).into())
    }

    /// The session's address with the digest, behind whatever query it has.
    pub fn closing(&self, mut session: Url) -> Url {
        session.query_pairs_mut().append_pair("digest", &self.blob.digest.to_string());
        session
    }

    /// What an answer to content sent in a manner means.
    pub fn judge(&self, response: Response, sent: Option<&HeaderValue>, manner: Manner) -> Result<Outcome, Unsent> {
        let host = self.host;
        let status = response.status().as_u16();
        if response.status().is_success() {
            host.pace.well(&host.engine.flow, &host.name);
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
        Ok(match (manner, status) {
            // ACR and proxies have a limit, Artifactory knows no PUT of content.
            (Manner::Once, 404 | 405 | 411 | 413 | 416 | 501) => Outcome::Otherwise(Manner::Chunks(CHUNK), error),
            (Manner::Chunks(size), 413) if size > LEAST_CHUNK => Outcome::Otherwise(Manner::Chunks(size / 4), error),
            // The session is gone or not where we think: another one.
            (Manner::Chunks(_) | Manner::OneChunk, 416) => return Err(Trouble::passing(error).into()),
            (Manner::Chunks(_) | Manner::OneChunk, 404) if answer.says("BLOB_UPLOAD_UNKNOWN") => {
                return Err(Trouble::passing(error).into());
            }
            (_, 404 | 405 | 411 | 413 | 501) => Outcome::Otherwise(manner, error),
            _ => return Err(error.into()),
        })
    }
}
