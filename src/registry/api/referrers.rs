//! Referrers: the API where there is one, else the fallback tag, read and written.
//!
//! "None" is said only where the registry says so; an error is never an empty list.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::ACCEPT;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::paging::Pages;
use crate::base::fault::escape;
use crate::content::{Error, Kind};
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::{Descriptor, Digest, Document, Repository, Tag, media_type};
use crate::registry::auth::authorization::Scopes;
use crate::registry::http::call::{Call, Host, lock};
use crate::registry::http::retry::Trouble;

/// What to do where a registry takes no referrers.
pub(in crate::registry) const ADVICE: &str = "leave referrers out with --referrers none";

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
}

/// What a fallback tag names.
enum Fallback {
    /// Nothing.
    Absent,
    /// The subject itself: this registry reads any digest-like tag as a digest.
    Subject,
    /// A list.
    List(Vec<Descriptor>, Bytes),
}

impl Host {
    /// What refers to `subject`.
    pub fn referrers(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        if let Some(list) = self.referrers_api(repository, subject)? {
            return Ok(filtered(list, subject));
        }
        match self.fallback(repository, subject, &Scopes::pull(repository))? {
            Fallback::List(list, _) => Ok(filtered(list, subject)),
            Fallback::Absent | Fallback::Subject => Ok(Vec::new()),
        }
    }

    /// Whether lists stand under tags alone. One thread asks, the others learn from it.
    pub fn has_only_tags(&self, repository: &Repository, subject: Digest) -> Result<bool, Error> {
        let _turn = lock(&self.finding_out);
        Ok(self.referrers_api(repository, subject)?.is_none())
    }

    /// `None` where there is no such API.
    fn referrers_api(&self, repository: &Repository, subject: Digest) -> Result<Option<Vec<Descriptor>>, Error> {
        // One host may have several kinds of repositories, told apart by the first part of their paths.
        let kind = repository.path().split('/').next().unwrap_or_default();
        if lock(&self.no_referrers).contains(kind) {
            return Ok(None);
        }
        let title = format!("referrers of {}@{subject}", repository.path());
        let url = self.at(repository, &format!("referrers/{subject}"))?;
        let first = Call::new(Method::GET, url, Scopes::pull(repository), &title).header(ACCEPT, media_type::OCI_INDEX);
        let mut pages = Pages::new(first);
        let mut all = Vec::new();
        while let Some(answer) = pages.next(self, MAX_DOCUMENT)? {
            match answer.status.as_u16() {
                200 => {}
                400 | 401 | 404 | 405 if pages.count() == 1 => {
                    // An answer in the protocol's own form may be about this repository alone.
                    if answer.status == StatusCode::NOT_FOUND && !answer.body.starts_with(b"{") {
                        lock(&self.no_referrers).insert(kind.to_owned());
                    }
                    return Ok(None);
                }
                _ => return Err(self.refusal(&answer, &title).help(ADVICE)),
            }
            if answer.media_type() != Some(media_type::OCI_INDEX) {
                let found = escape(answer.media_type().unwrap_or_default());
                let what = format_args!("{title}: expected an index, found {found:?}");
                return Err(self.error(Kind::Mismatch, what).help(ADVICE));
            }
            let list: List = serde_json::from_slice(&answer.body).map_err(|error| {
                self.error(Kind::Mismatch, format_args!("{title}: {}", escape(&error.to_string()))).help(ADVICE)
            })?;
            all.extend(list.manifests.unwrap_or_default());
        }
        Ok(Some(all))
    }

    fn fallback(&self, repository: &Repository, subject: Digest, scopes: &Scopes) -> Result<Fallback, Error> {
        let tag = Tag::referrers_fallback(subject);
        let Some(fetched) = self.fetch(repository, tag.as_str(), scopes)? else { return Ok(Fallback::Absent) };
        if fetched.digest == subject || subject == Digest::of(subject.algorithm(), &fetched.raw) {
            return Ok(Fallback::Subject);
        }
        let title = format!("tag {}:{tag}", repository.path());
        if fetched.media_type != media_type::OCI_INDEX {
            let found = escape(&fetched.media_type);
            let what = format_args!("{title}: expected an index of referrers, found {found:?}");
            return Err(self.error(Kind::Refused, what).help(ADVICE));
        }
        let list: List = serde_json::from_slice(&fetched.raw).map_err(|error| {
            self.error(Kind::Mismatch, format_args!("{title}: {}", escape(&error.to_string()))).help(ADVICE)
        })?;
        Ok(Fallback::List(list.manifests.unwrap_or_default(), fetched.raw))
    }

