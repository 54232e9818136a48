//! Foreign layers: content that is stored at other addresses, given in its descriptor (`urls`).
//!
//! Used only if requested, and after the registry itself. Uses only https and never sends a login,
//! not even if an address leads back to the registry.

use std::sync::Arc;

use reqwest::header::RANGE;
use reqwest::{Method, Url};

use super::blobs::{Stream, length};
use super::call::Call;
use super::registry::Registry;
use crate::base::fault::{differs, escape};
use crate::content::{Error, Kind};
use crate::flow::Event;
use crate::network::origin;
use crate::oci::{Descriptor, Repository, media_type};
use crate::registry::auth::scopes::Scopes;

/// Maximum number of addresses tried.
const MOST_URLS: usize = 8;

impl Registry {
    /// Returns calls for the permitted addresses of foreign content.
    fn elsewhere(&self, blob: &Descriptor) -> Vec<Call> {
        if !media_type::is_foreign(&blob.media_type) {
            return Vec::new();
        }
        let mut calls = Vec::new();
        for text in blob.urls.iter().flatten().take(MOST_URLS) {
            let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.has_host());
            let Some(mut url) = url.filter(|url| !origin::is_forbidden(url)) else {
                self.http.flow().warn(format!(
                    "blob {}: its address {:?} is skipped; only https is allowed",
                    blob.digest,
                    escape(text)
                ));
                continue;
            };
            // A login in the address would be sent.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            let subject = format!("foreign blob {} at {}", blob.digest, escape(&origin::authority(&url)));
            calls.push(Call::without_login(Method::GET, url, subject));
        }
        calls
    }

    /// Streams the whole content from the registry, or else from the first foreign address that has
    /// it.
    pub fn whole_blob(self: &Arc<Self>, repository: &Repository, blob: &Descriptor) -> Result<Stream, Error> {
        let mut failure = match self.part(repository, blob, 0, blob.size) {
            Ok(Some(stream)) => return Ok(stream),
            Ok(None) => self
                .http
                .error(Kind::Failed, differs(format_args!("blob {}", blob.digest), "the whole content", "a part")),
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

    /// Reports whether the content is available, in the registry or at its foreign addresses.
    pub fn holds(&self, repository: &Repository, blob: &Descriptor) -> Result<bool, Error> {
        if self.has_blob(repository, blob, Scopes::pull(repository))? {
            return Ok(true);
        }
        for mut call in self.elsewhere(blob) {
            // If HEAD fails, request the first byte, since not all servers support HEAD.
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
