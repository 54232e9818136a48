//! One request, and the login that may go with it.
//!
//! Values only: [`super::exchange`] sends them.

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::origin;

/// One request.
#[derive(Clone)]
pub(in crate::registry) struct Request {
    /// Method.
    pub method: Method,
    /// Address.
    pub url: Url,
    /// Headers, without `Authorization`.
    pub headers: HeaderMap,
    /// A small body, if any.
    pub body: Option<Bytes>,
    /// What it is about, for errors.
    pub subject: String,
}

impl Request {
    /// Makes a request without headers and body.
    pub fn new(method: Method, url: Url, subject: impl Into<String>) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: None, subject: subject.into() }
    }

    /// Adds a header. Leaves out a value that cannot be one (only our own texts come here).
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }
}

/// An `Authorization` header and the only server that it may be sent to.
pub(in crate::registry) struct Authorization {
    /// The value of the header.
    pub header: HeaderValue,
    /// Scheme, host and port of the registry.
    pub home: Url,
}

impl Authorization {
    /// Returns the header for an address; `None` where the address is another server's.
    pub fn at(&self, url: &Url) -> Option<&HeaderValue> {
        origin::same(&self.home, url).then_some(&self.header)
    }
}
