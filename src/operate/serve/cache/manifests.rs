//! Tags, manifests and lists of a cache: looked up at the upstream when they are due, and kept copies
//! while the upstream does not answer.

use std::sync::Arc;
use std::time::Duration;

use super::Cache;
use super::keeper::Listed;
use super::known::KeptTag;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::oci::{Digest, Document, Reference, Tag};
use crate::serve::Covered;

/// Longest time that a client waits for an upstream if there is a kept copy.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time after which an upstream that failed is asked again.
const PAUSE: Duration = Duration::from_secs(30);
/// Maximum number of referrers of one manifest that are fetched.
const REFERRERS: usize = 500;

/// Returns whether a kept copy may stand in: the upstream did not say anything about the content.
const fn is_outage(error: &Error) -> bool {
    matches!(error.class, Kind::Failed | Kind::Refused | Kind::Mismatch)
}

impl Cache {
    /// Returns the manifest that a tag names.
    pub(super) fn by_tag(&self, covered: &Covered, tag: &Tag) -> Result<Option<Arc<Document>>, Error> {
        if !self.admits_tag(covered, tag) {
            return Ok(None);
        }
        let kept = lock(&self.known).tag(&covered.upstream, tag);
        let copy = kept.and_then(|kept| self.document(kept.digest));
        let copy = match copy {
            Some(copy) if self.admits(covered, &copy)? => Some(copy),
            _ => None,
        };
        let is_due = kept.and_then(|kept| kept.next).is_none_or(|next| next <= self.now());
        let Some(cache) = self.this.upgrade().filter(|_| self.source(covered).is_some()) else { return Ok(copy) };
        if copy.is_some() && !is_due {
            return Ok(copy);
        }
        let rule = self.rule(covered);
        let stale = copy.filter(|_| rule.serve_stale);
        let patience = stale.as_ref().map(|_| PATIENCE);
        let (asked, wanted) = (covered.clone(), tag.clone());
        let key = (covered.upstream.clone(), tag.clone());
        let found = self.tags.join(key, patience, move || cache.look_up(&asked, &wanted));
        let name = format!("{}:{tag}", covered.upstream);
        match (found, stale) {
            (Some(Ok(found)), _) => Ok(found),
            (Some(Err(error)), Some(stale)) if is_outage(&error) => {
                self.later(covered, tag, stale.digest());
                self.warn(format!("{name}: the kept copy is served: {error}"));
                Ok(Some(stale))
            }
            (None, Some(stale)) => {
                self.warn(format!(
                    "{name}: the kept copy is served: the upstream takes longer than {} s",
                    PATIENCE.as_secs()
                ));
                Ok(Some(stale))
            }
            (Some(Err(error)), _) if error.class == Kind::Absent => Ok(None),
            (Some(Err(error)), _) => Err(error),
            (None, None) => Err(Error::new(Kind::Failed, format!("{name}: not looked up"))),
        }
    }

    /// Lets a kept tag count for a while, after its upstream failed.
    fn later(&self, covered: &Covered, tag: &Tag, digest: Digest) {
        let next = self.now() + PAUSE.min(self.rule(covered).refresh);
        lock(&self.known).set_tag(&covered.upstream, tag, KeptTag { digest, next: Some(next) });
    }

    /// Asks the upstream what a tag names, and keeps that.
    pub(super) fn look_up(&self, covered: &Covered, tag: &Tag) -> Result<Option<Arc<Document>>, Error> {
        let Some(source) = self.source(covered) else { return Ok(None) };
        let reference = Reference { repository: covered.upstream.clone(), tag: Some(tag.clone()), digest: None };
        let known = lock(&self.known).tag(&covered.upstream, tag);
        // Whoever has the manifest already asks for its digest only; else one request gets all of it.
        let document = if known.is_some_and(|known| self.document(known.digest).is_some()) {
            let resolved = source.resolve(&reference);
            self.heard(covered, resolved.as_ref());
            self.by_digest(covered, resolved?.digest)?
        } else {
            let named = source.named(&reference);
            self.heard(covered, named.as_ref());
            self.admitted(covered, named?)?
        };
        let Some(document) = document else { return Ok(None) };
        let digest = document.digest();
        if known.is_none_or(|known| known.digest != digest) {
            self.keep(Listed::Named(covered.upstream.clone(), tag.clone()), &document);
        }
        let next = Some(self.now() + self.rule(covered).refresh);
        lock(&self.known).set_tag(&covered.upstream, tag, KeptTag { digest, next });
        Ok(Some(document))
    }

    /// Returns a manifest that was fetched, unless the rule leaves it out.
    fn admitted(&self, covered: &Covered, document: Document) -> Result<Option<Arc<Document>>, Error> {
        if !self.admits(covered, &document)? {
            return Ok(None);
        }
        lock(&self.known).learn(Some(&covered.upstream), &document);
        Ok(Some(Arc::new(document)))
    }

    /// Returns the manifest with a digest, which is fetched if it is not kept.
    pub(super) fn by_digest(&self, covered: &Covered, digest: Digest) -> Result<Option<Arc<Document>>, Error> {
        if let Some(document) = self.document(digest) {
            if !self.admits(covered, &document)? {
                return Ok(None);
            }
            lock(&self.known).learn(Some(&covered.upstream), &document);
            return Ok(Some(document));
        }
        let Some(cache) = self.this.upgrade().filter(|_| self.source(covered).is_some()) else { return Ok(None) };
        let (asked, key) = (covered.clone(), (covered.rule, covered.upstream.clone(), digest));
        match self.manifests.join(key, None, move || cache.fetch_manifest(&asked, digest)) {
            Some(Err(error)) if error.class == Kind::Absent => Ok(None),
            Some(found) => found,
            None => Err(Error::new(Kind::Failed, format!("{}@{digest}: not fetched", covered.upstream))),
        }
    }

