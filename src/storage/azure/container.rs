//! A container of Azure Blob Storage as [`Container`].
//!
//! Only converts names and conditions, and removes secrets from errors.

use std::sync::Arc;

use super::address::Address;
use super::blocks;
use super::documents::Listed;
use super::service::Service;
use super::signer::Secret;
use super::upload::{MEMORY, upload};
use crate::base::fault::escape;
use crate::base::size;
use crate::base::time::Moment;
use crate::content::{Error, Kind};
use crate::flow::Flow;
use crate::network::access::Access;
use crate::network::clients::Clients;
use crate::network::rate::Limits;
use crate::network::secrets::Redacted;
use crate::storage::budget::Budget;
use crate::storage::{Condition, Container, Needs, Object, Unfinished, Upload, Uploaded};

/// Bytes per second that an upload or download is assumed to reach without a limit, for the warning
/// that a signature ends too early.
const USUAL: u64 = 20 << 20;

/// Everything that a container is opened with.
pub struct Opening {
    /// How requests are signed.
    pub access: Access,
    /// The HTTP clients of the run.
    pub clients: Arc<Clients>,
    /// The rate limits of the run.
    pub limits: Arc<Limits>,
    /// Number of retries of a step.
    pub retries: u32,
}

/// A container of Azure Blob Storage, or the part of it below a prefix.
pub struct Azure {
    service: Service,
    clients: Arc<Clients>,
    least: u64,
    memory: Arc<Budget>,
}

impl Azure {
    /// Opens a container. Does not connect yet.
    ///
    /// # Errors
    /// [`Kind::Policy`] for an access or host settings that cannot be used, [`Kind::Io`] if no
    /// thread can be started.
    pub fn open(address: Address, opening: Opening, flow: Flow) -> Result<Self, Error> {
        let Opening { access, clients, limits, retries } = opening;
        let secrets = Arc::clone(&clients.settings().secrets);
        let flow = flow.with_events(|events| Arc::new(Redacted { events, secrets }));
        let service = Service::new(address, access, Arc::clone(&clients), flow, &limits, retries)?;
        Ok(Self { service, clients, least: blocks::LEAST, memory: Budget::new(MEMORY) })
    }

    /// Sets the least size of a block in bytes, 16 MiB otherwise. Uploads with other sizes do not use
    /// each other's blocks.
    #[must_use]
    pub fn with_block_size(mut self, least: u64) -> Self {
        self.least = least.max(1);
        self
    }

    /// Removes the secrets that were sent from an error.
    fn told<T>(&self, found: Result<T, Error>) -> Result<T, Error> {
        found.map_err(|error| self.clients.settings().secrets.out_of(error))
    }

    fn named(&self, listed: Listed) -> Option<Object> {
        let name = listed.name.strip_prefix(&self.service.address.prefix)?;
        let name = Some(name).filter(|name| !name.is_empty())?.to_owned();
        Some(Object { name, size: listed.size, etag: listed.etag, md5: listed.md5, modified: listed.modified })
    }

    fn each(&self, prefix: &str, uncommitted: bool, each: &mut dyn FnMut(Object)) -> Result<(), Error> {
        let prefix = format!("{}{prefix}", self.service.address.prefix);
        let mut marker: Option<String> = None;
        loop {
            let page = self.service.page(&prefix, marker.as_deref(), uncommitted)?;
            page.objects.into_iter().filter_map(|listed| self.named(listed)).for_each(&mut *each);
            match page.next {
                None => return Ok(()),
                Some(next) if Some(&next) == marker.as_ref() => {
                    return Err(self.service.error(Kind::Failed, "list of objects: the same page comes again"));
                }
                Some(next) => marker = Some(next),
            }
        }
    }

