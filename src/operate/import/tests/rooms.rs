//! A destination that behaves like a registry and fails on request.

use super::*;
use crate::base::fault::Reason as FaultReason;

/// A layout that behaves like a registry: every repository has its own blobs, mounts work, and
/// requested failures happen. Tags are visible at once.
pub(super) struct Rooms {
    pub(super) _folder: TempDir,
    pub(super) store: Layout,
    pub(super) blobs: Mutex<HashSet<(Repository, Digest)>>,
    pub(super) tags: Mutex<HashMap<String, Digest>>,
    pub(super) calls: Mutex<Vec<&'static str>>,
    pub(super) mounts: bool,
    pub(super) deny: Option<Repository>,
    /// A blob that it accepts and then reports as missing.
    pub(super) loses: Option<Digest>,
    /// A manifest that it takes and lets nobody read.
    pub(super) hides: Option<Digest>,
    /// Repositories that report beforehand that they must not be written.
    pub(super) closed: Vec<Repository>,
    /// Whether it takes an index without all of its manifests; `None` if there must be none.
    pub(super) sparse: Option<bool>,
    /// Whether it says which repositories it does not have.
    pub(super) names: bool,
    /// A type of the configs of images that it does not take.
    pub(super) refuses: Option<&'static str>,
}

impl Rooms {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = Layout::create(folder.path()).unwrap();
        let (blobs, tags, calls) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (deny, loses, hides, closed, sparse) = (None, None, None, Vec::new(), None);
        let (mounts, names, refuses) = (true, false, None);
        Self { _folder: folder, store, blobs, tags, calls, mounts, deny, loses, hides, closed, sparse, names, refuses }
    }

    pub(super) fn count(&self, call: &str) -> usize {
        lock(&self.calls).iter().filter(|own| **own == call).count()
    }

    pub(super) fn has(&self, repository: &Repository, digest: Digest) -> bool {
        lock(&self.blobs).contains(&(repository.clone(), digest))
    }

    pub(super) fn call(&self, name: &'static str) {
        lock(&self.calls).push(name);
    }

    /// Returns the error for a manifest some of whose content is missing.
    fn complete(&self, repository: &Repository, document: &Document) -> Result<(), Error> {
        let is_here = |digest| self.has(repository, digest) && self.loses != Some(digest);
        if self.sparse.is_some() || document.references().all(|below| is_here(below.digest)) {
            return Ok(());
        }
        Err(Error::new(Kind::Refused, "MANIFEST_BLOB_UNKNOWN").reason(FaultReason::PartsMissing))
    }

    pub(super) fn add(&self, repository: &Repository, digest: Digest) {
        lock(&self.blobs).insert((repository.clone(), digest));
    }
}

impl Inventory for Rooms {
    fn as_source(&self) -> Option<&dyn Source> {
        Some(&self.store)
    }
    fn has_blob(&self, repository: &Repository, blob: &Descriptor) -> Result<bool, Error> {
        self.call("head");
        Ok(self.has(repository, blob.digest) && self.loses != Some(blob.digest))
    }
    fn is_new(&self, repository: &Repository) -> Result<bool, Error> {
        if self.names {
            self.call("name");
        }
        Ok(self.names && !lock(&self.blobs).iter().any(|(own, _)| own == repository))
    }
    fn has_manifest(&self, repository: &Repository, digest: Digest) -> Result<bool, Error> {
        if self.names {
            self.call("ask");
        }
        if self.hides == Some(digest) && self.has(repository, digest) {
            return Err(unread::hidden());
        }
        Ok(self.has(repository, digest))
    }
    fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, Error> {
        let found = lock(&self.tags).get(&format!("{repository}:{tag}")).copied();
        if found.is_some() && found == self.hides { Err(unread::hidden()) } else { Ok(found) }
    }
    fn read_back(&self, repository: &Repository, tag: Option<&Tag>, expected: Digest) -> Result<Option<Digest>, Error> {
        self.call("read");
        let named = match tag {
            Some(tag) => self.tag(repository, tag)?,
            None => self.has(repository, expected).then_some(expected),
        };
        if named.is_some() && named == self.hides {
            return Err(unread::hidden());
        }
        Ok(named.filter(|digest| self.loses != Some(*digest)))
    }
}

impl Destination for Rooms {
    fn put_blob(&self, repository: &Repository, blob: &Descriptor, body: &dyn Body) -> Result<(), Error> {
        self.call("put");
        if self.deny.as_ref() == Some(repository) {
            return Err(Error::new(Kind::Denied, format!("{repository}: denied")));
        }
        // Repositories have their own blobs, so the content is read even if the store has it.
        if self.store.has_blob(repository, blob)? {
            drop(body.open().map(|mut content| io::copy(&mut content, &mut io::sink())));
        }
        // A broken send is retried once, and the error is reworded, as clients do.
        let send = || self.store.put_blob(repository, blob, body);
        send().or_else(|_| send()).map_err(|_| Error::new(Kind::Failed, "connection closed"))?;
        self.add(repository, blob.digest);
        Ok(())
    }
    fn put_manifest(&self, repository: &Repository, document: &Document) -> Result<(), Error> {
        self.call("manifest");
        let lacks = document.manifests().iter().any(|below| !self.has(repository, below.digest));
        if lacks && self.sparse == Some(false) {
            return Err(Error::new(Kind::Refused, "MANIFEST_BLOB_UNKNOWN"));
        }
        for below in document.manifests().iter().filter(|_| !lacks || self.sparse.is_none()) {
            assert!(self.has(repository, below.digest), "{} before {}", document.digest(), below.digest);
        }
        let config = document.config().map(|config| config.media_type.clone());
        if self.refuses.is_some() && config.as_deref() == self.refuses {
            return Err(Error::new(Kind::Refused, "refused, status 415").reason(FaultReason::FormRefused));
        }
        self.complete(repository, document)?;
        self.store.put_manifest(repository, document)?;
        self.add(repository, document.digest());
        Ok(())
    }
    fn set_tag(&self, repository: &Repository, tag: &Tag, document: &Document) -> Result<(), Error> {
        self.call("tag");
        self.complete(repository, document)?;
        lock(&self.tags).insert(format!("{repository}:{tag}"), document.digest());
        if self.hides == Some(document.digest()) { Err(unread::hidden()) } else { Ok(()) }
    }
    fn mounts(&self) -> Option<&dyn Mounts> {
        self.mounts.then_some(self as &dyn Mounts)
    }
    fn rights(&self) -> Option<&dyn Rights> {
        (!self.closed.is_empty()).then_some(self as &dyn Rights)
    }
}

impl Rights for Rooms {
    fn may_pull(&self, _: &Repository) -> Result<(), Error> {
        Ok(())
    }
    fn may_push(&self, repository: &Repository) -> Result<(), Error> {
        self.call("rights");
        if self.closed.contains(repository) {
            return Err(Error::new(Kind::Denied, format!("push to {repository}: not permitted")));
        }
        Ok(())
    }
}

impl Mounts for Rooms {
    fn mount(&self, repository: &Repository, blob: &Descriptor, from: &Repository) -> Result<bool, Error> {
        self.call("mount");
        let has = self.has(from, blob.digest);
        if has {
            self.add(repository, blob.digest);
        }
        Ok(has)
    }
}
