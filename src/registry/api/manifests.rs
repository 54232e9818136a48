//! Looks up, fetches and pushes manifests.
//!
//! Keeps the raw bytes unchanged. Hashes every body, whatever the headers say.

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use reqwest::{Method, StatusCode};

use super::blobs::{digest, exact_etag};
use super::call::Call;
use super::registry::Registry;
use crate::base::fault::{Reason, differs, escape};
use crate::content::{Error, Kind};
use crate::flow::Event;
use crate::network::retry::Trouble;
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::{Algorithm, Descriptor, Digest, Document, Reference, Repository, Tag, media_type};
use crate::registry::auth::scopes::Scopes;
use crate::registry::http::body::SMALL;
use crate::registry::http::encoding::coding;
use crate::registry::http::response::Answer;

/// Error codes for content that a registry does not know yet, although it was just pushed.
const UNKNOWN: [&str; 3] = ["BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN"];

/// Condition of a PUT. Registries without support for conditions ignore it.
#[derive(Clone, Debug)]
pub(in crate::registry) enum Condition {
    /// No condition.
    Always,
    /// The name does not exist.
    IfAbsent,
    /// The manifest with the name still has this `ETag`.
    IfUnchanged(HeaderValue),
}

/// Outcome of a PUT that was answered.
pub(in crate::registry) enum Put {
    /// The manifest was stored.
    Stored(Answer),
    /// Its condition did not hold.
    Unmet,
    /// It was refused, and a retry would be refused too.
    Refused(Refusal),
}

/// A refusal of a manifest: the response, and its error.
pub(in crate::registry) struct Refusal {
    /// The response, for callers that need more details.
    pub answer: Answer,
    /// The error for other callers.
    pub error: Error,
}

/// A fetched manifest.
pub(in crate::registry) struct Fetched {
    /// Media type from the `Content-Type`, or from the document itself.
    pub media_type: String,
    /// Digest of the bytes.
    pub digest: Digest,
    /// Raw bytes.
    pub raw: Bytes,
    /// Strong `ETag`, if the registry sent one.
    pub etag: Option<HeaderValue>,
    /// Digest that the registry states.
    stated: Option<Digest>,
}

/// Returns the name of what a reference pins or names.
fn name_of(reference: &Reference) -> String {
    match (&reference.digest, &reference.tag) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.to_string(),
        (None, None) => "latest".to_owned(),
    }
}

impl Registry {
    fn manifest_call(
        &self,
        method: Method,
        repository: &Repository,
        name: &str,
        scopes: Scopes,
    ) -> Result<Call, Error> {
        let url = self.at(repository, &format!("manifests/{name}"))?;
        let joint = if name.contains(':') { '@' } else { ':' };
        let call = Call::new(method, url, scopes, format!("{}{joint}{name}", repository.path()));
        Ok(media_type::DOCUMENTS.iter().fold(call, |call, accepted| call.header(ACCEPT, accepted)))
    }

    /// Returns the descriptor of a manifest, or `None` if it does not exist. Uses HEAD, and GET if
    /// that is not enough.
    fn look(&self, repository: &Repository, name: &str, scopes: &Scopes) -> Result<Option<Descriptor>, Error> {
        let call = self.manifest_call(Method::HEAD, repository, name, scopes.clone())?;
        let Some(response) = self.head(&call)? else {
            return Ok(self.fetch(repository, name, scopes)?.map(|fetched| fetched.descriptor()));
        };
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = Answer { status: response.status(), headers: response.headers().clone(), body: Bytes::new() };
        let wanted = name.parse::<Digest>().ok();
        let known = answer.media_type().filter(|found| media_type::document_kind(found).is_some());
        // The length of a compressed response is not the size of the manifest.
        let size = answer.header("content-length").filter(|_| coding(&answer.headers).is_none());
        let size = size.and_then(|text| text.parse::<u64>().ok()).filter(|size| *size > 0);
        // A digest of another algorithm than the requested one proves nothing about that.
        let stated = digest(&answer.headers)
            .filter(|stated| wanted.is_none_or(|wanted| wanted.algorithm() == stated.algorithm()));
        match (stated, known, size) {
            (Some(digest), Some(known), Some(size)) => Ok(Some(Descriptor::new(known, digest, size))),
            _ => Ok(self.fetch(repository, name, scopes)?.map(|fetched| fetched.descriptor())),
        }
    }

    /// Fetches a manifest; `None` if it does not exist. Tries once more if the bytes do not match
    /// the digest, since a proxy may have damaged them.
    pub fn fetch(&self, repository: &Repository, name: &str, scopes: &Scopes) -> Result<Option<Fetched>, Error> {
        match self.fetch_once(repository, name, scopes) {
            Err(error) if error.class == Kind::Mismatch => {
                self.http.flow().event(Event::Detail(format!("{}; asking again", error.what)));
                self.fetch_once(repository, name, scopes)
            }
            other => other,
        }
    }

