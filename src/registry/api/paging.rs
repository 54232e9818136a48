//! Pages: `Link: <...>; rel="next"`, on the same origin, each page once, not for ever.

use std::collections::HashSet;

use reqwest::Url;
use reqwest::header::LINK;

use super::call::Call;
use super::registry::Registry;
use crate::content::{Error, Kind};
use crate::registry::http::headers;
use crate::registry::http::response::Answer;

/// Pages of one list.
const MOST_PAGES: usize = 1000;
/// A walk over the pages of a list.
pub(in crate::registry) struct Pages {
    next: Option<Call>,
    seen: HashSet<String>,
}

impl Pages {
    /// Makes a walk from the first page.
    pub fn new(first: Call) -> Self {
        Self { next: Some(first), seen: HashSet::new() }
    }

    /// Returns how many pages were asked for.
    pub fn count(&self) -> usize {
        self.seen.len()
    }

    /// Goes on at `url`, where the server gave no link.
    pub fn go_on(&mut self, from: &Call, url: Url) {
        let mut call = from.clone();
        call.request.url = url;
        self.next = Some(call);
    }

    /// Returns the call that comes next.
    pub fn upcoming(&self) -> Option<&Call> {
        self.next.as_ref()
    }

    /// Asks for the next page, whatever its status; `None` after the last.
    pub fn next(&mut self, registry: &Registry, cap: u64) -> Result<Option<Answer>, Error> {
        let Some(mut call) = self.next.take() else { return Ok(None) };
        if self.seen.len() >= MOST_PAGES {
            let what = format_args!("{}: more than {MOST_PAGES} pages", call.request.subject);
            return Err(registry.http.error(Kind::Failed, what));
        }
        if !self.seen.insert(call.request.url.to_string()) {
            return Err(registry
                .http
                .error(Kind::Failed, format_args!("{}: its pages go round in a circle", call.request.subject)));
        }
        let answer = registry.ask(&call, cap)?;
        if answer.status.is_success()
            && let Some(link) = next_of(&answer)
        {
            let url = headers::next_page(&call.request.url, link).ok_or_else(|| {
                let what = format_args!("{}: the next page is on another host", call.request.subject);
                registry.http.error(Kind::Policy, what).help("the registry must page on its own address")
            })?;
            call.request.url = url;
            self.next = Some(call);
        }
        Ok(Some(answer))
    }
}

/// Returns the target of the first `rel=next`.
fn next_of(answer: &Answer) -> Option<&str> {
    answer.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).find_map(headers::next_link)
}
