//! Blob pull: existence checks, and streams of whole blobs and ranges that resume with `Range`
//! after a break.
//!
//! Does not check digests: the consumer wraps a stream in [`crate::content::checked::Checked`].

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};

use super::call::Call;
use super::registry::Registry;
use crate::base::fault::differs;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::network::retry::{self, Trouble};
use crate::oci::{Descriptor, Digest, Repository};
use crate::registry::auth::scopes::Scopes;
use crate::registry::http::body::Drip;
use crate::registry::http::body::SMALL;
use crate::registry::http::encoding::coding;
use crate::registry::http::response::Answer;

/// Number of bytes without a break after which the count of breaks is reset.
const PROGRESS: u64 = 1 << 20;

impl Registry {
    /// Reports whether the blob exists, using HEAD, or GET of its first byte if HEAD fails.
    pub fn has_blob(&self, repository: &Repository, blob: &Descriptor, scopes: Scopes) -> Result<bool, Error> {
        let subject = format!("blob {} of {}", blob.digest, repository.path());
        let url = self.at(repository, &format!("blobs/{}", blob.digest))?;
        let call = Call::new(Method::HEAD, url.clone(), scopes.clone(), &subject);
        let missing = || {
            lock(&self.missing).insert((repository.path().to_owned(), blob.digest));
            Ok(false)
        };
        let size = match self.head(&call)? {
            Some(response) if response.status() == StatusCode::NOT_FOUND => return missing(),
            // Servers that do not know the length say 0, too.
            Some(response) => {
                length(response.headers()).filter(|found| *found > 0 && coding(response.headers()).is_none())
            }
            None => {
                let call = Call::new(Method::GET, url, scopes, &subject).header(RANGE, "bytes=0-0");
                let response = self.open(&call)?;
                match response.status() {
                    StatusCode::NOT_FOUND => return missing(),
                    StatusCode::PARTIAL_CONTENT => content_range(response.headers()).map(|(_, size)| size),
                    // A blob without bytes has no first one.
                    StatusCode::RANGE_NOT_SATISFIABLE if blob.size == 0 => None,
                    status if status.is_success() => {
                        length(response.headers()).filter(|_| coding(response.headers()).is_none())
                    }
                    _ => {
                        let error = self.refusal(&answer_of(self, response, &subject)?, &subject);
                        return Err(self.after_put(repository, blob.digest, error));
                    }
                }
            }
        };
        match size.filter(|found| *found != blob.size) {
            None => Ok(true),
            Some(found) => {
                let what = differs(subject, format_args!("{} bytes", blob.size), found);
                Err(self.http.error(Kind::Mismatch, what))
            }
        }
    }

    /// Returns the size of a blob, using HEAD, or GET of its first byte if HEAD fails or states none;
    /// `None` if there is no such blob, or if no size is stated.
    pub fn blob_size(&self, repository: &Repository, digest: Digest) -> Result<Option<u64>, Error> {
        let subject = format!("blob {digest} of {}", repository.path());
        let url = self.at(repository, &format!("blobs/{digest}"))?;
        let call = Call::new(Method::HEAD, url.clone(), Scopes::pull(repository), &subject);
        if let Some(response) = self.head(&call)? {
            if response.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            // Servers that do not know the length say 0, too.
            let size = length(response.headers()).filter(|size| *size > 0 && coding(response.headers()).is_none());
            if size.is_some() {
                return Ok(size);
            }
        }
        let call = Call::new(Method::GET, url, Scopes::pull(repository), &subject).header(RANGE, "bytes=0-0");
        let response = self.open(&call)?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            // A blob without bytes has no first one.
            StatusCode::RANGE_NOT_SATISFIABLE => Ok(Some(0)),
            StatusCode::PARTIAL_CONTENT => Ok(content_range(response.headers()).map(|(_, size)| size)),
            status if status.is_success() => {
                Ok(length(response.headers()).filter(|_| coding(response.headers()).is_none()))
            }
            _ => Err(self.refusal(&answer_of(self, response, &subject)?, &subject)),
        }
    }

    /// Streams the bytes `start..end` of the blob; `None` if a part was requested and the server
    /// does not send parts.
    pub fn part(
        self: &Arc<Self>,
        repository: &Repository,
        blob: &Descriptor,
        start: u64,
        end: u64,
    ) -> Result<Option<Stream>, Error> {
        let subject = format!("blob {} of {}", blob.digest, repository.path());
        if end > blob.size || start > end {
            let what =
                differs(subject, format_args!("a range within {} bytes", blob.size), format_args!("{start}..{end}"));
            return Err(self.http.error(Kind::Refused, what));
        }
        let url = self.at(repository, &format!("blobs/{}", blob.digest))?;
        self.stream_of(Call::new(Method::GET, url, Scopes::pull(repository), subject), blob, start, end)
    }

    /// Streams the bytes `start..end` of `blob`, which `call` requests.
    pub fn stream_of(
        self: &Arc<Self>,
        call: Call,
        blob: &Descriptor,
        start: u64,
        end: u64,
    ) -> Result<Option<Stream>, Error> {
        let mut stream = Stream {
            registry: Arc::clone(self),
            call,
            at: start,
            end,
            size: blob.size,
            response: None,
            etag: None,
            coding: None,
            drip: Drip::default(),
            skip: 0,
            current: Bytes::new(),
            breaks: 0,
            since: 0,
            whole_only: false,
            failed: None,
        };
        let is_part = start > 0 || end < blob.size;
        if start == end && is_part {
            return Ok(Some(stream));
        }
        let mut tries = self.http.tries();
        loop {
            match stream.connect(is_part) {
                Ok(true) => return Ok(Some(stream)),
                Ok(false) => return Ok(None),
                Err(trouble) => tries.again(trouble)?,
            }
        }
    }
}

