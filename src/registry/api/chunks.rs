//! Blob push by PATCH: uses the latest `Location` and the server's `Range`, and resumes after a
//! break.
//!
//! Trusts the server's report of its progress; the digest at the end verifies it.

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, RANGE};
use reqwest::{Method, StatusCode, Url};

use super::call::Call;
use super::session::Session;
use super::upload::{Content, Upload, UploadOutcome};
use super::ways::{CHUNK, UploadMode};
use crate::content::Kind;
use crate::network::retry::{self, Trouble};
use crate::network::upload_body::UploadBody;
use crate::registry::auth::scopes::Scopes;
use crate::registry::http::stream::Unsent;
use crate::registry::http::tries::Tries;
/// Progress of a session according to a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    /// Number of bytes of the blob that were received.
    Bytes(u64),
    /// The server may count within the chunk (zot) or have lost one, so the session must be
    /// queried.
    Unclear,
}

/// Returns the first and last byte of a `Range: 0-N` or `bytes=0-N`.
fn range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let text = headers.get(RANGE)?.to_str().ok()?.trim();
    let text = text.strip_prefix("bytes").map_or(text, |rest| rest.trim_start_matches(['=', ' ']));
    let (first, last) = text.split_once('-')?;
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

fn reached(headers: &HeaderMap, at: u64, length: u64) -> Reached {
    match range(headers) {
        None => Reached::Bytes(at + length),
        Some((_, last)) if last.checked_add(1) == Some(at + length) => Reached::Bytes(at + length),
        // An empty session also reports "0-0".
        Some((0, last)) if last > 0 && last >= at && last < at + length && last != length - 1 => {
            Reached::Bytes(last + 1)
        }
        Some(_) => Reached::Unclear,
    }
}

/// An upload in chunks, as far as it is.
struct Chunked<'r> {
    /// Where it goes on.
    url: Url,
    /// Bytes that the session has.
    at: u64,
    /// The last chunk was answered as if it were all.
    created: bool,
    /// It was logged in to once more for the chunk that is being sent.
    relogin: bool,
    /// Of the chunk that is being sent.
    tries: Tries<'r>,
}

/// How the upload of a chunk ended.
enum Went {
    /// The session has this many bytes of the blob.
    To(u64),
    /// The upload ends so.
    Ended(UploadOutcome),
}