    /// Checks a signature; warns if it ends before the work does.
    fn check_signature(&self, needs: Needs, flow: &Flow) -> Result<(), Error> {
        let Secret::Sas(sas) = self.service.secret()? else { return Ok(()) };
        let now = self.service.flow().clock().unix();
        let missing = sas.missing(needs, self.service.address.is_https(), now);
        if !missing.is_empty() {
            let what = format!("shared access signature: it is not enough: {}", missing.join("; "));
            let (verb, letters) = match (needs.write, needs.remove) {
                (true, _) => ("write", "r, w, l and a"),
                (false, true) => ("remove", "r, l and d"),
                (false, false) => ("read", "r and l"),
            };
            let help =
                format!("to {verb}, make one for the container with the rights {letters}, https, and enough time");
            return Err(self.service.error(Kind::Denied, what).help(help));
        }
        let rate = self.service.limit().unwrap_or(USUAL).max(1);
        let seconds = i64::try_from(needs.bytes / rate).unwrap_or(i64::MAX);
        if let Some(ends) = sas.ends.filter(|ends| *ends < now.saturating_add(seconds)) {
            let shown = Moment::from_unix(ends).map_or_else(String::new, |moment| moment.to_string());
            flow.warn(format!(
                "storage {}: the shared access signature ends at {shown}; {} at {}/s take longer; it is read again then",
                self.service.address.name(),
                size::show(needs.bytes),
                size::show(rate),
            ));
        }
        Ok(())
    }

    /// Removes the uncommitted blocks of an object that has been committed before, by committing the
    /// same blocks again.
    fn drop_blocks(&self, name: &str, object: &Object) -> Result<(), Error> {
        let there = self.service.blocks(name)?;
        if there.uncommitted.is_empty() {
            return Ok(());
        }
        let shown = escape(name);
        let of_blocks: u64 = there.committed.iter().map(|block| block.size).sum();
        match (object.md5, &object.etag) {
            (Some(md5), Some(etag)) if !there.committed.is_empty() && of_blocks == object.size => {
                let unchanged = Condition::Unchanged(etag.clone());
                let ids: Vec<_> = there.committed.iter().map(|block| block.id.as_str()).collect();
                self.service.commit(name, ids.into_iter(), object.size, md5, &unchanged)?;
                Ok(())
            }
            _ => {
                let what = format!("object {shown}: its uncommitted blocks cannot be removed without it");
                Err(self.service.error(Kind::Refused, what).help("wait a week, after which the service removes them"))
            }
        }
    }
}

impl Container for Azure {
    fn shown(&self, name: &str) -> String {
        self.service.address.shown(name)
    }

    fn check_rights(&self, needs: Needs, flow: &Flow) -> Result<(), Error> {
        self.told(self.check_signature(needs, flow))
    }

    fn head(&self, name: &str) -> Result<Option<Object>, Error> {
        self.told(self.service.described(name).map_err(Error::from))
    }

    fn read_at(&self, name: &str, etag: Option<&str>, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.told(self.service.fill(name, etag, offset, buffer))
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Object)) -> Result<(), Error> {
        self.told(self.each(prefix, false, each))
    }

    fn put(&self, name: &str, content: &[u8], condition: &Condition) -> Result<Object, Error> {
        self.told(self.service.put_whole(name, &content.to_vec().into(), condition))
    }

    fn upload(&self, wanted: &Upload<'_>, flow: &Flow) -> Result<Uploaded, Error> {
        self.told(upload(&self.service, wanted, self.least, &self.memory, flow))
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        self.told(self.service.deleted(name))
    }

    fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>, Error> {
        let mut whole = std::collections::HashSet::new();
        self.told(self.each(prefix, false, &mut |object| {
            whole.insert(object.name);
        }))?;
        let mut found = Vec::new();
        self.told(self.each(prefix, true, &mut |object| {
            if !whole.contains(&object.name) {
                found.push(object.name);
            }
        }))?;
        let described = |name: String| {
            let blocks = self.service.blocks(&name)?;
            let size = blocks.uncommitted.iter().map(|block| block.size).sum();
            Ok(Unfinished { name, id: None, size: Some(size) })
        };
        self.told(found.into_iter().map(described).collect())
    }

    fn discard(&self, unfinished: &Unfinished) -> Result<(), Error> {
        let name = &unfinished.name;
        let discarded = || match self.service.described(name)? {
            Some(object) => self.drop_blocks(name, &object),
            None => {
                match self.service.emptied(name, &Condition::Absent) {
                    // The emulator takes an object that has only blocks for one that is there.
                    Err(failure) if failure.trouble.status == Some(409) && self.service.described(name)?.is_none() => {
                        self.service.emptied(name, &Condition::Any)?;
                    }
                    emptied => emptied?,
                }
                self.service.deleted(name)
            }
        };
        self.told(discarded())
    }
}
