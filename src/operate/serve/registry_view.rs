//! A registry, or the part of one below a prefix, as a place to serve.
//!
//! Its tags are listed at the start and looked at again every [`INTERVAL`]; everything else is asked for
//! when a client asks. Nothing is kept but the sizes of what its manifests name.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::base::fault::{Class, Fault, differs};
use crate::base::lock::lock;
use crate::content::catalog::below;
use crate::content::{Error, Holdings, Kind, Ranges, Referrers, Source};
use crate::flow::{Flow, each};
use crate::oci::media_type::document_kind;
use crate::oci::{Artifact, Descriptor, Digest, Document, Reference, Repository, Tag};

/// Time between two looks at the tags.
const INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of sizes that are remembered; a forgotten one costs a request.
const SIZES: usize = 200_000;
/// Memory that a reader is counted with: what is under way from the registry. Not less, so that a slow
/// registry does not take all reading threads.
const UNDER_WAY: u64 = 4 << 20;

/// The part of a registry to serve.
#[derive(Clone, Debug)]
pub struct Part {
    /// Host of the registry.
    pub host: String,
    /// Prefix of its repositories, or one of them; empty for all.
    pub prefix: String,
}

/// A registry as a place.
pub struct RegistryView {
    source: Arc<dyn Source>,
    artifacts: Vec<Artifact>,
    sizes: Arc<Mutex<HashMap<(Repository, Digest), Known>>>,
}

/// Facts of a blob or a manifest.
#[derive(Clone)]
struct Known {
    size: u64,
    // Of a manifest.
    media_type: Option<String>,
}

/// A registry whose tags are looked at again now and then.
pub struct WatchedRegistry {
    place: usize,
    part: Part,
    view: Arc<RegistryView>,
    next: Option<Duration>,
}

impl RegistryView {
    /// Lists the tags of a part of `source`.
    ///
    /// # Errors
    /// [`Class::Source`] if it cannot be listed, or has neither a catalog nor a repository of that name;
    /// [`Class::Cancelled`].
    pub fn open(flow: &Flow, source: Arc<dyn Source>, part: &Part) -> Result<Arc<Self>, Fault> {
        let artifacts = artifacts(flow, &*source, part)?;
        Ok(Arc::new(Self { source, artifacts, sizes: Arc::default() }))
    }

    fn remember(&self, repository: &Repository, digest: Digest, known: Known) {
        let mut sizes = lock(&self.sizes);
        if sizes.len() >= SIZES {
            sizes.clear();
        }
        sizes.insert((repository.clone(), digest), known);
    }

    fn known(&self, repository: &Repository, digest: Digest) -> Option<Known> {
        lock(&self.sizes).get(&(repository.clone(), digest)).cloned()
    }

    /// Remembers everything that a manifest names.
    fn learn(&self, repository: &Repository, document: &Document) {
        let own = Known { size: document.size(), media_type: Some(document.media_type().to_owned()) };
        self.remember(repository, document.digest(), own);
        let leaves = document.config().into_iter().chain(document.layers());
        for part in leaves.chain(document.manifests()) {
            let media_type = document_kind(&part.media_type).map(|_| part.media_type.clone());
            // Whether a manifest of another platform is there, only the registry knows.
            if media_type.is_none() {
                self.remember(repository, part.digest, Known { size: part.size, media_type });
            }
        }
    }
}