    fn fetch_manifest(&self, covered: &Covered, digest: Digest) -> Result<Option<Arc<Document>>, Error> {
        let Some(source) = self.source(covered) else { return Ok(None) };
        let reference = Reference { repository: covered.upstream.clone(), tag: None, digest: Some(digest) };
        let fetched = source.named(&reference);
        self.heard(covered, fetched.as_ref());
        let Some(document) = self.admitted(covered, fetched?)? else { return Ok(None) };
        let is_child = lock(&self.known).children.contains(&digest);
        self.keep(if is_child { Listed::Below } else { Listed::Bare }, &document);
        Ok(Some(document))
    }

    /// Returns the tags that the upstream lists and the rule admits; those that are kept, if it does
    /// not answer.
    pub(super) fn every_tag(&self, covered: &Covered) -> Result<Vec<Tag>, Error> {
        let repository = &covered.upstream;
        let kept = || -> Vec<Tag> {
            let known = lock(&self.known);
            known.tags.get(repository).into_iter().flat_map(|tags| tags.keys().cloned()).collect()
        };
        let Some(cache) = self.this.upgrade().filter(|_| self.source(covered).is_some()) else { return Ok(kept()) };
        if let Some((until, tags)) = lock(&self.known).lists.get(repository)
            && *until > self.now()
        {
            return Ok(tags.clone());
        }
        let (asked, kept) = (covered.clone(), kept());
        let patience = (!kept.is_empty()).then_some(PATIENCE);
        match self.lists.join(repository.clone(), patience, move || cache.list_tags(&asked)) {
            Some(Err(error)) if error.class == Kind::Absent => Ok(kept),
            Some(Err(error)) if kept.is_empty() || !is_outage(&error) => Err(error),
            Some(Ok(tags)) => Ok(tags),
            Some(Err(_)) | None => {
                self.warn(format!("{repository}: the kept tags are listed: the upstream gives no list"));
                Ok(kept)
            }
        }
    }

    fn list_tags(&self, covered: &Covered) -> Result<Vec<Tag>, Error> {
        let source = self.source(covered);
        let Some(lists) = source.as_ref().and_then(|source| source.tags()) else { return Ok(Vec::new()) };
        let listed = lists.tags(&covered.upstream);
        self.heard(covered, listed.as_ref());
        let mut tags: Vec<Tag> = listed?.into_iter().filter(|tag| self.admits_tag(covered, tag)).collect();
        tags.sort();
        let until = self.now() + self.rule(covered).refresh;
        lock(&self.known).lists.insert(covered.upstream.clone(), (until, tags.clone()));
        Ok(tags)
    }

    /// Returns the referrers of a manifest: those that the upstream lists, or those that are kept if it
    /// does not answer.
    pub(super) fn every_referrer(&self, covered: &Covered, subject: Digest) -> Result<Vec<Arc<Document>>, Error> {
        if !self.rule(covered).filter.referrers {
            return Ok(Vec::new());
        }
        let key = (covered.upstream.clone(), subject);
        let (kept, is_listed) = {
            let known = lock(&self.known);
            let kept: Vec<Digest> = known.referrers.get(&subject).into_iter().flatten().copied().collect();
            (kept, known.listed.get(&key).is_some_and(|until| *until > self.now()))
        };
        let cache = self.this.upgrade().filter(|_| self.source(covered).is_some() && !is_listed);
        let digests = match cache {
            None => kept,
            Some(cache) => {
                let asked = covered.clone();
                let patience = (!kept.is_empty()).then_some(PATIENCE);
                match self.referring.join(key, patience, move || cache.list_referrers(&asked, subject)) {
                    Some(Ok(digests)) => digests,
                    Some(Err(error)) if kept.is_empty() || !is_outage(&error) => return Err(error),
                    Some(Err(_)) | None => kept,
                }
            }
        };
        let mut found = Vec::new();
        for digest in digests {
            // One that cannot be fetched is not listed: a client could not fetch it either.
            match self.by_digest(covered, digest) {
                Ok(document) => found.extend(document),
                Err(error) => self.warn(format!("{}@{digest}: {error}", covered.upstream)),
            }
        }
        Ok(found)
    }

    fn list_referrers(&self, covered: &Covered, subject: Digest) -> Result<Vec<Digest>, Error> {
        let source = self.source(covered);
        let Some(lists) = source.as_ref().and_then(|source| source.referrers()) else { return Ok(Vec::new()) };
        let listed = lists.referrers(&covered.upstream, subject);
        self.heard(covered, listed.as_ref());
        let mut digests: Vec<Digest> = listed?.into_iter().map(|one| one.digest).collect();
        if digests.len() > REFERRERS {
            self.warn(format!(
                "{}@{subject}: {} referrers, of which {REFERRERS} are fetched",
                covered.upstream,
                digests.len()
            ));
            digests.truncate(REFERRERS);
        }
        let until = self.now() + self.rule(covered).refresh;
        let mut known = lock(&self.known);
        // Without end, somebody could fill the memory with digests that do not exist.
        if known.listed.len() > 100_000 {
            known.listed.clear();
        }
        known.listed.insert((covered.upstream.clone(), subject), until);
        Ok(digests)
    }
}
