//! A call: a request, and the permissions that its login needs.
//!
//! Only a value; [`super::registry`] sends it.

use reqwest::header::HeaderName;
use reqwest::{Method, Url};

use crate::registry::auth::scopes::Scopes;
use crate::registry::http::request::Request;

/// One call of the protocol.
#[derive(Clone)]
pub(in crate::registry) struct Call {
    /// Request to send.
    pub request: Request,
    /// Permissions that the login needs; `None` to send no login.
    pub scopes: Option<Scopes>,
}

impl Call {
    /// Makes a call without a body.
    pub fn new(method: Method, url: Url, scopes: Scopes, subject: impl Into<String>) -> Self {
        Self { request: Request::new(method, url, subject), scopes: Some(scopes) }
    }

    /// Makes a call that never sends a login, whatever its address.
    pub fn without_login(method: Method, url: Url, subject: impl Into<String>) -> Self {
        Self { request: Request::new(method, url, subject), scopes: None }
    }

    /// Adds a header. Ignores an invalid value (all values are our own).
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }
}
