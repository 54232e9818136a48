//! Mounts and upload sessions: opens sessions and finds their next address.
//!
//! Sends no content.

use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, HeaderMap, LOCATION};
use reqwest::{Method, Response, Url};

use super::absent;
use super::blobs::digest;
use super::call::Call;
use super::registry::Registry;
use super::session::{Kept, Session};
use crate::base::fault::differs;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::flow::{Event, each};
use crate::network::retry::Trouble;
use crate::oci::{Descriptor, Digest, Repository};
use crate::registry::auth::scopes::Scopes;
use crate::registry::http::body::SMALL;

/// Bounds, in bytes, for the minimum chunk size that a server may ask for (`OCI-Chunk-Min-Length`).
const CHUNK_BOUNDS: (u64, u64) = (1 << 10, 64 << 20);
/// Time for which a session that the check of rights opened is used. Servers end unused sessions.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// Error codes for a repository that a registry does not have: of the specification, and Harbor's.
const NO_REPOSITORY: [&str; 2] = ["NAME_UNKNOWN", "NOT_FOUND"];
/// Largest list of tags that is read to find out whether a repository exists, in bytes.
const MOST_TAGS: u64 = 16 << 20;

/// State of a blob before its upload.
pub(in crate::registry) enum Prepared {
    /// The repository has it.
    There,
    /// It must be sent, by the session if one is open.
    Missing(Option<Session>),
}

/// How a mount ended.
enum Mounted {
    /// The repository has the blob.
    There,
    /// It must be sent; the registry opened a session for it.
    Open(Session),
    /// It was not mounted, and no session is open.
    Not,
}

impl Registry {
    /// Tries to mount a blob, and reports whether that worked. Keeps the upload session that a
    /// refusal opens. Returns an error only for our own policy or a cancelled run; in all other
    /// cases the content can be sent.
    pub fn mount(&self, repository: &Repository, blob: &Descriptor, from: &Repository) -> Result<bool, Error> {
        if from.host() != repository.host() || from == repository {
            return Ok(false);
        }
        match self.try_mount(repository, blob, from)? {
            Mounted::There => Ok(true),
            Mounted::Open(session) => {
                lock(&self.sessions).insert((repository.path().to_owned(), blob.digest), session);
                Ok(false)
            }
            Mounted::Not => Ok(false),
        }
    }

    /// Opens an upload of a blob in a repository that seems to be new, by a mount from itself: a
    /// repository without tags may have blobs of an interrupted run, and a registry that mounts says
    /// so in the same request.
    fn open_unless_there(&self, repository: &Repository, blob: &Descriptor) -> Result<Mounted, Error> {
        if self.no_own_mounts.load(Ordering::Relaxed) {
            return Ok(Mounted::Not);
        }
        let mounted = self.try_mount(repository, blob, repository)?;
        if matches!(mounted, Mounted::Not) {
            self.no_own_mounts.store(true, Ordering::Relaxed);
        }
        Ok(mounted)
    }