    /// Puts `document` on the fallback list of `subject`: reads, adds, writes, and reads again,
    /// until it stands there; others may write at the same time.
    pub fn list_referrer(&self, repository: &Repository, subject: Digest, document: &Document) -> Result<(), Error> {
        let scopes = Scopes::push(repository);
        let tag = Tag::referrers_fallback(subject);
        // Some registries list it by themselves and do not say so in the answer to the PUT.
        let listed = self.referrers_api(repository, subject).ok().flatten().unwrap_or_default();
        if listed.iter().any(|entry| entry.digest == document.digest()) {
            return Ok(());
        }
        self.engine.flow.check()?;
        let turn = Arc::clone(lock(&self.fallbacks).entry((repository.path().to_owned(), subject)).or_default());
        let _turn = lock(&turn);
        let mut tries = self.tries();
        let mut written = false;
        loop {
            let raw = match self.fallback(repository, subject, &scopes)? {
                Fallback::List(list, _) if list.iter().any(|entry| entry.digest == document.digest()) => return Ok(()),
                Fallback::List(_, raw) => Some(raw),
                Fallback::Absent => None,
                Fallback::Subject => {
                    let what = format_args!(
                        "tag {}:{tag}: names the subject itself, so it cannot list referrers",
                        repository.path()
                    );
                    return Err(self.error(Kind::Refused, what).help(ADVICE));
                }
            };
            if written {
                let what =
                    format_args!("tag {}:{tag}: accepted, but {} is not on it", repository.path(), document.digest());
                tries.again(Trouble {
                    error: self.error(Kind::Refused, what).help(ADVICE),
                    again: true,
                    after: None,
                })?;
            }
            let index = with_entry(raw.as_deref(), document)
                .map_err(|why| self.error(Kind::Mismatch, format_args!("tag {}:{tag}: {why}", repository.path())))?;
            if index.len() as u64 > MAX_DOCUMENT {
                let what = format_args!("tag {}:{tag}: the list of referrers is full", repository.path());
                return Err(self.error(Kind::Refused, what).help(ADVICE));
            }
            self.put(repository, tag.as_str(), media_type::OCI_INDEX, Bytes::from(index))?;
            written = true;
        }
    }
}

/// What can be a referrer: a document, once, and not the subject.
fn filtered(list: Vec<Descriptor>, subject: Digest) -> Vec<Descriptor> {
    let mut seen = HashSet::from([subject]);
    let is_document = |entry: &Descriptor| media_type::document_kind(&entry.media_type).is_some();
    list.into_iter().filter(is_document).filter(|entry| seen.insert(entry.digest)).collect()
}

/// The list with an entry for `document`; members that are not known here stay.
fn with_entry(raw: Option<&[u8]>, document: &Document) -> Result<Vec<u8>, String> {
    let mut index = match raw {
        Some(raw) => serde_json::from_slice(raw).map_err(|error| escape(&error.to_string()))?,
        None => json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []}),
    };
    let mut entry = document.descriptor();
    entry.artifact_type = document.shown_artifact_type().map(ToOwned::to_owned);
    entry.annotations = document.annotations().cloned();
    let entry = serde_json::to_value(entry).map_err(|error| error.to_string())?;
    let members = index.as_object_mut().ok_or("not an object")?;
    match members.entry("manifests").or_insert_with(|| json!([])) {
        Value::Array(entries) => entries.push(entry),
        null @ Value::Null => *null = Value::Array(vec![entry]),
        _ => return Err("manifests is not a list".to_owned()),
    }
    serde_json::to_vec(&index).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_what_it_had() {
        let raw = r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[],"annotations":{"a":"b"}}"#;
        let document = Document::parse(media_type::OCI_MANIFEST, raw.as_bytes()).unwrap();
        let first = with_entry(None, &document).unwrap();
        let list: List = serde_json::from_slice(&first).unwrap();
        let entry = &list.manifests.unwrap()[0];
        assert_eq!(entry.digest, document.digest());
        assert_eq!(entry.artifact_type.as_deref(), Some("application/vnd.oci.empty.v1+json"));
        assert_eq!(entry.annotation("a"), Some("b"));
        let old = br#"{"schemaVersion":2,"x":1,"manifests":[{"digest":"d","y":2}]}"#;
        let value: Value = serde_json::from_slice(&with_entry(Some(old), &document).unwrap()).unwrap();
        assert_eq!((&value["x"], &value["manifests"][0]["y"]), (&json!(1), &json!(2)));
        assert_eq!(value["manifests"].as_array().map(Vec::len), Some(2));
        for wrong in ["[]", "{\"manifests\":1}", "x"] {
            assert!(with_entry(Some(wrong.as_bytes()), &document).is_err(), "{wrong}");
        }
    }

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