fn artifacts(flow: &Flow, source: &dyn Source, part: &Part) -> Result<Vec<Artifact>, Fault> {
    let Part { host, prefix } = part;
    let at_source = |error: Error| error.into_fault(Class::Source);
    let lists = source.tags().ok_or_else(|| Fault::new(Class::Source, differs(host, "lists of tags", "none")))?;
    // The name may be that of a repository, with or without a catalog.
    let own = if prefix.is_empty() { None } else { Repository::new(host, prefix).ok() };
    let own = own.map(|repository| lists.tags(&repository).map(|tags| (repository, tags)));
    let own = own.transpose();
    let repositories = match (below(source, Some(host), prefix), &own) {
        (Ok(repositories), _) => repositories,
        // Many registries have no catalog.
        (Err(_), Ok(Some(_))) => Vec::new(),
        (Err(_), Err(error)) if error.class != Kind::Absent => return Err(at_source(error.clone())),
        (Err(error), _) => return Err(at_source(error)),
    };
    // A prefix need not be a repository, too.
    let own = own.ok().flatten();
    let others: Vec<Repository> =
        repositories.into_iter().filter(|one| own.as_ref().is_none_or(|(own, _)| one != own)).collect();
    let listed = each(flow, &others, |repository| lists.tags(repository))?;
    let mut names: Vec<(Repository, Tag)> = Vec::new();
    let mut add = |repository: &Repository, tags: Vec<Tag>| {
        let tags = tags.into_iter().filter(|tag| !tag.is_referrers_fallback());
        names.extend(tags.map(|tag| (repository.clone(), tag)));
    };
    own.into_iter().for_each(|(repository, tags)| add(&repository, tags));
    for (repository, tags) in others.iter().zip(listed) {
        match tags {
            Ok(tags) => add(repository, tags),
            // A catalog may list repositories that no longer exist.
            Err(error) if error.class == Kind::Absent => {}
            Err(error) => return Err(at_source(error)),
        }
    }
    let found = each(flow, &names, |(repository, tag)| {
        source.resolve(&Reference { repository: repository.clone(), tag: Some(tag.clone()), digest: None })
    })?;
    let mut all: BTreeMap<(Repository, Digest), Artifact> = BTreeMap::new();
    for ((repository, tag), found) in names.into_iter().zip(found) {
        match found {
            Ok(found) => {
                let artifact = all.entry((repository.clone(), found.digest)).or_insert_with(|| Artifact {
                    artifact_type: None,
                    digest: found.digest,
                    media_type: found.media_type,
                    original: None,
                    repository,
                    size: found.size,
                    source: None,
                    subject: None,
                    tags: Vec::new(),
                });
                artifact.tags.push(tag);
            }
            // Removed since it was listed.
            Err(error) if error.class == Kind::Absent => {}
            Err(error) => return Err(at_source(error)),
        }
    }
    Ok(all.into_values().collect())
}

impl Source for RegistryView {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        self.source.resolve(reference)
    }

    fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        let document = self.source.document(repository, descriptor)?;
        self.learn(repository, &document);
        Ok(document)
    }

    /// Returns the content of a blob. A manifest can be asked for as a blob, too, as in other places.
    fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        match self.known(repository, descriptor.digest).and_then(|known| known.media_type) {
            Some(media_type) => {
                let document = Descriptor::new(media_type, descriptor.digest, descriptor.size);
                Ok(Box::new(Cursor::new(self.document(repository, &document)?.shared())))
            }
            None => self.source.blob(repository, descriptor),
        }
    }

    fn holds(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        self.source.holds(repository, descriptor)
    }

    fn ranges(&self) -> Option<&dyn Ranges> {
        self.source.ranges()
    }

    fn referrers(&self) -> Option<&dyn Referrers> {
        self.source.referrers()
    }

    fn holdings(&self) -> Option<&dyn Holdings> {
        Some(self)
    }
}

impl Holdings for RegistryView {
    fn artifacts(&self) -> Result<Vec<Artifact>, Error> {
        Ok(self.artifacts.clone())
    }

    fn size(&self, repository: &Repository, digest: Digest) -> Result<Option<u64>, Error> {
        if let Some(known) = self.known(repository, digest) {
            return Ok(Some(known.size));
        }
        let reference = Reference { repository: repository.clone(), tag: None, digest: Some(digest) };
        let known = match self.source.resolve(&reference) {
            Ok(found) => Some(Known { size: found.size, media_type: Some(found.media_type) }),
            Err(error) if error.class == Kind::Absent => {
                self.source.blob_size(repository, digest)?.map(|size| Known { size, media_type: None })
            }
            Err(error) => return Err(error),
        };
        Ok(known.map(|known| {
            let size = known.size;
            self.remember(repository, digest, known);
            size
        }))
    }

    fn is_quick(&self) -> bool {
        false
    }

    fn memory(&self, _: &Repository, _: Digest) -> u64 {
        UNDER_WAY
    }
}

impl WatchedRegistry {
    /// Watches the part of a registry that `view` shows, which is the place with number `place`.
    pub const fn new(place: usize, part: Part, view: Arc<RegistryView>) -> Self {
        Self { place, part, view, next: None }
    }

    /// Returns the number of its place.
    pub(super) const fn place(&self) -> usize {
        self.place
    }

    /// Returns the registry with other tags, if they have changed.
    ///
    /// # Errors
    /// Those of [`RegistryView::open`].
    pub(super) fn look(&mut self, flow: &Flow) -> Result<Option<Arc<RegistryView>>, Fault> {
        let now = flow.clock().elapsed();
        let is_due = self.next.is_some_and(|next| next <= now);
        if self.next.is_none() || is_due {
            self.next = Some(now + INTERVAL);
        }
        if !is_due {
            return Ok(None);
        }
        let artifacts = artifacts(flow, &*self.view.source, &self.part)?;
        if artifacts == self.view.artifacts {
            return Ok(None);
        }
        let (source, sizes) = (Arc::clone(&self.view.source), Arc::clone(&self.view.sizes));
        self.view = Arc::new(RegistryView { source, artifacts, sizes });
        Ok(Some(Arc::clone(&self.view)))
    }
}