    fn try_mount(&self, repository: &Repository, blob: &Descriptor, from: &Repository) -> Result<Mounted, Error> {
        let subject = format!("mount of {} from {} to {}", blob.digest, from.path(), repository.path());
        let mut url = self.at(repository, "blobs/uploads/")?;
        url.query_pairs_mut()
            .append_pair("mount", &blob.digest.to_string())
            .append_pair("from", &format!("{}{}", self.http.rules.prefix, from.path()));
        let scopes = Scopes::push(repository);
        let scopes = if from == repository { scopes } else { scopes.and_pull(from) };
        let call = Call::new(Method::POST, url, scopes, &subject).header(CONTENT_LENGTH, "0");
        let not = |error: Error| match error.class {
            Kind::Cancelled | Kind::Policy => Err(error),
            _ => {
                self.http.flow().event(Event::Detail(format!("{}; sending it instead", error.what)));
                Ok(Mounted::Not)
            }
        };
        let response = match self.send(&call) {
            Ok(response) => response,
            Err(trouble) => return not(trouble.error),
        };
        match response.status().as_u16() {
            201 if digest(response.headers()).is_none_or(|found| found == blob.digest) => Ok(Mounted::There),
            201 => Ok(Mounted::Not),
            202 => {
                let session = self.session(repository, &call.request.url, &response, &subject);
                Ok(session.map_or(Mounted::Not, Mounted::Open))
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
            Some(kept) if !self.is_old(kept.since) => Ok(kept.session),
            _ => self.open_session(repository, subject),
        }
    }

    /// Prepares the upload of a blob. Asks nothing that this run was answered before.
    pub fn prepare(&self, repository: &Repository, blob: &Descriptor) -> Result<Prepared, Error> {
        let key = (repository.path().to_owned(), blob.digest);
        let opened = lock(&self.sessions).remove(&key);
        let is_missing = lock(&self.missing).remove(&key);
        if is_missing || (opened.is_some() && self.is_fresh(repository)) {
            return Ok(Prepared::Missing(opened));
        }
        if opened.is_none() && self.is_fresh(repository) {
            if let Some(session) = self.kept_for(repository, blob.digest) {
                return Ok(Prepared::Missing(Some(session)));
            }
            match self.open_unless_there(repository, blob)? {
                Mounted::There => return Ok(Prepared::There),
                Mounted::Open(session) => return Ok(Prepared::Missing(Some(session))),
                Mounted::Not => {}
            }
        }
        if self.has_blob(repository, blob, Scopes::push(repository))? {
            return Ok(Prepared::There);
        }
        lock(&self.missing).remove(&key);
        Ok(Prepared::Missing(opened))
    }

    /// Returns the session that the check of rights opened for this very blob.
    fn kept_for(&self, repository: &Repository, digest: Digest) -> Option<Session> {
        let mut all = lock(&self.kept);
        if all.get(repository)?.blob != Some(digest) {
            return None;
        }
        all.remove(repository).filter(|kept| !self.is_old(kept.since)).map(|kept| kept.session)
    }

    fn is_fresh(&self, repository: &Repository) -> bool {
        lock(&self.fresh).contains(repository.path())
    }

    /// Returns whether the registry says that it does not have the repository, or none with a tag.
    /// Any other answer is no statement. That it does not have the project of the repository either is
    /// an error of [`Kind::Absent`].
    pub fn is_new(&self, repository: &Repository) -> Result<bool, Error> {
        let url = self.at(repository, "tags/list?n=1")?;
        let call = Call::new(Method::GET, url, Scopes::pull(repository), format!("tags of {}", repository.path()));
        let answer = self.ask(&call, MOST_TAGS)?;
        let is_new = answer.status.as_u16() == 404 && NO_REPOSITORY.iter().any(|code| answer.says(code));
        if is_new {
            lock(&self.fresh).insert(repository.path().to_owned());
        }
        if is_new && absent::lacks_project(&answer) {
            let advice = absent::advice(&self.http.name, repository.path(), &answer);
            return Err(self.refusal(&answer, &call.request.subject).help(advice));
        }
        Ok(is_new)
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
                error = error.help(absent::advice(&self.http.name, repository.path(), &answer));
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
        if lock(&self.kept).get(repository).is_some_and(|kept| !self.is_old(kept.since)) {
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
        self.keep(repository, session, None);
        Ok(())
    }

    fn keep(&self, repository: &Repository, session: Session, blob: Option<Digest>) {
        let since = self.http.flow().clock().elapsed();
        lock(&self.kept).insert(repository.clone(), Kept { session, since, blob });
    }

    /// Like [`Self::may_push`], with the session of `first` in a repository that seems to be new.
    /// Returns whether that has the blob after all.
    pub fn may_send(&self, repository: &Repository, first: &Descriptor) -> Result<bool, Error> {
        if self.is_fresh(repository) {
            match self.open_unless_there(repository, first)? {
                Mounted::There => return Ok(true),
                Mounted::Open(session) => {
                    self.keep(repository, session, Some(first.digest));
                    return Ok(false);
                }
                // Asked plainly, so that the answer says why.
                Mounted::Not => {}
            }
        }
        self.may_push(repository).map(|()| false)
    }

    /// Cancels the sessions that the checks of rights opened and no blob used. One that cannot be
    /// cancelled expires.
    pub fn release(&self) {
        let kept: Vec<_> = std::mem::take(&mut *lock(&self.kept)).into_iter().collect();
        // A cancelled run leaves the rest to expire.
        let _ = each(self.http.flow(), &kept, |(repository, kept)| {
            let subject = format!("push to {}", repository.path());
            self.send_aside(&Call::new(Method::DELETE, kept.session.url.clone(), Scopes::push(repository), subject));
        });
    }

    /// Checks that the login may read the repository by requesting one of its tags. A missing
    /// repository, or a registry that does not list tags, is not an error.
    pub fn may_pull(&self, repository: &Repository) -> Result<(), Error> {
        let subject = format!("pull of {}", repository.path());
        let url = self.at(repository, "tags/list?n=1")?;
        let answer = self.ask(&Call::new(Method::GET, url, Scopes::pull(repository), &subject), MOST_TAGS)?;
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
