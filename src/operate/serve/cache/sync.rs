//! Fetches whole artifacts without being asked: at the interval of a rule, or on request.
//!
//! For a rule with tags to include: all of these. For any other: the tags that are kept. A rule with a
//! star is for the repositories that the cache has already.

use std::collections::HashSet;
use std::sync::Arc;

use super::Cache;
use crate::base::fault::{Class, Fault};
use crate::base::lock::lock;
use crate::content::Error;
use crate::flow::each;
use crate::oci::media_type::document_kind;
use crate::oci::{Digest, Document, Reference, Repository, Tag};
use crate::serve::Covered;

/// The outcome of one tag, with its name.
#[derive(Clone, Debug)]
pub struct Synced {
    /// Name of the rule.
    pub rule: String,
    /// Repository at the source.
    pub repository: Repository,
    /// Tag.
    pub tag: Tag,
    /// Outcome.
    pub what: What,
}

/// Outcome of one tag.
#[derive(Clone, Debug)]
pub enum What {
    /// It names what is kept.
    Current(Digest),
    /// It was fetched, or would be.
    Fetched(Digest),
    /// The rule leaves it out.
    LeftOut,
    /// The upstream or the store failed.
    Failed(Error),
}

impl Cache {
    /// Fetches all that a rule is to keep; only `tag` if it is given. A dry run only asks what the tags
    /// name.
    ///
    /// # Errors
    /// [`Class::Cancelled`]; failures of single tags are in the result.
    pub fn sync(&self, rule: usize, tag: Option<&Tag>, is_dry: bool) -> Result<Vec<Synced>, Fault> {
        let Some(meant) = self.rules.all().get(rule) else { return Ok(Vec::new()) };
        let repositories: Vec<Repository> = if meant.source.is_wildcard() {
            let known = lock(&self.known);
            let is_own = |one: &&Repository| {
                let found = self.rules.by_source(one.host(), one.path());
                found.is_some_and(|found| found.number == rule)
            };
            known.tags.keys().filter(is_own).cloned().collect()
        } else {
            let own = self.rules.by_source(meant.source.host(), meant.source.path());
            own.map(|found| found.upstream).into_iter().collect()
        };
        let (mut all, mut jobs) = (Vec::new(), Vec::new());
        for upstream in repositories {
            let covered = Covered { rule, upstream };
            match self.tags_to_sync(&covered, tag) {
                Ok(tags) => jobs.extend(tags.into_iter().map(|tag| (covered.clone(), tag))),
                Err(error) => all.push(Synced {
                    rule: meant.name.clone(),
                    repository: covered.upstream,
                    tag: Tag::new("latest").map_err(|error| Fault::new(Class::Bug, error.to_string()))?,
                    what: What::Failed(error),
                }),
            }
        }
        all.extend(each(&self.flow, &jobs, |(covered, tag)| Synced {
            rule: meant.name.clone(),
            repository: covered.upstream.clone(),
            tag: tag.clone(),
            what: self.sync_tag(covered, tag, is_dry).unwrap_or_else(What::Failed),
        })?);
        self.settle();
        Ok(all)
    }

    fn tags_to_sync(&self, covered: &Covered, tag: Option<&Tag>) -> Result<Vec<Tag>, Error> {
        if let Some(tag) = tag {
            return Ok(vec![tag.clone()]);
        }
        if !self.rule(covered).filter.tags.include.is_empty() {
            let tags = self.every_tag(covered)?;
            return Ok(tags.into_iter().filter(|tag| !super::attached::is_attached(tag)).collect());
        }
        let known = lock(&self.known);
        Ok(known.tags.get(&covered.upstream).into_iter().flat_map(|tags| tags.keys().cloned()).collect())
    }

    fn sync_tag(&self, covered: &Covered, tag: &Tag, is_dry: bool) -> Result<What, Error> {
        if !self.admits_tag(covered, tag) {
            return Ok(What::LeftOut);
        }
        let kept = lock(&self.known).tag(&covered.upstream, tag).map(|kept| kept.digest);
        if is_dry {
            let Some(source) = self.source(covered) else { return Ok(What::LeftOut) };
            let reference = Reference { repository: covered.upstream.clone(), tag: Some(tag.clone()), digest: None };
            let digest = source.resolve(&reference)?.digest;
            return Ok(if kept == Some(digest) { What::Current(digest) } else { What::Fetched(digest) });
        }
        let Some(document) = self.look_up(covered, tag)? else { return Ok(What::LeftOut) };
        let is_new = self.fetch_all(covered, Arc::clone(&document))?;
        let digest = document.digest();
        Ok(if kept == Some(digest) && !is_new { What::Current(digest) } else { What::Fetched(digest) })
    }

    /// Fetches everything below a manifest that the rule admits, and its referrers. Returns whether a
    /// blob was not kept before.
    fn fetch_all(&self, covered: &Covered, top: Arc<Document>) -> Result<bool, Error> {
        let platforms = &self.rule(covered).filter.platforms;
        let (mut is_new, mut met, mut open) = (false, HashSet::from([top.digest()]), vec![top]);
        while let Some(document) = open.pop() {
            self.flow.check()?;
            for child in document.manifests() {
                let is_other = child.platform.as_ref().filter(|platform| !platform.is_unknown()).is_some_and(|own| {
                    !platforms.is_empty() && !platforms.iter().any(|admitted| own.matches(admitted))
                });
                if document_kind(&child.media_type).is_some() && !is_other && met.insert(child.digest) {
                    open.extend(self.by_digest(covered, child.digest)?);
                }
            }
            for leaf in document.config().into_iter().chain(document.layers()) {
                let is_kept = self.store.as_ref().is_none_or(|store| store.size(leaf.digest).is_some());
                if is_kept || !met.insert(leaf.digest) {
                    continue;
                }
                is_new = true;
                if let Some(fetch) = self.fetch(covered, leaf.digest)? {
                    fetch.ended()?;
                }
            }
            let referrers = self.every_referrer(covered, document.digest())?;
            open.extend(referrers.into_iter().filter(|one| met.insert(one.digest())));
        }
        Ok(is_new)
    }
}