/// Reads the complete response.
fn answer_of(registry: &Registry, response: Response, subject: &str) -> Result<Answer, Error> {
    registry.http.whole(response, SMALL, subject).map_err(|trouble| trouble.error)
}

/// Returns the `Content-Length`.
pub(in crate::registry) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Stream of a blob or a part of one.
pub(in crate::registry) struct Stream {
    registry: Arc<Registry>,
    call: Call,
    /// Offset of the next byte to return.
    at: u64,
    /// Offset after the last byte.
    end: u64,
    /// Size of the blob.
    size: u64,
    response: Option<Response>,
    /// Strong `ETag` of the bytes so far, if the server sent one.
    etag: Option<HeaderValue>,
    /// Content coding that the response declares.
    coding: Option<String>,
    drip: Drip,
    /// Number of bytes of the response that come before `at`.
    skip: u64,
    current: Bytes,
    breaks: u32,
    since: u64,
    /// Whether to request only the whole blob, because a range failed.
    whole_only: bool,
    failed: Option<Error>,
}

impl Stream {
    /// Requests the remaining bytes. Returns `false` if `only_part` is set and the server does not
    /// send a part.
    fn connect(&mut self, only_part: bool) -> Result<bool, Trouble> {
        let mut call = self.call.clone();
        let by_range = (self.at > 0 || self.end < self.size) && !self.whole_only;
        if by_range {
            call = call.header(RANGE, &format!("bytes={}-{}", self.at, self.end.saturating_sub(1)));
            if let Some(etag) = &self.etag {
                call.request.headers.insert(IF_RANGE, etag.clone());
            }
        }
        self.skip = 0;
        self.drip = Drip::default();
        let response = self.registry.send(&call)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if by_range => {
                if content_range(response.headers()) != Some((self.at, self.size)) {
                    self.whole_only = true;
                    if only_part {
                        return Ok(false);
                    }
                    let what = format_args!("{}: received a different range", call.request.subject);
                    return Err(Trouble::passing(self.registry.http.error(Kind::Failed, what)));
                }
                let now = exact_etag(response.headers());
                if self.etag.is_some() && now != self.etag {
                    self.whole_only = true;
                    let what = format_args!("{}: the blob changed during the transfer", call.request.subject);
                    return Err(Trouble::passing(self.registry.http.error(Kind::Failed, what)));
                }
            }
            StatusCode::OK => {
                if by_range && only_part {
                    return Ok(false);
                }
                if let Some(found) = length(response.headers()).filter(|found| *found != self.size) {
                    if let Some(coding) = coding(response.headers()) {
                        return Err(Trouble::last(self.registry.http.compressed(&call.request.subject, &coding)));
                    }
                    let what = differs(&call.request.subject, format_args!("{} bytes", self.size), found);
                    return Err(Trouble::last(self.registry.http.error(Kind::Mismatch, what)));
                }
                self.skip = self.at;
            }
            // The storage does not accept this range, or any. The bytes so far are good; get the
            // rest from the whole blob.
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::BAD_REQUEST | StatusCode::NOT_IMPLEMENTED if by_range => {
                self.whole_only = true;
                if only_part {
                    return Ok(false);
                }
                let what = format_args!(
                    "{}: the remaining range was refused, status {}",
                    call.request.subject,
                    response.status().as_u16()
                );
                return Err(Trouble::passing(self.registry.http.error(Kind::Failed, what)));
            }
            _ => {
                let answer = self.registry.http.whole(response, SMALL, &call.request.subject)?;
                return Err(Trouble::last(self.registry.refusal(&answer, &call.request.subject)));
            }
        }
        self.etag = exact_etag(response.headers());
        self.coding = coding(response.headers());
        self.response = Some(response);
        Ok(true)
    }

    /// Reads the next bytes of the response; empty at its end.
    fn chunk(&mut self) -> Result<Bytes, Trouble> {
        let Some(response) = &mut self.response else { return Ok(Bytes::new()) };
        let url = response.url().clone();
        let chunk = self
            .registry
            .http
            .chunk(response, &mut self.drip, &self.call.request.subject)?
            .map_err(|error| self.registry.http.broken(&url, &self.call.request.subject, &error))?;
        Ok(chunk.unwrap_or_default())
    }

    /// Fills `current` with the bytes from `at`. Leaves it empty at the end.
    fn fill(&mut self) -> Result<(), Trouble> {
        while self.current.is_empty() && self.at < self.end {
            if self.response.is_none() {
                self.connect(false)?;
            }
            let mut chunk = self.chunk()?;
            let is_over = chunk.len() as u64 > self.skip + (self.end - self.at) && self.end == self.size;
            if let Some(coding) = self.coding.as_ref().filter(|_| chunk.is_empty() || is_over) {
                return Err(Trouble::last(self.registry.http.compressed(&self.call.request.subject, coding)));
            }
            if chunk.is_empty() {
                let what = format!(
                    "registry {}: {}: ended {} bytes early",
                    self.registry.http.name,
                    self.call.request.subject,
                    self.end - self.at
                );
                return Err(retry::failed(what));
            }
            let skip = self.skip.min(chunk.len() as u64);
            self.skip -= skip;
            // Never more than the length of the chunk.
            chunk.advance(usize::try_from(skip).unwrap_or(chunk.len()));
            if chunk.len() as u64 > self.end - self.at {
                if self.end == self.size {
                    let what = differs(&self.call.request.subject, format_args!("{} bytes", self.size), "more");
                    return Err(Trouble::last(self.registry.http.error(Kind::Mismatch, what)));
                }
                chunk.truncate(usize::try_from(self.end - self.at).unwrap_or(0));
            }
            self.at += chunk.len() as u64;
            self.since += chunk.len() as u64;
            self.current = chunk;
        }
        Ok(())
    }

    /// Like [`Self::fill`], but connects again after a break.
    fn refill(&mut self) -> Result<(), Error> {
        loop {
            match self.fill() {
                Ok(()) => return Ok(()),
                Err(trouble) => {
                    self.response = None;
                    if self.since >= PROGRESS {
                        self.breaks = 0;
                    }
                    self.since = 0;
                    let mut tries = self.registry.http.tries_after(self.breaks);
                    tries.again(trouble)?;
                    self.breaks = tries.done();
                }
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = &self.failed {
            return Err(error.clone().into_io());
        }
        if self.current.is_empty() {
            if let Err(error) = self.refill() {
                // This error does not pass through a method of `Registries`, so remove secrets
                // here.
                let error = self.registry.http.settings.clients.secrets.out_of(error);
                self.failed = Some(error.clone());
                return Err(error.into_io());
            }
            if self.current.is_empty() {
                // Read to the end, so that the connection can be reused.
                self.finish();
                return Ok(0);
            }
        }
        let count = self.current.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.current[..count]);
        self.current.advance(count);
        Ok(count)
    }
}

impl Stream {
    /// Reads the end of the response, so that its connection can be reused. Ignores any further
    /// data and errors: everything requested was received.
    fn finish(&mut self) {
        if self.end == self.size {
            let _ = self.chunk();
        }
        self.response = None;
    }
}

/// Returns the first byte and the full size of a `Content-Range`.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.parse().ok()?, size.parse().ok()?))
}

/// Returns the `ETag` if it is a strong one.
pub(in crate::registry) fn exact_etag(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(ETAG).filter(|etag| etag.as_bytes().starts_with(b"\"")).cloned()
}

/// Returns the digest in the `Docker-Content-Digest` header.
pub(in crate::registry) fn digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, text.parse().unwrap());
            content_range(&headers)
        };
        assert_eq!(read("bytes 5-9/10"), Some((5, 10)));
        for wrong in ["bytes 5-9/*", "bytes */10", "5-9/10", "bytes -9/10"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
