//! A cache that fetches by rules: what a client asks for and nobody holds is fetched from the rule's
//! upstream, checked, kept in an OCI layout, and served while it arrives.
//!
//! Names in the layout are those of the source, so that a changed rule finds its content again.
//! `manifests` looks tags up and fetches manifests, `blobs` fetches blobs, each once however many
//! clients ask; `keeper` writes manifests to the disk; `filters` says what a rule admits; `sync` fetches
//! without being asked. Only blobs that an admitted manifest of the repository names are fetched, with the
//! size that it states.

mod attached;
mod blobs;
mod filters;
mod flights;
mod keeper;
mod known;
mod manifests;
mod sync;
mod upstreams;

use std::path::Path;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use self::blobs::{Fetch, Fetches};
use self::flights::Flights;
use self::keeper::{Keeper, Listed};
use self::known::{KeptTag, Known};
pub use self::sync::{Synced, What};
use self::upstreams::Upstreams;
pub use self::upstreams::{Health, Sources};
use super::wanted::Wanted;
use crate::base::fault::Fault;
use crate::base::lock::lock;
use crate::content::{Error, Source};
use crate::decide::rules::{Rule, Rules};
use crate::flow::Flow;
use crate::layout::CacheLayout;
use crate::oci::{Descriptor, Digest, Document, Reference, Repository, Tag};
use crate::serve::{ByTagOrDigest, Covered, Pulled, Pulls};

/// A manifest, if there is one that the rule admits.
type Looked = Result<Option<Arc<Document>>, Error>;
/// Digests of a list.
type Digests = Result<Vec<Digest>, Error>;

/// A cache.
pub struct Cache {
    rules: Rules,
    upstreams: Upstreams,
    store: Option<Arc<CacheLayout>>,
    keeper: Option<Keeper>,
    // With it, nothing is fetched: what is missing is listed.
    wanted: Option<Arc<Wanted>>,
    flow: Flow,
    known: Mutex<Known>,
    tags: Arc<Flights<(Repository, Tag), Looked>>,
    manifests: Arc<Flights<(usize, Repository, Digest), Looked>>,
    lists: Arc<Flights<Repository, Result<Vec<Tag>, Error>>>,
    referring: Arc<Flights<(Repository, Digest), Digests>>,
    fetches: Arc<Fetches>,
    this: Weak<Self>,
}

/// How a cache is set up.
pub struct Setup<'a> {
    /// Rules.
    pub rules: Rules,
    /// Sources that the rules fetch from.
    pub sources: Sources,
    /// Directory of the layout; without, nothing is kept.
    pub dir: Option<&'a Path>,
    /// Maximum number of bytes of blobs in it.
    pub most: Option<u64>,
    /// List of what is missing; with it, nothing is fetched.
    pub wanted: Option<Arc<Wanted>>,
}

impl Cache {
    /// Opens a cache, and reads what its layout holds.
    ///
    /// # Errors
    /// Those of [`CacheLayout::open`].
    pub fn open(flow: &Flow, setup: Setup<'_>) -> Result<Arc<Self>, Fault> {
        let Setup { rules, sources, dir, most, wanted } = setup;
        let opened = dir.map(|dir| CacheLayout::open(dir, most)).transpose()?;
        let (store, names) = opened.map_or((None, Vec::new()), |(store, names)| (Some(store), names));
        let mut known = Known::default();
        let mut open = Vec::new();
        for name in names {
            if let (Some(repository), Some(tag)) = (&name.repository, &name.tag) {
                known.set_tag(repository, tag, KeptTag { digest: name.descriptor.digest, next: None });
            }
            open.push((name.repository, name.descriptor.digest));
        }
        while let (Some((repository, digest)), Some(store)) = (open.pop(), &store) {
            // One that is gone or damaged is fetched again when it is asked for.
            let Ok(Some(document)) = store.document(digest) else { continue };
            flow.check()?;
            let below = known.learn(repository.as_ref(), &document);
            open.extend(below.into_iter().map(|child| (repository.clone(), child)));
        }
        let keeper = store.as_ref().map(|store| {
            let flow = flow.clone();
            Keeper::new(Arc::clone(store), Box::new(move |error| flow.warn(error.to_string())))
        });
        Ok(Arc::new_cyclic(|this| Self {
            upstreams: Upstreams::new(sources, rules.all().len()),
            rules,
            store,
            keeper,
            wanted,
            flow: flow.clone(),
            known: Mutex::new(known),
            tags: Arc::default(),
            manifests: Arc::default(),
            lists: Arc::default(),
            referring: Arc::default(),
            fetches: Arc::default(),
            this: this.clone(),
        }))
    }

    /// Returns the rules.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Returns what was last heard from the upstream of each rule.
    pub fn health(&self) -> Vec<Health> {
        self.upstreams.health()
    }

    /// Returns the number of bytes that are kept.
    pub fn bytes(&self) -> Option<u64> {
        self.store.as_ref().map(|store| store.bytes())
    }

    /// Returns the list of what is missing, if there is one.
    pub fn wanted(&self) -> Option<&Arc<Wanted>> {
        self.wanted.as_ref()
    }

    /// Waits until everything that was fetched is on the disk.
    pub fn settle(&self) {
        self.keeper.iter().for_each(Keeper::settle);
    }

    fn rule(&self, covered: &Covered) -> &Rule {
        &self.rules.all()[covered.rule]
    }

    fn now(&self) -> Duration {
        self.flow.clock().elapsed()
    }

