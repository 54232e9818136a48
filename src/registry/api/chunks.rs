//! Blob push by PATCH: uses the latest `Location` and the server's `Range`, and resumes after a
//! break.
//!
//! Trusts the server's report of its progress; the digest at the end verifies it.

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, RANGE};
use reqwest::{Method, StatusCode, Url};

use super::call::Call;
use super::session::Session;
use super::upload::{Upload, UploadMode, UploadOutcome};
use crate::content::Kind;
use crate::registry::auth::scopes::Scopes;
use crate::registry::http::retry::Trouble;
use crate::registry::http::upload_body::Unsent;

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

impl Upload<'_> {
    /// Sends chunks of `size` bytes, or more if the session requires it, and closes the session.
    /// `mode` is the mode that the caller selected.
    pub fn in_chunks(&self, session: Session, size: u64, mode: UploadMode) -> Result<UploadOutcome, Unsent> {
        let registry = self.registry;
        let total = self.blob.size;
        let chunk = size.max(session.least);
        let mut url = session.url;
        let mut content = self.content(0)?;
        let (mut at, mut created) = (0, false);
        let mut tries = registry.http.tries();
        let mut relogin = false;
        while at < total {
            let length = chunk.min(total - at);
            let content_range = format!("{at}-{}", at + length - 1);
            let call = self.call(Method::PATCH, url.clone()).header(CONTENT_RANGE, &content_range);
            let authorization = self.authorization(&url)?;
            let sent = registry.http.stream(&call.request, authorization.as_ref(), length, &mut content);
            let end = match sent {
                Ok(response) if response.status().is_success() => {
                    let headers = response.headers().clone();
                    url = registry.next(&url, &headers, &self.subject)?.unwrap_or(url);
                    created = response.status() == StatusCode::CREATED;
                    if created && at + length < total {
                        // ECR takes the first chunk for the whole blob and silently drops the
                        // others.
                        let what = format_args!("{}: the first chunk was taken for the whole blob", self.subject);
                        return Ok(UploadOutcome::Otherwise(
                            UploadMode::OneChunk,
                            registry.http.error(Kind::Refused, what),
                        ));
                    }
                    match reached(&headers, at, length) {
                        Reached::Bytes(end) => end,
                        Reached::Unclear => self.stands(&mut url)?.filter(|end| *end <= total).unwrap_or(at + length),
                    }
                }
                Ok(response) => match self.judge(response, authorization.as_ref(), mode)? {
                    UploadOutcome::Relogin if !relogin => {
                        relogin = true;
                        self.stands(&mut url)?.unwrap_or(at)
                    }
                    outcome => return Ok(outcome),
                },
                Err(Unsent::Trouble(trouble)) if trouble.again => {
                    // Only if the session still reports its progress; otherwise everything is sent
                    // again.
                    let Some(end) = self.stands(&mut url)?.filter(|end| *end <= total) else {
                        return Err(trouble.into());
                    };
                    tries.again(trouble)?;
                    end
                }
                Err(unsent) => return Err(unsent),
            };
            if end > at {
                tries = registry.http.tries();
                relogin = false;
            } else if !relogin {
                let what = format_args!("{}: stays at byte {at}", self.subject);
                tries.again(Trouble::passing(registry.http.error(Kind::Failed, what)))?;
            }
            if end != at + length {
                content = self.content(end)?;
            }
            at = end;
        }
        if total == 0 {
            // Nothing was read, so check here that the content is empty.
            content.piece(0).map_err(Unsent::Content)?;
        }
        self.close(url, created, mode)
    }

    fn close(&self, url: Url, created: bool, mode: UploadMode) -> Result<UploadOutcome, Unsent> {
        let call = self.call(Method::PUT, self.closing(url)).header(CONTENT_LENGTH, "0");
        let authorization = self.authorization(&call.request.url)?;
        let response = self.registry.http.exchange(&call.request, authorization.as_ref())?;
        let is_refused = response.status().is_client_error() && response.status() != StatusCode::UNAUTHORIZED;
        // The blob is already stored, so there was no session to close.
        if created && is_refused && self.is_there()? {
            return Ok(UploadOutcome::Stored);
        }
        self.judge(response, authorization.as_ref(), mode)
    }

    /// Queries the progress of the session. Sets `url` to its next address.
    fn stands(&self, url: &mut Url) -> Result<Option<u64>, Unsent> {
        let call = Call::new(Method::GET, url.clone(), Scopes::push(self.repository), &self.subject);
        let response = match self.registry.send(&call) {
            Ok(response) => response,
            Err(trouble) if trouble.error.class == Kind::Cancelled => return Err(trouble.into()),
            Err(_) => return Ok(None),
        };
        if !response.status().is_success() {
            return Ok(None);
        }
        let Some((0, last)) = range(response.headers()) else { return Ok(None) };
        if let Some(next) = self.registry.next(url, response.headers(), &self.subject)? {
            *url = next;
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
