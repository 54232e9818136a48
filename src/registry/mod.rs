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
use self::http::call::Host;
use self::http::clients::Clients;
pub use self::http::rate::Limits;
use self::http::runtime::Engine;
use self::http::secrets::Redacted;
pub use self::http::secrets::Secrets;
pub use self::settings::{ClientCertificate, Credential, HostLookup, HostSettings, Lookup, Proxies, Settings};
use crate::base::lock::lock;
use crate::content::{
    Body, Destination, Error, Inventory, Kind, Lists, Mounts, Ranges, Referrers, Rights, Source, TagList,
};
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
        let flow = flow.with_events(|events| Arc::new(Redacted { events, secrets: Arc::clone(&settings.secrets) }));
        let engine = Arc::new(Engine::new(flow)?);
        Ok(Self { hosts: Mutex::default(), clients, settings, engine })
    }

    /// Every repository that `host` (as references name it) lists (`_catalog`), in its order.
    ///
    /// # Errors
    /// [`Kind::Absent`], [`Kind::Denied`] or [`Kind::Refused`] where it lists none, as many do.
    pub fn repositories(&self, host: &str) -> Result<Vec<Repository>, Error> {
        self.shown(self.named(host).and_then(|host| host.repositories()))
    }

    /// Asks the registry of a repository; what it fails with leaves without the secrets that were sent.
    fn ask<T>(
        &self,
        repository: &Repository,
        question: impl FnOnce(&Arc<Host>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.shown(self.host(repository).and_then(|host| question(&host)))
    }

    fn shown<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        answer.map_err(|error| self.settings.secrets.out_of(error))
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
        self.ask(&reference.repository, |host| host.resolve(reference))
    }

    fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        self.ask(repository, |host| host.document(repository, descriptor))
    }

    fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        Ok(Box::new(self.ask(repository, |host| host.whole_blob(repository, descriptor))?))
    }

    fn holds(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        self.ask(repository, |host| host.holds(repository, descriptor))
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
        let end = offset.saturating_add(length);
        let stream = self.ask(repository, |host| host.part(repository, descriptor, offset, end))?;
        Ok(stream.map(|stream| Box::new(stream) as Box<dyn Read + Send>))
    }
}

impl Referrers for Registries {
    fn referrers(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        self.ask(repository, |host| host.referrers(repository, subject))
    }

    fn only_tags(&self, repository: &Repository, subject: Digest) -> Result<bool, Error> {
        self.ask(repository, |host| host.has_only_tags(repository, subject))
    }
}

impl TagList for Registries {
    fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        self.ask(repository, |host| host.tags(repository))
    }
}

impl Inventory for Registries {
    fn has_blob(&self, repository: &Repository, blob: &Descriptor) -> Result<bool, Error> {
        self.ask(repository, |host| host.has_blob(repository, blob, Scopes::pull(repository)))
    }

    fn has_manifest(&self, repository: &Repository, digest: Digest) -> Result<bool, Error> {
        self.ask(repository, |host| host.has_manifest(repository, digest))
    }

    fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, Error> {
        self.ask(repository, |host| host.tag(repository, tag, &Scopes::pull(repository)))
    }

    fn read_back(&self, repository: &Repository, tag: Option<&Tag>, expected: Digest) -> Result<Option<Digest>, Error> {
        self.ask(repository, |host| host.read_back(repository, tag, expected))
    }
}

impl Destination for Registries {
    fn put_blob(&self, repository: &Repository, blob: &Descriptor, body: &dyn Body) -> Result<(), Error> {
        self.ask(repository, |host| host.put_blob(repository, blob, body))
    }

    fn put_manifest(&self, repository: &Repository, document: &Document) -> Result<(), Error> {
        self.ask(repository, |host| host.put_document(repository, document))
    }

    fn set_tag(&self, repository: &Repository, tag: &Tag, document: &Document) -> Result<(), Error> {
        self.ask(repository, |host| host.set_tag(repository, tag, document))
    }

    fn set_new_tag(&self, repository: &Repository, tag: &Tag, document: &Document) -> Result<Option<Digest>, Error> {
        self.ask(repository, |host| host.set_new_tag(repository, tag, document))
    }

    fn lists(&self) -> Option<&dyn Lists> {
        Some(self)
    }

    /// Looks once more at the lists of referrers that were written.
    fn finish(&self) -> Result<(), Error> {
        let hosts: Vec<Arc<Host>> = lock(&self.hosts).values().cloned().collect();
        hosts.iter().try_for_each(|host| self.shown(host.settle()))
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
        self.ask(repository, |host| host.may_pull(repository))
    }

    fn may_push(&self, repository: &Repository) -> Result<(), Error> {
        self.ask(repository, |host| host.may_push(repository))
    }
}

impl Mounts for Registries {
    fn mount(&self, repository: &Repository, blob: &Descriptor, from: &Repository) -> Result<bool, Error> {
        self.ask(repository, |host| host.mount(repository, blob, from))
    }
}

impl Lists for Registries {
    fn list_present(&self, repository: &Repository, document: &Document) -> Result<(), Error> {
        let Some(subject) = document.subject() else { return Ok(()) };
        self.ask(repository, |host| host.list_present(repository, subject.digest, document))
    }
}
