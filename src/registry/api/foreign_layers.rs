//! Foreign layers: content that its descriptor says lies elsewhere (`urls`).
//!
//! Only for whoever asked for it, the registry first; https only, and never with a login, not even
//! where an address leads back to the registry.

use std::sync::Arc;

use reqwest::header::RANGE;
use reqwest::{Method, Url};

use super::blobs::{Stream, length};
use super::call::Call;
use super::registry::Registry;
use crate::base::fault::escape;
use crate::content::{Error, Kind};
use crate::flow::Event;
use crate::oci::{Descriptor, Repository, media_type};
use crate::registry::auth::scopes::Scopes;
use crate::registry::http::origin;

/// Addresses tried.
const MOST_URLS: usize = 8;

impl Registry {
    /// Returns the addresses of foreign content that may be asked.
    fn elsewhere(&self, blob: &Descriptor) -> Vec<Call> {
        if !media_type::is_foreign(&blob.media_type) {
            return Vec::new();
        }
        let mut calls = Vec::new();
        for text in blob.urls.iter().flatten().take(MOST_URLS) {
            let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.has_host());
            let Some(mut url) = url.filter(|url| !origin::is_forbidden(url)) else {
                self.http.flow().warn(format!(
                    "blob {}: its address {:?} is not asked; only https is",
                    blob.digest,
                    escape(text)
                ));
                continue;
            };
            // A login in an address would be sent as one.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            let subject = format!("foreign blob {} at {}", blob.digest, escape(&origin::authority(&url)));
            calls.push(Call::without_login(Method::GET, url, subject));
        }
        calls
    }

    /// Streams the whole content: of the registry, else of the first of its own addresses that gives it.
    pub fn whole_blob(self: &Arc<Self>, repository: &Repository, blob: &Descriptor) -> Result<Stream, Error> {
        let mut failure = match self.part(repository, blob, 0, blob.size) {
            Ok(Some(stream)) => return Ok(stream),
            Ok(None) => self.http.error(Kind::Failed, format_args!("blob {}: not given whole", blob.digest)),
            Err(error) => error,
        };
        if !matches!(failure.class, Kind::Absent | Kind::Refused) {
            return Err(failure);
        }
        for call in self.elsewhere(blob) {
            match self.stream_of(call, blob, 0, blob.size) {
                Ok(Some(stream)) => return Ok(stream),
                Ok(None) => {}
                Err(error) if error.class == Kind::Cancelled => return Err(error),
                Err(error) => {
                    self.http.flow().event(Event::Detail(error.what.clone()));
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    /// Returns whether the content can be had, here or at its own addresses.
    pub fn holds(&self, repository: &Repository, blob: &Descriptor) -> Result<bool, Error> {
        if self.has_blob(repository, blob, Scopes::pull(repository))? {
            return Ok(true);
        }
        for mut call in self.elsewhere(blob) {
            // A first byte, as not everybody answers HEAD.
            call.request.method = Method::HEAD;
            let by_head = self.send(&call).ok().filter(|response| response.status().is_success());
            if by_head.is_some_and(|response| length(response.headers()).is_none_or(|found| found == blob.size)) {
                return Ok(true);
            }
            self.http.flow().check()?;
            call.request.method = Method::GET;
            let call = call.header(RANGE, "bytes=0-0");
            if self.send(&call).is_ok_and(|response| response.status().is_success()) {
                return Ok(true);
            }
            self.http.flow().check()?;
        }
        Ok(false)
    }
}
