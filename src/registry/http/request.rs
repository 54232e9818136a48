//! A request, and the `Authorization` that may be sent with it.
//!
//! Only values; [`super::exchange`] sends them.

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use crate::network::origin;

/// One HTTP request.
#[derive(Clone)]
pub(in crate::registry) struct Request {
    /// HTTP method.
    pub method: Method,
    /// Address of the request.
    pub url: Url,
    /// Headers without `Authorization`.
    pub headers: HeaderMap,
    /// A small body, if any.
    pub body: Option<Bytes>,
    /// Subject of the request, for errors.
    pub subject: String,
}

impl Request {
    /// Makes a request without headers or body.
    pub fn new(method: Method, url: Url, subject: impl Into<String>) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: None, subject: subject.into() }
    }

    /// Adds a header. Ignores an invalid value (all values are our own).
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }
}

/// An `Authorization` header, and the only server that it may be sent to.
pub(in crate::registry) struct Authorization {
    /// Value of the header.
    pub header: HeaderValue,
    /// Scheme, host and port of the registry.
    pub home: Url,
}

impl Authorization {
    /// Returns the header for an address; `None` if the address is on another server.
    pub fn at(&self, url: &Url) -> Option<&HeaderValue> {
        origin::same(&self.home, url).then_some(&self.header)
    }
}
