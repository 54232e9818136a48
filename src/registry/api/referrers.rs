//! Reads referrers: from the API if there is one, otherwise from the fallback tag.
//! [`super::referrers_list`] writes the fallback tag.
//!
//! Returns an empty list only if the registry reports one, never for an error. Entries keep whatever
//! type they have: the plan decides what can be carried, and names what cannot.

use std::collections::HashSet;

use reqwest::header::{ACCEPT, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::call::Call;
use super::manifests::Fetched;
use super::paging::Pages;
use super::registry::Registry;
use crate::base::fault::{differs, escape};
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::{Descriptor, Digest, Repository, Tag, media_type};
use crate::registry::auth::scopes::Scopes;

/// Maximum number of pages of a list of referrers.
const MOST_PAGES: usize = 1000;
/// Advice of commands that write if a registry does not accept referrers.
pub(in crate::registry) const ADVICE: &str = "leave referrers out with --referrers none";

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    manifests: Option<Vec<Value>>,
}

/// Target of a fallback tag.
pub(in crate::registry) enum Fallback {
    /// The tag does not exist.
    Absent,
    /// The subject itself: this registry treats any digest-like tag as a digest.
    Subject,
    /// Something other than an OCI index, so that it cannot list referrers; its media type.
    Other(String),
    /// A list of referrers.
    List(Vec<Descriptor>, Box<Fetched>),
}

impl Registry {
    /// Returns the referrers of `subject`.
    pub fn referrers(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        if let Some(list) = self.api_answer(repository, subject)? {
            return Ok(filtered(list, subject));
        }
        match self.fallback(repository, subject, &Scopes::pull(repository))? {
            Fallback::List(list, _) => Ok(filtered(list, subject)),
            Fallback::Absent | Fallback::Subject => Ok(Vec::new()),
            Fallback::Other(found) => {
                self.http.flow().warn(format!(
                    "registry {}: {}: expected an index of referrers, found {:?}: taken as no referrers",
                    self.http.name,
                    tag_title(repository, &Tag::referrers_fallback(subject)),
                    escape(&found)
                ));
                Ok(Vec::new())
            }
        }
    }

    /// Returns the referrers of `subject`, whose fallback tag does not exist.
    pub fn referrers_without_tag(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        Ok(self.api_answer(repository, subject)?.map_or_else(Vec::new, |list| filtered(list, subject)))
    }

    /// Reports whether referrers are listed only under fallback tags. Keeps what the API answers
    /// for the next call about the same subject. Until one call has been answered, the others wait
    /// for that, since a registry without the API is not asked again.
    pub fn has_only_tags(&self, repository: &Repository, subject: Digest) -> Result<bool, Error> {
        let mut is_answered = lock(&self.referrers_answered);
        if *is_answered {
            drop(is_answered);
            return self.finds_only_tags(repository, subject);
        }
        let only_tags = self.finds_only_tags(repository, subject)?;
        *is_answered = true;
        Ok(only_tags)
    }

    fn finds_only_tags(&self, repository: &Repository, subject: Digest) -> Result<bool, Error> {
        let answer = self.referrers_api(repository, subject)?;
        let only_tags = answer.is_none();
        lock(&self.peeked).extend(answer.map(|list| ((repository.clone(), subject), list)));
        Ok(only_tags)
    }

    /// Returns the answer of the API that was kept for this call, or queries it.
    fn api_answer(&self, repository: &Repository, subject: Digest) -> Result<Option<Vec<Descriptor>>, Error> {
        let kept = lock(&self.peeked).remove(&(repository.clone(), subject));
        kept.map_or_else(|| self.referrers_api(repository, subject), |list| Ok(Some(list)))
    }

    /// Like [`Self::referrers_api`], but until one call has been answered, the others wait for that,
    /// since a registry without the API is not asked again.
    pub(in crate::registry) fn referrers_in_turn(
        &self,
        repository: &Repository,
        subject: Digest,
    ) -> Result<Option<Vec<Descriptor>>, Error> {
        let mut is_answered = lock(&self.referrers_answered);
        if *is_answered {
            drop(is_answered);
            return self.referrers_api(repository, subject);
        }
        let answer = self.referrers_api(repository, subject)?;
        *is_answered = true;
        Ok(answer)
    }

