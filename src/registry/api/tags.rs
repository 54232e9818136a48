//! Pushes documents by digest with their referrers, and sets tags and reads them back.

use bytes::Bytes;

use super::blobs::digest;
use super::manifests::{Condition, Put, Refusal};
use super::referrers_list::Listed;
use super::registry::Registry;
use crate::base::fault::Reason;
use crate::content::{Error, Kind};
use crate::network::retry::Trouble;
use crate::oci::{Descriptor, Digest, Document, Repository, Tag};
use crate::registry::auth::scopes::Scopes;
use crate::registry::http::response::Answer;

/// Words in registries' error messages, in lower case, for a tag that must not move: ECR, ACR,
/// Harbor, Nexus, Quay, Artifactory, GitLab.
const FIXED: [&str; 7] =
    ["immutable", "already exist", "locked", "updating existing", "overwrite", "protected", "readonly"];

/// Returns whether the registry answered a read and would not do it.
fn is_refusal(error: &Error) -> bool {
    matches!(error.class, Kind::Denied | Kind::Refused)
}

/// Statuses of registries that do not take a manifest because of its content: a `subject`, an
/// unknown type. A full quota, a missing right and a missing blob have others.
const OF_CONTENT: [u16; 6] = [400, 405, 406, 415, 422, 501];

/// Returns the error of a refused manifest. Mentions its subject if that may be the reason.
fn about_subject(document: &Document, Refusal { answer, error }: Refusal) -> Error {
    let Some(subject) = document.subject().filter(|_| OF_CONTENT.contains(&answer.status.as_u16())) else {
        return error;
    };
    let what = format!("{}; it refers to {}, which this registry may not support", error.what, subject.digest);
    Error::new(error.class, what).help(super::referrers::ADVICE)
}

/// Adds advice to the error of a refused manifest with layers that have addresses of their own: by
/// default some registries take none of these.
fn about_urls(document: &Document, error: Error) -> Error {
    let is_elsewhere = |layer: &&Descriptor| layer.urls.iter().flatten().next().is_some();
    let mut elsewhere = document.layers().iter().filter(is_elsewhere);
    match elsewhere.next().filter(|_| error.class == Kind::Refused) {
        None => error,
        Some(first) => {
            let count = elsewhere.count() + 1;
            error.help(format!(
                "{count} of its layers have urls, the first is {}: the registry must allow these addresses (distribution: validation.manifests.urls.allow)",
                first.digest
            ))
        }
    }
}

impl Registry {
    /// Pushes a document by its digest, and adds it to the referrers of its subject if the registry
    /// does not do so itself.
    pub fn put_document(&self, repository: &Repository, document: &Document, listed: Listed) -> Result<(), Error> {
        let raw = Bytes::from_owner(document.shared());
        let name = document.digest().to_string();
        let put = self.put_always(repository, &name, document.media_type(), &raw);
        let answer = match put.map_err(|error| about_urls(document, error))? {
            Ok(answer) => answer,
            Err(refusal) => {
                let is_of_content = OF_CONTENT.contains(&refusal.answer.status.as_u16());
                let error = about_urls(document, about_subject(document, refusal));
                // Whether it has what the manifest needs is another question.
                let is_form = is_of_content && error.reason.is_none();
                return Err(if is_form { error.reason(Reason::FormRefused) } else { error });
            }
        };
        match document.subject() {
            Some(subject) if answer.header("oci-subject").is_none() => {
                self.list_new(repository, subject.digest, document, listed)
            }
            _ => Ok(()),
        }
    }

    /// Points a tag to a document, unless it already does, and reads it back.
    pub fn set_tag(&self, repository: &Repository, tag: &Tag, document: &Document) -> Result<(), Error> {
        let before = match self.tag_like(repository, tag, document.digest(), &Scopes::push(repository)) {
            // It may be another one that nobody may read; it is to be moved either way.
            Err(error) if is_refusal(&error) => None,
            found => found?,
        };
        if before == Some(document.digest()) {
            return Ok(());
        }
        let raw = Bytes::from_owner(document.shared());
        match self.put_always(repository, tag.as_str(), document.media_type(), &raw)? {
            Ok(answer) => self.named_now(repository, tag, before, document.digest(), &answer),
            Err(refusal) => Err(self.judged(repository, tag, before, document.digest(), refusal)),
        }
    }

