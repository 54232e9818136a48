//! Reads referrers: from the API if there is one, otherwise from the fallback tag.
//! [`super::referrers_list`] writes the fallback tag.
//!
//! Returns an empty list only if the registry reports one, never for an error.

use std::collections::HashSet;

use reqwest::header::ACCEPT;
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::call::Call;
use super::manifests::Fetched;
use super::paging::Pages;
use super::registry::Registry;
use crate::base::fault::escape;
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
    manifests: Option<Vec<Descriptor>>,
}

/// Target of a fallback tag.
pub(in crate::registry) enum Fallback {
    /// The tag does not exist.
    Absent,
    /// The subject itself: this registry treats any digest-like tag as a digest.
    Subject,
    /// A list of referrers.
    List(Vec<Descriptor>, Fetched),
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
        }
    }

    /// Returns the referrers of `subject`, whose fallback tag does not exist.
    pub fn referrers_without_tag(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        Ok(self.api_answer(repository, subject)?.map_or_else(Vec::new, |list| filtered(list, subject)))
    }

    /// Reports whether referrers are listed only under fallback tags. Keeps what the API answers
    /// for the next call about the same subject.
    pub fn has_only_tags(&self, repository: &Repository, subject: Digest) -> Result<bool, Error> {
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
                let what = format_args!("{title}: expected an index, found {found:?}");
                return Err(self.http.error(Kind::Mismatch, what));
            }
            let list: List = serde_json::from_slice(&answer.body).map_err(|error| {
                self.http.error(Kind::Mismatch, format_args!("{title}: {}", escape(&error.to_string())))
            })?;
            all.extend(list.manifests.unwrap_or_default());
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
        let title = format!("tag {}:{tag}", repository.path());
        if fetched.media_type != media_type::OCI_INDEX {
            let found = escape(&fetched.media_type);
            let what = format_args!("{title}: expected an index of referrers, found {found:?}");
            return Err(self.http.error(Kind::Refused, what));
        }
        let list: List = serde_json::from_slice(&fetched.raw).map_err(|error| {
            self.http.error(Kind::Mismatch, format_args!("{title}: {}", escape(&error.to_string())))
        })?;
        Ok(Fallback::List(list.manifests.unwrap_or_default(), fetched))
    }
}

/// Keeps the entries that can be referrers: documents other than the subject, without duplicates.
fn filtered(list: Vec<Descriptor>, subject: Digest) -> Vec<Descriptor> {
    let mut seen = HashSet::from([subject]);
    let is_document = |entry: &Descriptor| media_type::document_kind(&entry.media_type).is_some();
    list.into_iter().filter(is_document).filter(|entry| seen.insert(entry.digest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_documents_other_than_the_subject_are_referrers() {
        let subject = Digest::sha256(b"s");
        let other = Digest::sha256(b"o");
        let entry = |media_type: &str, digest| Descriptor::new(media_type, digest, 1);
        let list = vec![
            entry(media_type::OCI_MANIFEST, subject),
            entry(media_type::OCI_MANIFEST, other),
            entry(media_type::OCI_MANIFEST, other),
            entry("x/y", Digest::sha256(b"p")),
        ];
        let kept = filtered(list, subject);
        assert_eq!(kept.iter().map(|entry| entry.digest).collect::<Vec<_>>(), [other]);
    }
}
