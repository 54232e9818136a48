//! Says which place holds what: names as they are served, with the places and repositories behind
//! them.
//!
//! Built once from lists of artifacts; requests look names up in maps and never cause a listing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use super::cache::Cache;
use super::pulls::Pulls;
use crate::base::lock::lock;
use crate::content::router::Place;
use crate::content::{Error, Holdings, Source};
use crate::oci::{Artifact, Descriptor, Digest, Repository, Tag};

/// Maximum number of blobs that are remembered as checked.
const REMEMBERED: usize = 100_000;

/// Everything that is served at one time.
pub struct Index {
    places: Vec<Place>,
    names: BTreeMap<String, Served>,
    // By the repository at its place, for clients that name the source's host.
    origins: HashMap<Repository, Served>,
    types: HashMap<Digest, String>,
    pub(super) documents: Cache,
    pulls: Option<Arc<dyn Pulls>>,
    // Blobs that were read whole and found right since the index was built.
    checked: Mutex<HashSet<Digest>>,
}

/// One repository as it is served.
#[derive(Default)]
pub(super) struct Served {
    // Place and repository there; several if they share the name.
    at: Vec<(usize, Repository)>,
    tags: BTreeMap<Tag, (usize, Descriptor)>,
}

/// Two places have different content under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// Name and tag.
    pub name: String,
    /// First place, with its name for the artifact and the digest.
    pub first: String,
    /// Second place.
    pub second: String,
}

/// Where a blob or document is.
pub(super) struct Held {
    pub(super) source: Arc<dyn Source>,
    pub(super) repository: Repository,
    pub(super) size: u64,
}

impl Served {
    fn add(&mut self, place: usize, artifact: &Artifact) {
        let own = (place, artifact.repository.clone());
        if !self.at.contains(&own) {
            self.at.push(own);
        }
        for tag in &artifact.tags {
            self.tags.entry(tag.clone()).or_insert_with(|| (place, artifact.descriptor()));
        }
    }

    /// Returns the manifest that a tag names.
    pub(super) fn tag(&self, tag: &Tag) -> Option<&Descriptor> {
        self.tags.get(tag).map(|(_, descriptor)| descriptor)
    }

    /// Returns all tags, in order.
    pub(super) fn every_tag(&self) -> impl Iterator<Item = &Tag> {
        self.tags.keys()
    }

    /// Returns up to `most` tags after `last`, in order, and whether more follow.
    pub(super) fn tags(&self, last: Option<&str>, most: usize) -> (Vec<&str>, bool) {
        let after = |tag: &&str| last.is_none_or(|last| *tag > last);
        page(self.tags.keys().map(Tag::as_str).filter(after), most)
    }
}

fn page<'a>(mut all: impl Iterator<Item = &'a str>, most: usize) -> (Vec<&'a str>, bool) {
    let taken: Vec<&str> = all.by_ref().take(most).collect();
    (taken, all.next().is_some())
}

impl Index {
    /// Returns an index of `places` in which nothing is served yet.
    pub fn new(places: Vec<Place>) -> Self {
        Self {
            places,
            names: BTreeMap::new(),
            origins: HashMap::new(),
            types: HashMap::new(),
            documents: Cache::default(),
            pulls: None,
            checked: Mutex::default(),
        }
    }

    /// Fetches what no place holds by `pulls`.
    #[must_use]
    pub fn with_pulls(mut self, pulls: Option<Arc<dyn Pulls>>) -> Self {
        self.pulls = pulls;
        self
    }

    /// Returns where content is fetched from that no place holds.
    pub(super) fn pulls(&self) -> Option<&Arc<dyn Pulls>> {
        self.pulls.as_ref()
    }

    /// Returns whether a place has an artifact under this name at its source: a tag, or content with
    /// a digest. May block.
    pub fn holds(&self, source: &Repository, tag: Option<&Tag>, digest: Option<Digest>) -> bool {
        let Some(served) = self.origins.get(source) else { return false };
        let is_digest = |digest| self.find(served, digest).is_ok_and(|found| found.is_some());
        match (tag, digest) {
            (Some(tag), None) => served.tag(tag).is_some(),
            (_, Some(digest)) => is_digest(digest),
            (None, None) => true,
        }
    }

    /// Returns the names that are served, each with the repositories at its places.
    pub fn origins(&self) -> impl Iterator<Item = (&str, &Repository)> {
        let all = self.names.iter();
        all.flat_map(|(name, served)| served.at.iter().map(|(_, repository)| (name.as_str(), repository)))
    }