impl Upload<'_> {
    /// Sends chunks of `size` bytes, or more if the session requires it, and closes the session.
    /// `mode` is the mode that the caller selected.
    pub fn in_chunks(
        &self,
        session: Session,
        size: u64,
        mode: UploadMode,
        content: &mut Content<'_>,
    ) -> Result<UploadOutcome, Unsent> {
        let registry = self.registry;
        let total = self.blob.size;
        let mut state =
            Chunked { url: session.url, at: 0, created: false, relogin: false, tries: registry.http.tries() };
        let chunk = size.max(session.least);
        let mut body = content.at(0)?;
        // All in one chunk is more than is kept.
        let keeps = self.body.is_once() && (mode != UploadMode::OneChunk || total <= CHUNK);
        body.keep(keeps);
        while state.at < total {
            let length = chunk.min(total - state.at);
            let end = match self.chunk(&mut state, length, mode, body)? {
                Went::To(end) => end,
                Went::Ended(outcome) => return Ok(outcome),
            };
            if end > state.at {
                state.tries = registry.http.tries();
                state.relogin = false;
            } else if !state.relogin {
                let what = format_args!("{}: stays at byte {}", self.subject, state.at);
                state.tries.again(Trouble::passing(registry.http.error(Kind::Failed, what)))?;
            }
            if end != state.at + length {
                body = content.at(end)?;
                body.keep(keeps);
            }
            body.forget(end);
            state.at = end;
        }
        if total == 0 {
            // Nothing was read, so check here that the content is empty.
            body.piece(0).map_err(Unsent::Content)?;
        }
        self.close(state.url, state.created, mode)
    }

    /// Sends the next chunk, of `length` bytes, and finds out how far the session is then.
    fn chunk(
        &self,
        state: &mut Chunked<'_>,
        length: u64,
        mode: UploadMode,
        body: &mut UploadBody<'_>,
    ) -> Result<Went, Unsent> {
        let registry = self.registry;
        let (at, total) = (state.at, self.blob.size);
        let content_range = format!("{at}-{}", at + length - 1);
        let call = self.call(Method::PATCH, state.url.clone()).header(CONTENT_RANGE, &content_range);
        let authorization = self.authorization(&state.url)?;
        let response = match registry.http.stream(&call.request, authorization.as_ref(), length, body) {
            Ok(response) => response,
            Err(Unsent::Trouble(trouble)) if trouble.again => return self.resumed(state, trouble).map(Went::To),
            Err(unsent) => return Err(unsent),
        };
        if !response.status().is_success() {
            return match self.judge(response, authorization.as_ref(), mode) {
                Ok(UploadOutcome::Relogin) if !state.relogin => {
                    state.relogin = true;
                    Ok(Went::To(self.stands(state)?.unwrap_or(at)))
                }
                // It is there, or may be soon; what it has of the content is asked for.
                Err(Unsent::Trouble(trouble))
                    if trouble.again && trouble.status.is_none_or(|status| self.may_go_on(status)) =>
                {
                    self.resumed(state, trouble).map(Went::To)
                }
                outcome => outcome.map(Went::Ended),
            };
        }
        let headers = response.headers().clone();
        state.url = registry.next(&state.url, &headers, &self.subject)?.unwrap_or_else(|| state.url.clone());
        state.created = response.status() == StatusCode::CREATED;
        if state.created && at + length < total {
            // ECR takes the first chunk for the whole blob and silently drops the others.
            let what = format_args!("{}: the first chunk was taken for the whole blob", self.subject);
            let error = registry.http.error(Kind::Refused, what);
            return Ok(Went::Ended(UploadOutcome::Otherwise { next: UploadMode::OneChunk, error, too_large: false }));
        }
        Ok(Went::To(match reached(&headers, at, length) {
            Reached::Bytes(end) => end,
            Reached::Unclear => self.stands(state)?.filter(|end| *end <= total).unwrap_or(at + length),
        }))
    }

    /// Whether the same session may go on after this status: where it passes by itself, and, of content that cannot be
    /// read again, where the session is elsewhere than it seemed.
    fn may_go_on(&self, status: u16) -> bool {
        retry::passes(status) || (self.body.is_once() && status == 416)
    }

    /// Goes on after a chunk that broke off, where the session still knows how far it is.
    fn resumed(&self, state: &mut Chunked<'_>, trouble: Trouble) -> Result<u64, Unsent> {
        let told = trouble.error.clone();
        state.tries.again(trouble)?;
        match self.stands(state)?.filter(|end| *end <= self.blob.size) {
            Some(end) => Ok(end),
            // One that cannot be asked may still be where it was: nothing else is left to try.
            None if self.body.is_once() => Ok(state.at),
            None => Err(Trouble::passing(told).into()),
        }
    }

    fn close(&self, url: Url, created: bool, mode: UploadMode) -> Result<UploadOutcome, Unsent> {
        let call = self.call(Method::PUT, self.closing(url)).header(CONTENT_LENGTH, "0");
        let (mut tries, mut relogin) = (self.registry.http.tries(), false);
        loop {
            let authorization = self.authorization(&call.request.url)?;
            let closed = match self.registry.http.exchange(&call.request, authorization.as_ref()) {
                Ok(response) => {
                    let status = response.status();
                    // The blob is already stored, so there was no session to close.
                    let is_refused = status.is_client_error() && status != StatusCode::UNAUTHORIZED;
                    if created && is_refused && self.is_there()? {
                        return Ok(UploadOutcome::Stored);
                    }
                    self.judge(response, authorization.as_ref(), mode)
                }
                Err(trouble) => Err(trouble.into()),
            };
            match closed {
                // All of it is there; only its end is to be said again.
                Err(Unsent::Trouble(trouble)) if trouble.again && trouble.status.is_none_or(retry::passes) => {
                    tries.again(trouble)?;
                    if self.is_there()? {
                        return Ok(UploadOutcome::Stored);
                    }
                }
                Ok(UploadOutcome::Relogin) if !relogin => relogin = true,
                other => return other,
            }
        }
    }

    /// Queries the progress of the session, again while the registry fails. Sets the address to the next one.
    fn stands(&self, state: &mut Chunked<'_>) -> Result<Option<u64>, Unsent> {
        let call = Call::new(Method::GET, state.url.clone(), Scopes::push(self.repository), &self.subject);
        let response = loop {
            let trouble = match self.registry.send(&call) {
                Ok(response) => break response,
                Err(trouble) => trouble,
            };
            match state.tries.again(trouble) {
                Ok(()) => {}
                Err(error) if error.class == Kind::Cancelled => return Err(error.into()),
                Err(_) => return Ok(None),
            }
        };
        if !response.status().is_success() {
            return Ok(None);
        }
        let Some((0, last)) = range(response.headers()) else { return Ok(None) };
        if let Some(next) = self.registry.next(&state.url, response.headers(), &self.subject)? {
            state.url = next;
        }
        Ok(Some(if last == 0 { 0 } else { last.saturating_add(1) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_the_blob_of_the_chunk_and_of_nothing() {
        let told = |text: &str, at, length| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, text.parse().unwrap());
            reached(&headers, at, length)
        };
        for (text, at, length, expected) in [
            ("0-99", 0, 100, Reached::Bytes(100)),
            ("bytes=0-199", 100, 100, Reached::Bytes(200)),
            ("100-199", 100, 100, Reached::Bytes(200)),
            ("0-149", 100, 100, Reached::Bytes(150)),
            ("0-99", 100, 100, Reached::Unclear),
            ("0-0", 0, 100, Reached::Unclear),
            ("0-999", 100, 100, Reached::Unclear),
            ("0-18446744073709551615", 100, 100, Reached::Unclear),
            ("junk", 0, 100, Reached::Bytes(100)),
        ] {
            assert_eq!(told(text, at, length), expected, "{text} at {at}");
        }
        assert_eq!(reached(&HeaderMap::new(), 100, 100), Reached::Bytes(200));
    }
}
