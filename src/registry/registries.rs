//! All registries of a run, as an implementation of the blocking traits of [`crate::content`].
//!
//! Only selects the registry and removes secrets from errors; [`super::api`] makes the calls.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex};

use super::api::referrers_list::Listed;
use super::api::registry::Registry;
use super::auth::scopes::Scopes;
use super::settings::Settings;
use crate::base::fault::{differs, expects};
use crate::base::lock::lock;
use crate::content::{
    Body, Catalog, Destination, Error, Inventory, Kind, Lists, Mounts, Ranges, Referrers, Rights, Source, TagList,
};
use crate::flow::Flow;
use crate::network::clients::Clients;
use crate::network::runtime::Runtime;
use crate::network::secrets::Redacted;
use crate::oci::{Descriptor, Digest, Document, Reference, Repository, Tag};

/// All registries that a run talks to, selected by [`Repository::host`]. The methods block. They
/// may be called from many threads, but not from threads of an async runtime.
pub struct Registries {
    known: Mutex<HashMap<String, Arc<Registry>>>,
    clients: Arc<Clients>,
    settings: Arc<Settings>,
    runtime: Arc<Runtime>,
}

impl Registries {
    /// Makes a client with `settings`. Does not connect yet.
    ///
    /// # Errors
    /// [`Kind::Policy`] for an unusable CA file or proxy, [`Kind::Io`] if no thread can be started.
    pub fn new(settings: Settings, flow: Flow) -> Result<Self, Error> {
        let settings = Arc::new(settings);
        let clients = Arc::new(Clients::new(Arc::clone(&settings.clients))?);
        let flow =
            flow.with_events(|events| Arc::new(Redacted { events, secrets: Arc::clone(&settings.clients.secrets) }));
        let runtime = Arc::new(Runtime::new(flow)?);
        Ok(Self { known: Mutex::default(), clients, settings, runtime })
    }

    /// Returns all repositories that `host` (as written in references) lists (`_catalog`), in its
    /// order.
    ///
    /// # Errors
    /// [`Kind::Absent`], [`Kind::Denied`] or [`Kind::Refused`] if it does not list repositories;
    /// many do not.
    pub fn repositories(&self, host: &str) -> Result<Vec<Repository>, Error> {
        self.shown(self.named(host).and_then(|registry| registry.repositories()))
    }

    /// Logs in at `host` (as written in references) with its login from the settings. Returns
    /// `false` if the registry requires no login, so that none was tried.
    ///
    /// # Errors
    /// [`Kind::Denied`] if the login is refused; [`Kind::Policy`] if the registry names a token
    /// server that must not receive the login.
    pub fn log_in(&self, host: &str) -> Result<bool, Error> {
        self.shown(self.named(host).and_then(|registry| registry.log_in()))
    }

    /// Calls `question` with the registry of a repository and removes the secrets that were sent
    /// from its error.
    fn ask<T>(
        &self,
        repository: &Repository,
        question: impl FnOnce(&Arc<Registry>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.shown(self.of(repository).and_then(|registry| question(&registry)))
    }

    fn shown<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        answer.map_err(|error| self.settings.clients.secrets.out_of(error))
    }

    fn of(&self, repository: &Repository) -> Result<Arc<Registry>, Error> {
        let name = repository.host();
        if name.is_empty() {
            let what = expects(format_args!("repository {}", repository.path()), "a registry host first");
            return Err(Error::new(Kind::Refused, what).help("write HOST/REPOSITORY"));
        }
        self.named(name)
    }

    fn named(&self, name: &str) -> Result<Arc<Registry>, Error> {
        let mut known = lock(&self.known);
        if let Some(registry) = known.get(name) {
            return Ok(Arc::clone(registry));
        }
        let (runtime, settings, clients) = (&self.runtime, &self.settings, &self.clients);
        let registry = Registry::new(name, Arc::clone(runtime), Arc::clone(settings), Arc::clone(clients))?;
        let registry = Arc::new(registry);
        known.insert(name.to_owned(), Arc::clone(&registry));
        Ok(registry)
    }
}

impl Source for Registries {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        self.ask(&reference.repository, |registry| registry.resolve(reference))
    }

    fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        self.ask(repository, |registry| registry.document(repository, descriptor))
    }

    fn named(&self, reference: &Reference) -> Result<Document, Error> {
        self.ask(&reference.repository, |registry| registry.named(reference))
    }

    fn blob_size(&self, repository: &Repository, digest: Digest) -> Result<Option<u64>, Error> {
        self.ask(repository, |registry| registry.blob_size(repository, digest))
    }

    fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        Ok(Box::new(self.ask(repository, |registry| registry.whole_blob(repository, descriptor))?))
    }

    fn holds(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        self.ask(repository, |registry| registry.holds(repository, descriptor))
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

    fn catalog(&self) -> Option<&dyn Catalog> {
        Some(self)
    }
}

impl Catalog for Registries {
    fn repositories(&self, host: Option<&str>) -> Result<Vec<Repository>, Error> {
        let host = host.ok_or_else(|| {
            Error::new(Kind::Refused, differs("catalog", "the host of a registry", "none")).help("name a host")
        })?;
        self.repositories(host)
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
        let stream = self.ask(repository, |registry| registry.part(repository, descriptor, offset, end))?;
        Ok(stream.map(|stream| Box::new(stream) as Box<dyn Read + Send>))
    }
}