    /// Queries the referrers API; `None` if there is none.
    pub(in crate::registry) fn referrers_api(
        &self,
        repository: &Repository,
        subject: Digest,
    ) -> Result<Option<Vec<Descriptor>>, Error> {
        // A host may have several kinds of repositories, distinguished by the first component of
        // their paths.
        let kind = repository.path().split('/').next().unwrap_or_default();
        if lock(&self.no_referrers).contains(kind) {
            return Ok(None);
        }
        let title = format!("referrers of {}@{subject}", repository.path());
        let url = self.at(repository, &format!("referrers/{subject}"))?;
        let first = Call::new(Method::GET, url, Scopes::pull(repository), &title).header(ACCEPT, media_type::OCI_INDEX);
        let mut pages = Pages::new(first, MOST_PAGES);
        let mut all = Vec::new();
        while let Some(answer) = pages.next(self, MAX_DOCUMENT)? {
            match answer.status.as_u16() {
                200 => {}
                // A 401 with a challenge asks for a login that the run does not have.
                401 if answer.headers.contains_key(WWW_AUTHENTICATE) => {
                    return Err(self.refusal(&answer, &title).help(ADVICE));
                }
                400 | 401 | 404 | 405 if pages.count() == 1 => {
                    // A JSON error may concern only this repository.
                    if answer.status == StatusCode::NOT_FOUND && !answer.body.starts_with(b"{") {
                        lock(&self.no_referrers).insert(kind.to_owned());
                    }
                    return Ok(None);
                }
                _ => return Err(self.refusal(&answer, &title)),
            }
            if answer.media_type() != Some(media_type::OCI_INDEX) {
                let found = escape(answer.media_type().unwrap_or_default());
                let what = differs(title, "an index", format_args!("{found:?}"));
                return Err(self.http.error(Kind::Mismatch, what));
            }
            let list: List = serde_json::from_slice(&answer.body).map_err(|error| {
                self.http.error(Kind::Mismatch, format_args!("{title}: {}", escape(&error.to_string())))
            })?;
            all.extend(self.entries(&title, list));
        }
        Ok(Some(all))
    }

    /// Returns the target of the fallback tag of a subject.
    pub(in crate::registry) fn fallback(
        &self,
        repository: &Repository,
        subject: Digest,
        scopes: &Scopes,
    ) -> Result<Fallback, Error> {
        let tag = Tag::referrers_fallback(subject);
        let Some(fetched) = self.fetch(repository, tag.as_str(), scopes)? else { return Ok(Fallback::Absent) };
        if fetched.digest == subject || subject == Digest::of(subject.algorithm(), &fetched.raw) {
            return Ok(Fallback::Subject);
        }
        let title = tag_title(repository, &tag);
        if fetched.media_type != media_type::OCI_INDEX {
            return Ok(Fallback::Other(fetched.media_type));
        }
        let list: List = serde_json::from_slice(&fetched.raw).map_err(|error| {
            self.http.error(Kind::Mismatch, format_args!("{title}: {}", escape(&error.to_string())))
        })?;
        Ok(Fallback::List(self.entries(&title, list), Box::new(fetched)))
    }

    /// Returns the descriptors of a list. Warns of entries that are none.
    fn entries(&self, title: &str, list: List) -> Vec<Descriptor> {
        let read = |value: Value| match serde_json::from_value(value) {
            Ok(descriptor) => Some(descriptor),
            Err(error) => {
                let (name, why) = (&self.http.name, escape(&error.to_string()));
                self.http.flow().warn(format!("registry {name}: {title}: an entry that is not a descriptor: {why}"));
                None
            }
        };
        list.manifests.unwrap_or_default().into_iter().filter_map(read).collect()
    }
}

/// Returns the name of a tag in messages.
pub(in crate::registry) fn tag_title(repository: &Repository, tag: &Tag) -> String {
    format!("tag {}:{tag}", repository.path())
}

/// Keeps the entries other than the subject, without duplicates.
fn filtered(list: Vec<Descriptor>, subject: Digest) -> Vec<Descriptor> {
    let mut seen = HashSet::from([subject]);
    list.into_iter().filter(|entry| seen.insert(entry.digest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_other_than_the_subject_counts_once_whatever_its_type() {
        let [subject, other, odd] = [&b"s"[..], b"o", b"p"].map(Digest::sha256);
        let entry = |media_type: &str, digest| Descriptor::new(media_type, digest, 1);
        let list = vec![
            entry(media_type::OCI_MANIFEST, subject),
            entry(media_type::OCI_MANIFEST, other),
            entry(media_type::OCI_MANIFEST, other),
            entry("x/y", odd),
        ];
        let kept = filtered(list, subject);
        assert_eq!(kept.iter().map(|entry| entry.digest).collect::<Vec<_>>(), [other, odd]);
    }
}
