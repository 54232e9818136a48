//! An answer before it is sent, so that log, counters and tests see the same value.

use std::io;
use std::pin::Pin;

use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use futures_util::Stream;

use super::error::Refusal;

/// A body that is read while it is sent.
pub(super) type Chunks = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Content of an answer.
pub(super) enum Content {
    /// In memory.
    Bytes(Bytes),
    /// Read while it is sent.
    Stream(Chunks),
}

/// An answer.
pub(super) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub content: Content,
}

impl Reply {
    /// Returns an answer without content.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), content: Content::Bytes(Bytes::new()) }
    }

    /// Returns an answer with content in memory.
    pub(super) fn of(media_type: &str, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let length = content.len() as u64;
        Self::empty(StatusCode::OK).with(CONTENT_TYPE, media_type).sized(length).content(Content::Bytes(content))
    }

    /// Sets a header. A value that cannot be one is left out: it comes from content, and is not
    /// worth an error.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Sets the length of the content, which `HEAD` also states.
    pub(super) fn sized(mut self, length: u64) -> Self {
        self.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        self
    }

    /// Sets the content.
    pub(super) fn content(mut self, content: Content) -> Self {
        self.content = content;
        self
    }

    /// Sets the status.
    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::of("application/json", refusal.body()).status(refusal.status)
    }
}