impl Referrers for Registries {
    fn referrers(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        self.ask(repository, |registry| registry.referrers(repository, subject))
    }

    fn referrers_without_tag(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        self.ask(repository, |registry| registry.referrers_without_tag(repository, subject))
    }

    fn only_tags(&self, repository: &Repository, subject: Digest) -> Result<bool, Error> {
        self.ask(repository, |registry| registry.has_only_tags(repository, subject))
    }
}

impl TagList for Registries {
    fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        self.ask(repository, |registry| registry.tags(repository))
    }

    fn tags_within(&self, repository: &Repository, pages: usize) -> Result<Option<Vec<Tag>>, Error> {
        self.ask(repository, |registry| registry.tags_within(repository, pages))
    }
}

impl Inventory for Registries {
    fn has_blob(&self, repository: &Repository, blob: &Descriptor) -> Result<bool, Error> {
        self.ask(repository, |registry| registry.has_blob(repository, blob, Scopes::pull(repository)))
    }

    fn as_source(&self) -> Option<&dyn Source> {
        Some(self)
    }

    fn has_manifest(&self, repository: &Repository, digest: Digest) -> Result<bool, Error> {
        self.ask(repository, |registry| registry.has_manifest(repository, digest))
    }

    fn is_new(&self, repository: &Repository) -> Result<bool, Error> {
        self.ask(repository, |registry| registry.is_new(repository))
    }

    fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, Error> {
        self.ask(repository, |registry| registry.tag(repository, tag, &Scopes::pull(repository)))
    }

    fn read_back(&self, repository: &Repository, tag: Option<&Tag>, expected: Digest) -> Result<Option<Digest>, Error> {
        self.ask(repository, |registry| registry.read_back(repository, tag, expected))
    }
}

impl Destination for Registries {
    fn put_blob(&self, repository: &Repository, blob: &Descriptor, body: &dyn Body) -> Result<(), Error> {
        self.ask(repository, |registry| registry.put_blob(repository, blob, body))
    }

    fn put_manifest(&self, repository: &Repository, document: &Document) -> Result<(), Error> {
        self.ask(repository, |registry| registry.put_document(repository, document, Listed::Now))
    }

    fn put_unlisted(&self, repository: &Repository, document: &Document) -> Result<(), Error> {
        self.ask(repository, |registry| registry.put_document(repository, document, Listed::Later))
    }

    fn set_tag(&self, repository: &Repository, tag: &Tag, document: &Document) -> Result<(), Error> {
        self.ask(repository, |registry| registry.set_tag(repository, tag, document))
    }

    fn set_new_tag(&self, repository: &Repository, tag: &Tag, document: &Document) -> Result<Option<Digest>, Error> {
        self.ask(repository, |registry| registry.set_new_tag(repository, tag, document, &[]))
    }

    fn advance_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        document: &Document,
        from: &[Digest],
    ) -> Result<Option<Digest>, Error> {
        self.ask(repository, |registry| registry.set_new_tag(repository, tag, document, from))
    }

    fn lists(&self) -> Option<&dyn Lists> {
        Some(self)
    }

    /// Checks the lists of referrers that this run wrote once more.
    fn finish(&self) -> Result<(), Error> {
        let known: Vec<Arc<Registry>> = lock(&self.known).values().cloned().collect();
        known.iter().try_for_each(|registry| self.shown(registry.settle()))
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
        self.ask(repository, |registry| registry.may_pull(repository))
    }

    fn may_push(&self, repository: &Repository) -> Result<(), Error> {
        self.ask(repository, |registry| registry.may_push(repository))
    }

    fn may_send(&self, repository: &Repository, first: &Descriptor) -> Result<bool, Error> {
        self.ask(repository, |registry| registry.may_send(repository, first))
    }

    fn release(&self) {
        let known: Vec<Arc<Registry>> = lock(&self.known).values().cloned().collect();
        known.iter().for_each(|registry| registry.release());
    }
}

impl Mounts for Registries {
    fn mount(&self, repository: &Repository, blob: &Descriptor, from: &Repository) -> Result<bool, Error> {
        self.ask(repository, |registry| registry.mount(repository, blob, from))
    }
}

impl Lists for Registries {
    fn listed(&self, repository: &Repository, subject: Digest) -> Result<Vec<Digest>, Error> {
        self.ask(repository, |registry| registry.listed(repository, subject))
    }

    fn write(&self, repository: &Repository, subject: Digest) -> Result<(), Error> {
        self.ask(repository, |registry| registry.write_list(repository, subject, Listed::Later))
    }

    fn list_present(&self, repository: &Repository, document: &Document) -> Result<(), Error> {
        let Some(subject) = document.subject() else { return Ok(()) };
        self.ask(repository, |registry| registry.list_present(repository, subject.digest, document, Listed::Now))
    }

    fn note_present(&self, repository: &Repository, document: &Document) -> Result<(), Error> {
        let Some(subject) = document.subject() else { return Ok(()) };
        self.ask(repository, |registry| registry.list_present(repository, subject.digest, document, Listed::Later))
    }
}
