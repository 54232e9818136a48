//! Lists in pages: `Link: <...>; rel="next"`, on the same origin, each page once, not for ever.
//!
//! And the list of tags, which some servers page by `n` and `last` alone.

use std::collections::HashSet;

use reqwest::header::LINK;
use reqwest::{Method, Url};
use serde::Deserialize;

use super::answer::Answer;
use super::auth::Scopes;
use super::client::{Call, Host};
use super::origin;
use crate::content::{Error, Kind};
use crate::fault::escape;
use crate::oci::{Repository, Tag};

/// Pages of one list.
const MOST_PAGES: usize = 1000;
/// Tags asked for on a page.
const PER_PAGE: usize = 1000;
/// Bytes of a page of tags.
const PAGE: u64 = 16 << 20;

#[derive(Deserialize)]
struct TagPage {
    tags: Option<Vec<String>>,
}

/// A walk over the pages of a list.
pub(super) struct Pages {
    next: Option<Call>,
    seen: HashSet<String>,
}

impl Pages {
    /// From the first page.
    pub fn new(first: Call) -> Self {
        Self { next: Some(first), seen: HashSet::new() }
    }

    /// How many pages were asked for.
    pub fn count(&self) -> usize {
        self.seen.len()
    }

    /// Goes on at `url`, where the server gave no link.
    fn go_on(&mut self, from: &Call, url: Url) {
        self.next = Some(Call { url, ..from.clone() });
    }

    /// The call that comes next.
    fn upcoming(&self) -> Option<&Call> {
        self.next.as_ref()
    }

    /// The next page, whatever its status; `None` behind the last.
    pub fn next(&mut self, host: &Host, cap: u64) -> Result<Option<Answer>, Error> {
        let Some(call) = self.next.take() else { return Ok(None) };
        if self.seen.len() >= MOST_PAGES {
            let what = format_args!("{}: more than {MOST_PAGES} pages", call.subject);
            return Err(host.error(Kind::Failed, what));
        }
        if !self.seen.insert(call.url.to_string()) {
            return Err(host.error(Kind::Failed, format_args!("{}: its pages go round in a circle", call.subject)));
        }
        let answer = host.ask(&call, cap)?;
        if answer.status.is_success()
            && let Some(link) = next_link(&answer)
        {
            let url = call.url.join(&link).ok().filter(|url| origin::same(url, &call.url)).ok_or_else(|| {
                let what = format_args!("{}: the next page is on another host", call.subject);
                host.error(Kind::Policy, what).help("the registry must page on its own address")
            })?;
            self.next = Some(Call { url, ..call });
        }
        Ok(Some(answer))
    }
}

/// The target of the first `rel=next`.
fn next_link(answer: &Answer) -> Option<String> {
    answer.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).find_map(|text| {
        let mut rest = text;
        // Targets may hold commas, so the brackets lead.
        while let Some(start) = rest.find('<') {
            let (target, behind) = rest[start + 1..].split_once('>')?;
            let end = behind.find('<').unwrap_or(behind.len());
            let is_next = behind[..end].split([';', ',']).any(|param| {
                param.split_once('=').is_some_and(|(key, value)| {
                    key.trim().eq_ignore_ascii_case("rel")
                        && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
                })
            });
            if is_next {
                return Some(target.to_owned());
            }
            rest = &behind[end..];
        }
        None
    })
}

impl Host {
    /// Every tag of a repository.
    pub fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        let title = format!("tags of {}", repository.path());
        let url = self.at(repository, &format!("tags/list?n={PER_PAGE}"))?;
        let first = Call::new(Method::GET, url, Scopes::pull(repository), &title);
        let mut pages = Pages::new(first.clone());
        let mut seen = HashSet::new();
        let mut tags = Vec::new();
        while let Some(answer) = pages.next(self, PAGE)? {
            if !answer.status.is_success() {
                return Err(self.refusal(&answer, &title));
            }
            let page: TagPage = serde_json::from_slice(&answer.body)
                .map_err(|error| self.error(Kind::Mismatch, format_args!("{title}: {}", escape(&error.to_string()))))?;
            let page = page.tags.unwrap_or_default();
            let mut fresh = false;
            for text in &page {
                if !seen.insert(text.clone()) {
                    continue;
                }
                fresh = true;
                match Tag::new(text) {
                    Ok(tag) => tags.push(tag),
                    Err(_) => {
                        self.engine.flow.warn(format!(
                            "registry {}: {title}: {:?} is not a tag",
                            self.name,
                            escape(text)
                        ));
                    }
                }
            }
            if let (None, Some(last), true) = (pages.upcoming(), page.last(), fresh && page.len() >= PER_PAGE) {
                let mut url = first.url.clone();
                url.query_pairs_mut().append_pair("last", last);
                pages.go_on(&first, url);
            }
        }
        Ok(tags)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use reqwest::StatusCode;
    use reqwest::header::HeaderMap;

    use super::*;

    fn next(link: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(LINK, link.parse().unwrap());
        next_link(&Answer { status: StatusCode::OK, headers, body: Bytes::new() })
    }

    #[test]
    fn links_are_read() {
        assert_eq!(next(r#"</v2/a?n=1&last=b>; rel="next""#).as_deref(), Some("/v2/a?n=1&last=b"));
        assert_eq!(next("<x>; title=y; rel=next").as_deref(), Some("x"));
        assert_eq!(next(r#"<a,b>; rel="prev", <c,d>; rel="next""#).as_deref(), Some("c,d"));
        for none in ["<x>; rel=prev", "x; rel=next", "<x; rel=next", ""] {
            assert_eq!(next(none), None, "{none}");
        }
    }
}