    /// Points a tag that is new, or names one of `from`, to a document and reads it back. If the tag
    /// names another digest, returns that. A conditional PUT keeps a tag that was created since the
    /// check, on registries that support conditions.
    pub fn set_new_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        document: &Document,
        from: &[Digest],
    ) -> Result<Option<Digest>, Error> {
        let (scopes, wanted) = (Scopes::push(repository), document.digest());
        let mut if_absent = Condition::IfAbsent;
        let mut tries = self.http.tries();
        loop {
            let before = self.tag_like(repository, tag, wanted, &scopes)?;
            let condition = match before {
                Some(found) if found == wanted => return Ok(None),
                Some(found) if !from.contains(&found) => return Ok(Some(found)),
                Some(_) => Condition::Always,
                None => if_absent.clone(),
            };
            let raw = Bytes::from_owner(document.shared());
            match self.put_once(repository, tag.as_str(), document.media_type(), raw, &condition) {
                Ok(Put::Stored(answer)) => {
                    return self.named_now(repository, tag, before, wanted, &answer).map(|()| None);
                }
                // Check again: if the tag still does not exist, this registry misinterprets
                // conditions.
                Ok(Put::Unmet) if self.tag_like(repository, tag, wanted, &scopes)?.is_none() => {
                    if_absent = Condition::Always;
                }
                Ok(Put::Unmet) => {}
                Ok(Put::Refused(refusal)) if before.is_some() => {
                    return Err(self.judged(repository, tag, before, wanted, refusal));
                }
                // Registries refuse an immutable tag that was created since in different ways.
                Ok(Put::Refused(Refusal { error, .. })) | Err(Trouble { error, again: false, .. }) => {
                    match self.tag_like(repository, tag, wanted, &scopes) {
                        Ok(Some(found)) if found != wanted && !from.contains(&found) => return Ok(Some(found)),
                        _ => return Err(error),
                    }
                }
                Err(trouble) => tries.again(trouble)?,
            }
        }
    }

    /// Reads a tag that was set, by a PUT with this answer, until it names the wanted digest. Where the
    /// answer named it and nobody may read it, the error has [`Reason::Unreadable`].
    fn named_now(
        &self,
        repository: &Repository,
        tag: &Tag,
        before: Option<Digest>,
        wanted: Digest,
        answer: &Answer,
    ) -> Result<(), Error> {
        let is_named = digest(&answer.headers) == Some(wanted);
        let mut tries = self.http.tries();
        loop {
            let found = match self.tag_like(repository, tag, wanted, &Scopes::push(repository)) {
                // It said that it stored just this under the tag, and lets nobody read it.
                Err(error) if is_named && is_refusal(&error) => return Err(error.reason(Reason::Unreadable)),
                found => found?,
            };
            if found == Some(wanted) {
                return Ok(());
            }
            let error = match (found, before) {
                (Some(found), Some(before)) if found == before => self.fixed(repository, tag, before, wanted, ""),
                _ => {
                    let found = found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
                    let what = format_args!(
                        "tag {}:{tag}: accepted, but it names {found}, expected {wanted}",
                        repository.path()
                    );
                    self.http.error(Kind::Refused, what).help("somebody else may be setting the same tag")
                }
            };
            // Reads may lag behind writes.
            tries.again(Trouble::passing(error))?;
        }
    }

    /// Returns the error for a refused tag. The tag is immutable if it named something else before
    /// and the registry reports that it must not move.
    fn judged(
        &self,
        repository: &Repository,
        tag: &Tag,
        before: Option<Digest>,
        wanted: Digest,
        refusal: Refusal,
    ) -> Error {
        let Refusal { answer, error } = refusal;
        let Some(before) = before else { return error };
        let text = answer.codes_and_messages().to_ascii_lowercase();
        let says_so = FIXED.iter().any(|word| text.contains(word));
        let by_status = matches!(answer.status.as_u16(), 405 | 409 | 412);
        match error.class {
            Kind::Refused if says_so || by_status => {}
            Kind::Denied if says_so => {}
            _ => return error,
        }
        self.fixed(repository, tag, before, wanted, &format!(": {}", error.what))
    }

    fn fixed(&self, repository: &Repository, tag: &Tag, before: Digest, wanted: Digest, why: &str) -> Error {
        let what = format_args!("tag {}:{tag}: stays at {before}, not moved to {wanted}{why}", repository.path());
        self.http
            .error(Kind::Policy, what)
            .help("the tag is immutable there: leave it with --tag-conflict keep, or map it to another name")
    }
}
