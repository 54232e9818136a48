//! Documents by digest with their referrers, and tags: set, read back, left where they may not move.

use bytes::Bytes;

use crate::content::{Error, Kind};
use crate::oci::{Digest, Document, Repository, Tag};
use crate::registry::auth::authorization::Scopes;
use crate::registry::http::call::Host;
use crate::registry::http::retry::Trouble;

/// What registries say, in lower case, of a tag that may not move: ECR, ACR, Harbor, Nexus, Quay,
/// Artifactory, GitLab.
const FIXED: [&str; 7] =
    ["immutable", "already exist", "locked", "updating existing", "overwrite", "protected", "readonly"];

impl Host {
    /// Pushes a document by its digest, and makes its subject's referrers list it.
    pub fn put_document(&self, repository: &Repository, document: &Document) -> Result<(), Error> {
        let raw = Bytes::from_owner(document.shared());
        let name = document.digest().to_string();
        let Some(subject) = document.subject() else {
            return self.put(repository, &name, document.media_type(), raw).map(drop);
        };
        let answer = self.put(repository, &name, document.media_type(), raw).map_err(|error| {
            if error.kind != Kind::Refused {
                return error;
            }
            let what = format!("{}; it refers to {}, which this registry may not take", error.what, subject.digest);
            Error::new(error.kind, what).help(super::referrers::ADVICE)
        })?;
        match answer.header("oci-subject") {
            None => self.list_referrer(repository, subject.digest, document),
            Some(_) => Ok(()),
        }
    }

    /// Makes a tag name a document, unless it does, and reads it back.
    pub fn set_tag(&self, repository: &Repository, tag: &Tag, document: &Document) -> Result<(), Error> {
        let scopes = Scopes::push(repository);
        let wanted = document.digest();
        let before = self.tag(repository, tag, &scopes)?;
        if before == Some(wanted) {
            return Ok(());
        }
        let raw = Bytes::from_owner(document.shared());
        if let Err(error) = self.put(repository, tag.as_str(), document.media_type(), raw) {
            return Err(self.judged(repository, tag, before, wanted, error));
        }
        let mut tries = self.tries();
        loop {
            let found = self.tag(repository, tag, &scopes)?;
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
                    self.error(Kind::Refused, what).help("somebody else may be setting the same tag")
                }
            };
            // What is read may lag behind what was written.
            tries.again(Trouble { error, again: true, after: None })?;
        }
    }

    /// A refusal of a tag: where it stood before and the words are those, it may not move.
    fn judged(
        &self,
        repository: &Repository,
        tag: &Tag,
        before: Option<Digest>,
        wanted: Digest,
        error: Error,
    ) -> Error {
        let Some(before) = before else { return error };
        let text = error.what.to_ascii_lowercase();
        let says_so = FIXED.iter().any(|word| text.contains(word));
        let by_status = ["status 405", "status 409", "status 412"].iter().any(|status| text.contains(status));
        match error.kind {
            Kind::Refused if says_so || by_status => {}
            Kind::Denied if says_so => {}
            _ => return error,
        }
        self.fixed(repository, tag, before, wanted, &format!(": {}", error.what))
    }

    fn fixed(&self, repository: &Repository, tag: &Tag, before: Digest, wanted: Digest, why: &str) -> Error {
        let what = format_args!("tag {}:{tag}: stays at {before}, not moved to {wanted}{why}", repository.path());
        self.error(Kind::Policy, what)
            .help("the tag is immutable there: leave it with --tag-conflict keep, or map it to another name")
    }
}
