//! Mounts and upload sessions: opens sessions and finds their next address.
//!
//! Sends no content.

use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, HeaderMap, LOCATION};
use reqwest::{Method, Response, Url};

use super::blobs::digest;
use super::call::Call;
use super::registry::Registry;
use super::session::Session;
use crate::base::fault::differs;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::flow::{Event, each};
use crate::network::retry::Trouble;
use crate::oci::{Descriptor, Repository};
use crate::registry::auth::scopes::Scopes;
use crate::registry::http::body::SMALL;

/// Bounds, in bytes, for the minimum chunk size that a server may ask for (`OCI-Chunk-Min-Length`).
const CHUNK_BOUNDS: (u64, u64) = (1 << 10, 64 << 20);
/// Time for which a session that the check of rights opened is used. Servers end unused sessions.
const KEPT_FOR: Duration = Duration::from_secs(300);

impl Registry {
    /// Tries to mount a blob, and reports whether that worked. Keeps the upload session that a
    /// refusal opens. Returns an error only for our own policy or a cancelled run; in all other
    /// cases the content can be sent.
    pub fn mount(&self, repository: &Repository, blob: &Descriptor, from: &Repository) -> Result<bool, Error> {
        if from.host() != repository.host() || from == repository {
            return Ok(false);
        }
        let subject = format!("mount of {} from {} to {}", blob.digest, from.path(), repository.path());
        let mut url = self.at(repository, "blobs/uploads/")?;
        url.query_pairs_mut()
            .append_pair("mount", &blob.digest.to_string())
            .append_pair("from", &format!("{}{}", self.http.rules.prefix, from.path()));
        let scopes = Scopes::push(repository).and_pull(from);
        let call = Call::new(Method::POST, url, scopes, &subject).header(CONTENT_LENGTH, "0");
        let not = |error: Error| match error.class {
            Kind::Cancelled | Kind::Policy => Err(error),
            _ => {
                self.http.flow().event(Event::Detail(format!("{}; sending it instead", error.what)));
                Ok(false)
            }
        };
        let response = match self.send(&call) {
            Ok(response) => response,
            Err(trouble) => return not(trouble.error),
        };
        match response.status().as_u16() {
            201 => Ok(digest(response.headers()).is_none_or(|found| found == blob.digest)),
            202 => {
                if let Ok(session) = self.session(repository, &call.request.url, &response, &subject) {
                    lock(&self.sessions).insert((repository.path().to_owned(), blob.digest), session);
                }
                Ok(false)
            }
            // Not permitted, or unknown.
            _ => match self.http.whole(response, SMALL, &subject) {
                Ok(answer) => not(self.refusal(&answer, &subject)),
                Err(trouble) => not(trouble.error),
            },
        }
    }

    /// Returns an upload session: the one that the check of rights opened, or a new one.
    pub fn begin(&self, repository: &Repository, subject: &str) -> Result<Session, Trouble> {
        let kept = lock(&self.kept).remove(repository);
        match kept {
            Some((session, since)) if !self.is_old(since) => Ok(session),
            _ => self.open_session(repository, subject),
        }
    }

    fn is_old(&self, since: Duration) -> bool {
        self.http.flow().clock().elapsed().saturating_sub(since) > KEPT_FOR
    }

    /// Opens an upload session.
    fn open_session(&self, repository: &Repository, subject: &str) -> Result<Session, Trouble> {
        let url = self.at(repository, "blobs/uploads/")?;
        let call = Call::new(Method::POST, url, Scopes::push(repository), subject).header(CONTENT_LENGTH, "0");
        let response = self.send(&call)?;
        let status = response.status().as_u16();
        if status != 202 {
            let answer = self.http.whole(response, SMALL, subject)?;
            let mut error = self.refusal(&answer, subject);
            if status == 404 {
                error = error
                    .help(format!("if {} does not create repositories on push, create it there first", self.http.name));
            } else if status == 405 {
                error = error.help("the registry may be read-only");
            } else if answer.status.is_success() {
                let what = differs(subject, "status 202", status);
                error = self.http.error(Kind::Failed, what);
            }
            return Err(Trouble::last(error));
        }
        Ok(self.session(repository, &call.request.url, &response, subject)?)
    }

    /// Returns the session that a response opens.
    fn session(
        &self,
        repository: &Repository,
        from: &Url,
        response: &Response,
        subject: &str,
    ) -> Result<Session, Error> {
        let headers = response.headers();
        let url = match self.next(from, headers, subject)? {
            Some(url) => url,
            // The session ID is enough: the address follows from it, as in the distribution registry.
            None => match header(headers, "docker-upload-uuid").filter(|name| is_plain(name)) {
                Some(name) => self.at(repository, &format!("blobs/uploads/{name}"))?,
                None => {
                    let what = format_args!("{subject}: the response has no Location");
                    return Err(self
                        .http
                        .error(Kind::Failed, what)
                        .help("the registry, or a proxy in front of it, drops it"));
                }
            },
        };
        let least = header(headers, "oci-chunk-min-length").and_then(|text| text.parse::<u64>().ok());
        Ok(Session { url, least: least.map_or(0, |least| least.clamp(CHUNK_BOUNDS.0, CHUNK_BOUNDS.1)) })
    }

    /// Returns the next address of a session, if the response has one.
    pub fn next(&self, from: &Url, headers: &HeaderMap, subject: &str) -> Result<Option<Url>, Error> {
        match headers.get(LOCATION) {
            Some(location) if !location.is_empty() => self.http.session(from, location, subject).map(Some),
            _ => Ok(None),
        }
    }

    /// Checks that the login may write to the repository. Opens a session, since there is no other
    /// way to find out without sending content, and keeps it for the first blob.
    pub fn may_push(&self, repository: &Repository) -> Result<(), Error> {
        if lock(&self.kept).get(repository).is_some_and(|(_, since)| !self.is_old(*since)) {
            return Ok(());
        }
        let subject = format!("push to {}", repository.path());
        let mut tries = self.http.tries();
        let session = loop {
            match self.open_session(repository, &subject) {
                Ok(session) => break session,
                Err(trouble) => tries.again(trouble)?,
            }
        };
        let now = self.http.flow().clock().elapsed();
        lock(&self.kept).insert(repository.clone(), (session, now));
        Ok(())
    }

    /// Cancels the sessions that the checks of rights opened and no blob used. One that cannot be
    /// cancelled expires.
    pub fn release(&self) {
        let kept: Vec<_> = std::mem::take(&mut *lock(&self.kept)).into_iter().collect();
        // A cancelled run leaves the rest to expire.
        let _ = each(self.http.flow(), &kept, |(repository, (session, _))| {
            let subject = format!("push to {}", repository.path());
            self.send_aside(&Call::new(Method::DELETE, session.url.clone(), Scopes::push(repository), subject));
        });
    }

    /// Checks that the login may read the repository by requesting one of its tags. A missing
    /// repository, or a registry that does not list tags, is not an error.
    pub fn may_pull(&self, repository: &Repository) -> Result<(), Error> {
        let subject = format!("pull of {}", repository.path());
        let url = self.at(repository, "tags/list?n=1")?;
        let answer = self.ask(&Call::new(Method::GET, url, Scopes::pull(repository), &subject), 16 << 20)?;
        match answer.status.as_u16() {
            401 | 403 => Err(self.refusal(&answer, &subject)),
            _ => Ok(()),
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
