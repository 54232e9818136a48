//! Follows the pages of a list by `Link: <...>; rel="next"`: only at the registry's own address, each
//! page once, and up to a limit.

use std::collections::HashSet;

use reqwest::Url;
use reqwest::header::LINK;

use super::call::Call;
use super::registry::Registry;
use crate::content::{Error, Kind};
use crate::registry::http::headers;
use crate::registry::http::response::Answer;

/// Iterator over the pages of a list.
pub(in crate::registry) struct Pages {
    next: Option<Call>,
    most: usize,
    seen: HashSet<String>,
}

impl Pages {
    /// Starts at the first page; more than `most` pages are an error.
    pub fn new(first: Call, most: usize) -> Self {
        Self { next: Some(first), most, seen: HashSet::new() }
    }

    /// Returns the number of pages requested so far.
    pub fn count(&self) -> usize {
        self.seen.len()
    }

    /// Continues at `url` if the server sent no link.
    pub fn go_on(&mut self, from: &Call, url: Url) {
        let mut call = from.clone();
        call.request.url = url;
        self.next = Some(call);
    }

    /// Returns the call for the next page.
    pub fn upcoming(&self) -> Option<&Call> {
        self.next.as_ref()
    }

    /// Requests the next page and returns it, whatever its status; `None` after the last page.
    pub fn next(&mut self, registry: &Registry, cap: u64) -> Result<Option<Answer>, Error> {
        let Some(mut call) = self.next.take() else { return Ok(None) };
        if self.seen.len() >= self.most {
            let what = format_args!("{}: more than {} pages", call.request.subject, self.most);
            return Err(registry.http.error(Kind::Failed, what));
        }
        if !self.seen.insert(call.request.url.to_string()) {
            return Err(registry
                .http
                .error(Kind::Failed, format_args!("{}: the pages form a loop", call.request.subject)));
        }
        let answer = registry.ask(&call, cap)?;
        if answer.status.is_success()
            && let Some(link) = next_of(&answer)
        {
            let url = headers::next_page(&call.request.url, link)
                .map_err(|what| registry.http.misnamed(&call.request.subject, "Link", (Kind::Policy, what)))?;
            call.request.url = url;
            self.next = Some(call);
        }
        Ok(Some(answer))
    }
}

/// Returns the target of the first `rel=next` link.
fn next_of(answer: &Answer) -> Option<&str> {
    answer.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).find_map(headers::next_link)
}