    fn fetch_once(&self, repository: &Repository, name: &str, scopes: &Scopes) -> Result<Option<Fetched>, Error> {
        let call = self.manifest_call(Method::GET, repository, name, scopes.clone())?;
        let answer = self.ask(&call, MAX_DOCUMENT)?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.refusal(&answer, &call.request.subject)),
        }
        let wanted = name.parse::<Digest>().ok();
        let found = Digest::of(wanted.map_or(Algorithm::Sha256, |wanted| wanted.algorithm()), &answer.body);
        if wanted.is_some_and(|wanted| wanted != found) {
            let what = format_args!("{}: content has digest {found}", call.request.subject);
            return Err(self
                .http
                .error(Kind::Mismatch, what)
                .help("the manifest is damaged in the registry or in transit: push it there again"));
        }
        let (media_type, etag) = (shown_type(&answer), exact_etag(&answer.headers));
        let stated = digest(&answer.headers);
        Ok(Some(Fetched { media_type, digest: found, raw: answer.body, etag, stated }))
    }

    /// Returns the descriptor that a reference names now, whatever its type.
    pub fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        let (repository, name) = (&reference.repository, name_of(reference));
        let found = self.look(repository, &name, &Scopes::pull(repository))?;
        let found = found.ok_or_else(|| self.not_found(reference))?;
        if reference.digest.is_some_and(|wanted| wanted != found.digest) {
            let what = format_args!("{name}: answered with digest {}", found.digest);
            return Err(self.http.error(Kind::Mismatch, what));
        }
        Ok(found)
    }

    fn not_found(&self, reference: &Reference) -> Error {
        self.http
            .error(Kind::Absent, format_args!("{} not found", escape(&reference.to_string())))
            .help("check the name; a registry may hide what the login has no access to")
    }

    /// Fetches the document that a reference names now, in one request.
    pub fn named(&self, reference: &Reference) -> Result<Document, Error> {
        let (repository, name) = (&reference.repository, name_of(reference));
        let fetched = self.fetch(repository, &name, &Scopes::pull(repository))?;
        let Fetched { media_type, digest, raw, stated, .. } = fetched.ok_or_else(|| self.not_found(reference))?;
        let wrong = |what: String| self.http.error(Kind::Mismatch, format_args!("{}: {what}", repository.path()));
        // A digest that was asked for is compared already; one of another algorithm proves nothing.
        let stated = stated.filter(|_| reference.digest.is_none());
        if let Some(stated) = stated.filter(|stated| stated.algorithm() == digest.algorithm() && *stated != digest) {
            return Err(wrong(format!("{name}: stated digest {stated}, content has {digest}")));
        }
        Document::with_digest(&media_type, digest, raw.as_ref()).map_err(|error| wrong(escape(&error.to_string())))
    }

    /// Fetches the document with the digest of `descriptor`.
    pub fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        let name = descriptor.digest.to_string();
        let subject = format!("{}@{name}", repository.path());
        let fetched = self
            .fetch(repository, &name, &Scopes::pull(repository))?
            .ok_or_else(|| self.http.error(Kind::Absent, format_args!("{subject} not found")))?;
        if fetched.raw.len() as u64 != descriptor.size {
            let what = differs(subject, format_args!("{} bytes", descriptor.size), fetched.raw.len());
            return Err(self.http.error(Kind::Mismatch, what));
        }
        Document::with_digest(&descriptor.media_type, descriptor.digest, fetched.raw.as_ref()).map_err(|error| {
            self.http.error(Kind::Mismatch, format_args!("{}: {}", repository.path(), escape(&error.to_string())))
        })
    }

    /// Reports whether a manifest exists.
    pub fn has_manifest(&self, repository: &Repository, digest: Digest) -> Result<bool, Error> {
        let found = self.look(repository, &digest.to_string(), &Scopes::pull(repository));
        let found = found.map_err(|error| self.after_put(repository, digest, error))?;
        Ok(found.is_some_and(|found| found.digest == digest))
    }

    /// Returns the digest that a tag names, if the tag exists.
    pub fn tag(&self, repository: &Repository, tag: &Tag, scopes: &Scopes) -> Result<Option<Digest>, Error> {
        Ok(self.look(repository, tag.as_str(), scopes)?.map(|found| found.digest))
    }

    /// Like [`Self::tag`], in the algorithm of `like`. Hashes the manifest's bytes if the registry
    /// states a digest of another algorithm.
    pub fn tag_like(
        &self,
        repository: &Repository,
        tag: &Tag,
        like: Digest,
        scopes: &Scopes,
    ) -> Result<Option<Digest>, Error> {
        let Some(found) = self.look(repository, tag.as_str(), scopes)? else { return Ok(None) };
        if found.digest.algorithm() == like.algorithm() {
            return Ok(Some(found.digest));
        }
        let fetched = self.fetch(repository, tag.as_str(), scopes)?;
        Ok(fetched.map(|fetched| Digest::of(like.algorithm(), &fetched.raw)))
    }

    /// Fetches `tag`, or `expected` if there is no tag, and returns the digest of the bytes.
    pub fn read_back(
        &self,
        repository: &Repository,
        tag: Option<&Tag>,
        expected: Digest,
    ) -> Result<Option<Digest>, Error> {
        let name = tag.map_or_else(|| expected.to_string(), Tag::to_string);
        let fetched = self.fetch(repository, &name, &Scopes::pull(repository));
        let fetched = fetched.map_err(|error| self.after_put(repository, expected, error))?;
        Ok(fetched.map(|fetched| Digest::of(expected.algorithm(), &fetched.raw)))
    }

    /// Puts a manifest under `name`. Retries while the registry does not yet know its parts.
    pub fn put_always(
        &self,
        repository: &Repository,
        name: &str,
        media_type: &str,
        raw: &Bytes,
    ) -> Result<Result<Answer, Refusal>, Error> {
        let condition = Condition::Always;
        let mut tries = self.http.tries();
        loop {
            match self.put_once(repository, name, media_type, raw.clone(), &condition) {
                Ok(Put::Stored(answer)) => return Ok(Ok(answer)),
                Ok(Put::Refused(refusal)) => return Ok(Err(refusal)),
                // Cannot happen, since the PUT has no condition.
                Ok(Put::Unmet) => return Err(self.http.error(Kind::Refused, format_args!("{name}: status 412"))),
                Err(trouble) => tries.again(trouble)?,
            }
        }
    }

    /// Puts a manifest once, under a condition.
    pub fn put_once(
        &self,
        repository: &Repository,
        name: &str,
        media_type: &str,
        raw: Bytes,
        condition: &Condition,
    ) -> Result<Put, Trouble> {
        let url = self.at(repository, &format!("manifests/{name}"))?;
        let joint = if name.contains(':') { '@' } else { ':' };
        let mut call =
            Call::new(Method::PUT, url, Scopes::push(repository), format!("{}{joint}{name}", repository.path()))
                .header(CONTENT_TYPE, media_type)
                .header(CONTENT_LENGTH, &raw.len().to_string());
        match condition {
            Condition::Always => {}
            Condition::IfAbsent => drop(call.request.headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"))),
            Condition::IfUnchanged(etag) => drop(call.request.headers.insert(IF_MATCH, etag.clone())),
        }
        let expected = name.parse::<Digest>().unwrap_or_else(|_| Digest::sha256(&raw));
        call.request.body = Some(raw);
        let answer = self.send(&call).and_then(|response| self.http.whole(response, SMALL, &call.request.subject))?;
        if answer.status.is_success() {
            return match digest(&answer.headers) {
                Some(found) if found.algorithm() == expected.algorithm() && found != expected => {
                    let what = format_args!("{}: stored as {found}, expected {expected}", call.request.subject);
                    Err(Trouble::last(self.http.error(Kind::Mismatch, what)))
                }
                found => {
                    if found == Some(expected) {
                        self.note_put(repository, expected);
                    }
                    Ok(Put::Stored(answer))
                }
            };
        }
        if answer.status == StatusCode::PRECONDITION_FAILED && !matches!(condition, Condition::Always) {
            return Ok(Put::Unmet);
        }
        let again = UNKNOWN.iter().any(|code| answer.says(code));
        let mut error = self.refusal(&answer, &call.request.subject);
        if again && error.class == Kind::Absent {
            error = Error::new(Kind::Refused, error.what).help("push the content it refers to first");
        }
        if again {
            error = error.reason(Reason::PartsMissing);
        }
        if again { Err(Trouble::passing(error)) } else { Ok(Put::Refused(Refusal { answer, error })) }
    }
}

impl Fetched {
    fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.clone(), self.digest, self.raw.len() as u64)
    }
}

/// Returns the media type of the response, or the document's own if that is missing or generic.
fn shown_type(answer: &Answer) -> String {
    let claimed = answer.media_type().unwrap_or_default();
    let is_generic = matches!(claimed, "" | "application/json" | "application/octet-stream" | "text/plain");
    let sniffed = if is_generic { Document::sniff(&answer.body) } else { None };
    sniffed.unwrap_or_else(|| claimed.to_owned())
}
