//! Registries: a place that speaks the OCI distribution protocol over HTTP.
//!
//! [`Registries`] is one value for every host; it has the blocking face of [`crate::content`] and a
//! private runtime behind it. Knows nothing of bundles, reads no environment and no file.

mod api;
pub mod auth;
pub mod http;
mod rules;
mod settings;

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex};

use self::auth::authorization::Scopes;
use self::http::call::{Host, lock};
use self::http::clients::Clients;
pub use self::http::rate::Limits;
use self::http::runtime::Engine;
pub use self::settings::{ClientCertificate, Credential, HostLookup, HostSettings, Lookup, Proxies, Settings};
use crate::content::{Body, Destination, Error, Inventory, Kind, Mounts, Ranges, Referrers, Rights, Source, TagList};
use crate::flow::Flow;
use crate::oci::{Descriptor, Digest, Document, Reference, Repository, Tag};

/// Every registry that a run talks to; [`Repository::host`] says which. Its methods block and may be
/// called from many threads, none of them a runtime's.
pub struct Registries {
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    clients: Arc<Clients>,
    settings: Arc<Settings>,
    engine: Arc<Engine>,
}

impl Registries {
    /// A client under `settings`. Connects to nothing yet.
    ///
    /// # Errors
    /// [`Kind::Policy`] for a CA file or proxy that cannot be used, [`Kind::Io`] where no thread can
    /// be started.
    pub fn new(settings: Settings, flow: Flow) -> Result<Self, Error> {
        let settings = Arc::new(settings);
        let clients = Arc::new(Clients::new(Arc::clone(&settings))?);
        let engine = Arc::new(Engine::new(flow)?);
        Ok(Self { hosts: Mutex::default(), clients, settings, engine })
    }

    /// Every repository that `host` (as references name it) lists (`_catalog`), in its order.
    ///
    /// # Errors
    /// [`Kind::Absent`], [`Kind::Denied`] or [`Kind::Refused`] where it lists none, as many do.
    pub fn repositories(&self, host: &str) -> Result<Vec<Repository>, Error> {
        self.named(host)?.repositories()
    }

    fn host(&self, repository: &Repository) -> Result<Arc<Host>, Error> {
        let name = repository.host();
        if name.is_empty() {
            let what = format!("repository {}: expected a registry's host in front", repository.path());
            return Err(Error::new(Kind::Refused, what).help("write HOST/REPOSITORY"));
        }
        self.named(name)
    }

    fn named(&self, name: &str) -> Result<Arc<Host>, Error> {
        let mut hosts = lock(&self.hosts);
        if let Some(host) = hosts.get(name) {
            return Ok(Arc::clone(host));
        }
        let (engine, settings, clients) = (&self.engine, &self.settings, &self.clients);
        let host = Host::new(name, Arc::clone(engine), Arc::clone(settings), Arc::clone(clients))?;
        let host = Arc::new(host);
        hosts.insert(name.to_owned(), Arc::clone(&host));
        Ok(host)
    }
}

impl Source for Registries {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        self.host(&reference.repository)?.resolve(reference)
    }

    fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        self.host(repository)?.document(repository, descriptor)
    }

    fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        Ok(Box::new(self.host(repository)?.whole_blob(repository, descriptor)?))
    }

    fn holds(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        self.host(repository)?.holds(repository, descriptor)
    }

    fn ranges(&self) -> Option<&dyn Ranges> {
        Some(self)
    }

    fn referrers(&self) -> Option<&dyn Referrers> {
        Some(self)
    }

    fn tags(&self) -> Option<&dyn TagList> {
        Some(self)
    }
}

impl Ranges for Registries {
    fn range(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        offset: u64,
        length: u64,
    ) -> Result<Option<Box<dyn Read + Send>>, Error> {
        let stream = self.host(repository)?.part(repository, descriptor, offset, offset.saturating_add(length))?;
        Ok(stream.map(|stream| Box::new(stream) as Box<dyn Read + Send>))
    }
}

impl Referrers for Registries {
    fn referrers(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        self.host(repository)?.referrers(repository, subject)
    }

    fn only_tags(&self, repository: &Repository, subject: Digest) -> Result<bool, Error> {
        self.host(repository)?.has_only_tags(repository, subject)
    }
}

impl TagList for Registries {
    fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        self.host(repository)?.tags(repository)
    }
}

impl Inventory for Registries {
    fn has_blob(&self, repository: &Repository, blob: &Descriptor) -> Result<bool, Error> {
        self.host(repository)?.has_blob(repository, blob, Scopes::pull(repository))
    }

    fn has_manifest(&self, repository: &Repository, digest: Digest) -> Result<bool, Error> {
        self.host(repository)?.has_manifest(repository, digest)
    }

    fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, Error> {
        self.host(repository)?.tag(repository, tag, &Scopes::pull(repository))
    }

    fn read_back(&self, repository: &Repository, tag: Option<&Tag>, expected: Digest) -> Result<Option<Digest>, Error> {
        self.host(repository)?.read_back(repository, tag, expected)
    }
}

impl Destination for Registries {
    fn put_blob(&self, repository: &Repository, blob: &Descriptor, body: &dyn Body) -> Result<(), Error> {
        self.host(repository)?.put_blob(repository, blob, body)
    }

    fn put_manifest(&self, repository: &Repository, document: &Document) -> Result<(), Error> {
        self.host(repository)?.put_document(repository, document)
    }

    fn set_tag(&self, repository: &Repository, tag: &Tag, document: &Document) -> Result<(), Error> {
        self.host(repository)?.set_tag(repository, tag, document)
    }

    fn mounts(&self) -> Option<&dyn Mounts> {
        Some(self)
    }

    fn rights(&self) -> Option<&dyn Rights> {
        Some(self)
    }
}

impl Rights for Registries {
    fn may_pull(&self, repository: &Repository) -> Result<(), Error> {
        self.host(repository)?.may_pull(repository)
    }

    fn may_push(&self, repository: &Repository) -> Result<(), Error> {
        self.host(repository)?.may_push(repository)
    }
}

impl Mounts for Registries {
    fn mount(&self, repository: &Repository, blob: &Descriptor, from: &Repository) -> Result<bool, Error> {
        self.host(repository)?.mount(repository, blob, from)
    }
}