    /// Serves an artifact of the place with number `place` under `name`.
    ///
    /// # Errors
    /// One [`Clash`] for each of its tags that already names something else under this name.
    pub fn add(&mut self, name: &str, place: usize, artifact: &Artifact) -> Result<(), Vec<Clash>> {
        let served = self.names.entry(name.to_owned()).or_default();
        let shown = |place: usize, repository: &Repository, digest: Digest| {
            format!("{repository}@{digest} in {}", self.places.get(place).map_or("", |place| place.name.as_str()))
        };
        let mut clashes = Vec::new();
        for tag in &artifact.tags {
            let Some((other, found)) = served.tags.get(tag).filter(|(_, found)| found.digest != artifact.digest) else {
                continue;
            };
            let first = served.at.iter().find(|(place, _)| place == other).map(|(_, repository)| repository);
            clashes.push(Clash {
                name: format!("{name}:{tag}"),
                first: shown(*other, first.unwrap_or(&artifact.repository), found.digest),
                second: shown(place, &artifact.repository, artifact.digest),
            });
        }
        if !clashes.is_empty() {
            return Err(clashes);
        }
        served.add(place, artifact);
        self.origins.entry(artifact.repository.clone()).or_default().add(place, artifact);
        self.types.insert(artifact.digest, artifact.media_type.clone());
        Ok(())
    }

    /// Returns the number of repositories and tags.
    pub fn counts(&self) -> (usize, usize) {
        (self.names.len(), self.names.values().map(|served| served.tags.len()).sum())
    }

    /// Returns the repository with this name. With `ns`, the name is one at the host `ns`.
    pub(super) fn repository(&self, name: &str, ns: Option<&str>) -> Option<&Served> {
        let Some(host) = ns else {
            // A rule says which source a name stands for.
            let by_rule = || self.origins.get(&self.pulls.as_ref()?.covered(name, None)?.upstream);
            return self.names.get(name).or_else(by_rule);
        };
        let host = if matches!(host, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { host };
        let by_rule = || self.origins.get(&self.pulls.as_ref()?.covered(name, Some(host))?.upstream);
        self.origins.get(&Repository::new(host, name).ok()?).or_else(by_rule)
    }

    /// Returns up to `most` names of repositories after `last`, in order, and whether more follow.
    pub(super) fn names(&self, last: Option<&str>, most: usize) -> (Vec<&str>, bool) {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        page(self.names.range::<str, _>((from, Bound::Unbounded)).map(|(name, _)| name.as_str()), most)
    }

    /// Returns the media type of a manifest that was listed.
    pub(super) fn media_type(&self, digest: &Digest) -> Option<&str> {
        self.types.get(digest).map(String::as_str)
    }

    /// Returns where a repository's content with this digest is, `None` if it has none. Asks the
    /// places, so this may block.
    pub(super) fn find(&self, served: &Served, digest: Digest) -> Result<Option<Held>, Error> {
        for (place, repository) in &served.at {
            let Some(Place { source, .. }) = self.places.get(*place) else { continue };
            let size = source.holdings().map_or(Ok(None), |holdings| holdings.size(repository, digest))?;
            if let Some(size) = size {
                return Ok(Some(Held { source: Arc::clone(source), repository: repository.clone(), size }));
            }
        }
        Ok(None)
    }

    /// Returns whether all places of a repository say at once what they hold.
    pub(super) fn is_quick(&self, served: &Served) -> bool {
        served.at.iter().all(|(place, _)| {
            let place = self.places.get(*place).and_then(|place| place.source.holdings());
            place.is_none_or(Holdings::is_quick)
        })
    }

    /// Returns the referrers of `subject` in a repository, from every place, in order of their
    /// digests. May block.
    pub(super) fn referrers(&self, served: &Served, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        let mut found: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        for (place, repository) in &served.at {
            let Some(lists) = self.places.get(*place).and_then(|place| place.source.referrers()) else { continue };
            for one in lists.referrers(repository, subject)? {
                found.entry(one.digest).or_insert(one);
            }
        }
        Ok(found.into_values().collect())
    }

    /// Remembers that a blob was read whole and is right.
    pub(super) fn remember(&self, digest: Digest) {
        let mut checked = lock(&self.checked);
        if checked.len() < REMEMBERED {
            checked.insert(digest);
        }
    }

    /// Returns whether a blob was read whole before and was right.
    pub(super) fn is_checked(&self, digest: &Digest) -> bool {
        lock(&self.checked).contains(digest)
    }
}
