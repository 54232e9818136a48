//! Lists of names: the tags of a repository, the repositories of a registry.
//!
//! Follows `Link`, or uses `n` and `last` if the server sends none. Skips invalid names with a
//! warning.

use std::collections::HashSet;

use reqwest::{Method, Url};
use serde::Deserialize;

use super::call::Call;
use super::paging::Pages;
use super::registry::Registry;
use crate::base::fault::{differs, escape};
use crate::content::{Error, Kind};
use crate::flow::Event;
use crate::oci::{Repository, Tag};
use crate::registry::auth::scopes::Scopes;

/// Number of names requested per page.
const PER_PAGE: usize = 1000;
/// Maximum size of a page, in bytes.
const PAGE: u64 = 16 << 20;
/// Maximum number of pages of a list. Some registries put only 50 names on a page, whatever is
/// requested.
const MOST_PAGES: usize = 100_000;
/// Maximum number of names of a list.
const MOST_NAMES: usize = 4 << 20;

#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
    repositories: Option<Vec<String>>,
}

impl Registry {
    /// Returns all tags of a repository.
    pub fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        Ok(self.tags_within(repository, usize::MAX)?.unwrap_or_default())
    }

    /// Returns all tags of a repository, or `None` if they are on more than `pages` pages.
    pub fn tags_within(&self, repository: &Repository, pages: usize) -> Result<Option<Vec<Tag>>, Error> {
        let title = format!("tags of {}", repository.path());
        let url = self.at(repository, &format!("tags/list?n={PER_PAGE}"))?;
        let first = Call::new(Method::GET, url, Scopes::pull(repository), &title);
        let names = self.names(&first, pages, |page| page.tags.take())?;
        Ok(names.map(|names| self.readable(&title, "a tag", names, |text| Tag::new(text).ok())))
    }

    /// Returns all repositories that the registry lists, in its order.
    pub fn repositories(&self) -> Result<Vec<Repository>, Error> {
        let title = "list of repositories";
        let wrong = |_| self.http.error(Kind::Refused, "not a host name");
        let url = self.http.base()?.join(&format!("/v2/_catalog?n={PER_PAGE}")).map_err(wrong)?;
        let first = Call::new(Method::GET, url, Scopes::catalog(), title);
        let names =
            self.names(&first, usize::MAX, |page| page.repositories.take()).map_err(|error| match error.class {
                Kind::Absent | Kind::Denied | Kind::Refused => error.help(format!(
                    "{} may not list repositories, or not for this login: name repositories instead",
                    self.http.name
                )),
                _ => error,
            })?;
        let prefix = &self.http.rules.prefix;
        let names = names.unwrap_or_default().into_iter();
        let inside = names.filter_map(|name| name.strip_prefix(prefix.as_str()).map(ToOwned::to_owned));
        Ok(self.readable(title, "a repository", inside, |text| Repository::new(&self.http.name, text).ok()))
    }

    fn readable<T>(
        &self,
        title: &str,
        kind: &str,
        names: impl IntoIterator<Item = String>,
        read: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let mut found = Vec::new();
        for text in names {
            match read(&text) {
                Some(name) => found.push(name),
                None => {
                    self.http.flow().warn(format!(
                        "registry {}: {title}: {:?} is not {kind}",
                        self.http.name,
                        escape(&text)
                    ));
                }
            }
        }
        found
    }

    /// Returns all names of a list without duplicates, or `None` if they are on more than `most`
    /// pages.
    fn names(
        &self,
        first: &Call,
        most: usize,
        of: impl Fn(&mut Page) -> Option<Vec<String>>,
    ) -> Result<Option<Vec<String>>, Error> {
        let title = first.request.subject.clone();
        let mut pages = Pages::new(first.clone(), MOST_PAGES);
        let mut seen = HashSet::new();
        let mut names = Vec::new();
        while let Some(answer) = pages.next(self, PAGE)? {
            if !answer.status.is_success() {
                return Err(self.refusal(&answer, &title));
            }
            let mut page: Page = serde_json::from_slice(&answer.body).map_err(|error| {
                self.http.error(Kind::Mismatch, format_args!("{title}: {}", escape(&error.to_string())))
            })?;
            let page = of(&mut page).unwrap_or_default();
            let before = names.len();
            names.extend(page.iter().filter(|name| seen.insert((*name).clone())).cloned());
            self.http.flow().event(Event::Detail(format!("{title}: {} names", names.len())));
            let (full, fresh) = (page.len() >= PER_PAGE, names.len() > before);
            if let (None, Some(last), true) = (pages.upcoming(), page.last(), full && fresh) {
                pages.go_on(first, after(&first.request.url, last));
            }
            if pages.upcoming().is_some() && pages.count() >= most {
                return Ok(None);
            }
            if names.len() > MOST_NAMES {
                let what = differs(title, format_args!("at most {MOST_NAMES} names"), "more");
                return Err(self.http.error(Kind::Failed, what));
            }
        }
        Ok(Some(names))
    }
}

/// Returns the address of the page after `last`.
fn after(first: &Url, last: &str) -> Url {
    let mut url = first.clone();
    url.query_pairs_mut().append_pair("last", last);
    url
}
