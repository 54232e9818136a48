//! One question: a request, and what the login for it must permit.
//!
//! A value only: [`super::registry`] asks it.

use reqwest::header::HeaderName;
use reqwest::{Method, Url};

use crate::registry::auth::scopes::Scopes;
use crate::registry::http::request::Request;

/// One question.
#[derive(Clone)]
pub(in crate::registry) struct Call {
    /// What is sent.
    pub request: Request,
    /// What the login must permit; `None`: asked without any.
    pub scopes: Option<Scopes>,
}

impl Call {
    /// Makes a question without body.
    pub fn new(method: Method, url: Url, scopes: Scopes, subject: impl Into<String>) -> Self {
        Self { request: Request::new(method, url, subject), scopes: Some(scopes) }
    }

    /// Makes a question that no login goes with, wherever it leads.
    pub fn without_login(method: Method, url: Url, subject: impl Into<String>) -> Self {
        Self { request: Request::new(method, url, subject), scopes: None }
    }

    /// Adds a header. Leaves out a value that cannot be one (only our own texts come here).
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }
}