    /// Returns the source of a rule; `None` if nothing is fetched.
    fn source(&self, covered: &Covered) -> Option<Arc<dyn Source>> {
        if self.wanted.is_some() || self.store.is_none() { None } else { self.upstreams.source(self.rule(covered)) }
    }

    fn heard<T>(&self, covered: &Covered, answer: Result<T, &Error>) {
        self.upstreams.heard(covered.rule, self.flow.clock().unix(), answer);
    }

    /// Emits a warning, once for each text.
    fn warn(&self, text: String) {
        let mut known = lock(&self.known);
        // Texts come from upstreams, and must not fill the memory.
        if known.warned.len() > 1000 {
            known.warned.clear();
        }
        if known.warned.insert(text.clone()) {
            drop(known);
            self.flow.warn(text);
        }
    }

    /// Returns a manifest that is kept.
    fn document(&self, digest: Digest) -> Option<Arc<Document>> {
        if let Some(fresh) = self.keeper.as_ref().and_then(|keeper| keeper.fresh(digest)) {
            return Some(fresh);
        }
        match self.store.as_ref()?.document(digest) {
            Ok(found) => found.map(Arc::new),
            Err(error) => {
                self.warn(error.to_string());
                None
            }
        }
    }

    fn keep(&self, listed: Listed, document: &Arc<Document>) {
        if let Some(keeper) = &self.keeper {
            keeper.add(listed, document);
        }
    }

    /// Returns the size of a blob that an admitted manifest of the repository names.
    fn size(&self, covered: &Covered, digest: Digest) -> Option<u64> {
        lock(&self.known).size(&covered.upstream, digest)
    }

    /// Fetches a blob that an admitted manifest names; `None` if no manifest names it, or if it is kept.
    fn fetch(&self, covered: &Covered, digest: Digest) -> Result<Option<Arc<Fetch>>, Error> {
        let (Some(size), Some(source), Some(store), Some(cache)) =
            (self.size(covered, digest), self.source(covered), &self.store, self.this.upgrade())
        else {
            return Ok(None);
        };
        let blob = Descriptor::new("application/octet-stream", digest, size);
        let asked = covered.clone();
        let heard = move |result: &Result<(), Error>| {
            cache.heard(&asked, result.as_ref());
            if let Err(error) = result {
                cache.warn(error.to_string());
            }
        };
        self.fetches.fetch((store, &self.flow), source, &covered.upstream, &blob, heard)
    }
}

impl Pulls for Cache {
    fn covered(&self, name: &str, ns: Option<&str>) -> Option<Covered> {
        let found = match ns {
            None => self.rules.by_name(name),
            Some(host) => self.rules.by_source(host, name),
        };
        found.map(|found| Covered { rule: found.number, upstream: found.upstream })
    }

    fn names(&self) -> Vec<String> {
        let known = lock(&self.known);
        let mut names: Vec<String> = known.tags.keys().flat_map(|repository| self.rules.names(repository)).collect();
        names.sort();
        names.dedup();
        names
    }

    fn tags(&self, covered: &Covered) -> Result<Vec<Tag>, Error> {
        self.every_tag(covered)
    }

    fn manifest(&self, covered: &Covered, by: &ByTagOrDigest) -> Result<Option<Arc<Document>>, Error> {
        match by {
            ByTagOrDigest::Tag(tag) => self.by_tag(covered, tag),
            ByTagOrDigest::Digest(digest) => self.by_digest(covered, *digest),
        }
    }

    fn blob(&self, covered: &Covered, digest: Digest, is_head: bool) -> Result<Option<Pulled>, Error> {
        let Some(store) = &self.store else { return Ok(None) };
        if let Some(size) = store.size(digest) {
            return Ok(Some(Pulled::Kept(Arc::clone(store) as _, size)));
        }
        if is_head {
            let (Some(size), Some(source)) = (self.size(covered, digest), self.source(covered)) else {
                return Ok(None);
            };
            let blob = Descriptor::new("application/octet-stream", digest, size);
            return Ok(source.holds(&covered.upstream, &blob)?.then_some(Pulled::There(size)));
        }
        let Some(fetch) = self.fetch(covered, digest)? else {
            return Ok(store.size(digest).map(|size| Pulled::Kept(Arc::clone(store) as _, size)));
        };
        match fetch.begun() {
            Ok(arrival) => Ok(Some(Pulled::Coming(arrival))),
            Err(error) if error.class == crate::content::Kind::Absent => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn referrers(&self, covered: &Covered, subject: Digest) -> Result<Vec<Arc<Document>>, Error> {
        self.every_referrer(covered, subject)
    }

    fn missed(&self, covered: &Covered, by: &ByTagOrDigest) -> bool {
        let Some(wanted) = &self.wanted else { return false };
        let (tag, digest) = match by {
            ByTagOrDigest::Tag(tag) => (Some(tag.clone()), None),
            ByTagOrDigest::Digest(digest) => (None, Some(*digest)),
        };
        // Clients ask for lists of referrers and signatures that need not exist.
        let is_guess = tag.as_ref().is_some_and(attached::is_attached);
        if is_guess || tag.as_ref().is_some_and(|tag| !self.rule(covered).filter.tags.admit(tag.as_str())) {
            return false;
        }
        wanted.add(Reference { repository: covered.upstream.clone(), tag, digest })
    }

    fn spoiled(&self, digest: Digest) {
        if let Some(store) = &self.store {
            store.remove(digest);
        }
    }
}
