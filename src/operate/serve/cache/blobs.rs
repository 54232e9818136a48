//! Blobs of a cache: each is fetched once, checked while it is written, and sent to every client that
//! asks meanwhile.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::base::lock::lock;
use crate::content::checked::Checked;
use crate::content::{Error, Kind, Source};
use crate::flow::{Flow, start_apart};
use crate::layout::{CacheLayout, Incoming};
use crate::oci::{Descriptor, Digest, Repository};
use crate::serve::{Arrival, Arriving};

/// Maximum number of blobs that are fetched from one host at once; others wait.
const FETCHES: usize = 16;
/// Number of bytes that are read at once.
const PIECE: usize = 128 << 10;

/// A blob that is being fetched.
pub(super) struct Fetch {
    arrival: Arrival,
    stage: Mutex<Stage>,
    changed: Condvar,
}

#[derive(Clone)]
enum Stage {
    /// The upstream was asked.
    Asked,
    /// It sends.
    Open,
    Ended(Result<(), Error>),
}

/// Repository at the upstream, and blob.
type Key = (Repository, Digest);

/// Fetches of a cache.
#[derive(Default)]
pub(super) struct Fetches {
    // By repository, too: an upstream that is slow or lies must not hold up the clients of another one.
    open: Mutex<HashMap<Key, Arc<Fetch>>>,
    // Number of blobs that are fetched, by host.
    busy: Mutex<HashMap<String, usize>>,
    free: Condvar,
}

impl Fetch {
    fn set(&self, stage: Stage) {
        *lock(&self.stage) = stage;
        self.changed.notify_all();
    }

    fn wait(&self, is_enough: impl Fn(&Stage) -> bool) -> Stage {
        let mut stage = lock(&self.stage);
        while !is_enough(&stage) {
            stage = self.changed.wait(stage).unwrap_or_else(PoisonError::into_inner);
        }
        stage.clone()
    }

    /// Waits until the upstream sends, and returns the content as it arrives.
    pub(super) fn begun(&self) -> Result<Arrival, Error> {
        match self.wait(|stage| !matches!(stage, Stage::Asked)) {
            Stage::Ended(Err(error)) => Err(error),
            _ => Ok(self.arrival.clone()),
        }
    }

    /// Waits until all of it is kept.
    pub(super) fn ended(&self) -> Result<(), Error> {
        match self.wait(|stage| matches!(stage, Stage::Ended(_))) {
            Stage::Ended(result) => result,
            Stage::Asked | Stage::Open => Ok(()),
        }
    }
}

/// A place among those that fetch.
struct Slot<'a>(&'a Fetches, String);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Some(count) = lock(&self.0.busy).get_mut(&self.1) {
            *count = count.saturating_sub(1);
        }
        self.0.free.notify_all();
    }
}

/// Tells all who wait how a fetch ended, also if it panics.
struct Ending {
    fetches: Arc<Fetches>,
    fetch: Arc<Fetch>,
    key: Key,
    result: Result<(), Error>,
}

impl Ending {
    /// Ends the fetch with its result.
    fn end(mut self, result: Result<(), Error>) {
        self.result = result;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        lock(&self.fetches.open).remove(&self.key);
        let result = std::mem::replace(&mut self.result, Ok(()));
        self.fetch.set(Stage::Ended(result));
    }
}

impl Fetches {
    fn slot(&self, host: &str) -> Slot<'_> {
        let mut busy = lock(&self.busy);
        while busy.get(host).is_some_and(|count| *count >= FETCHES) {
            busy = self.free.wait(busy).unwrap_or_else(PoisonError::into_inner);
        }
        *busy.entry(host.to_owned()).or_default() += 1;
        Slot(self, host.to_owned())
    }

    /// Returns the fetch of a blob: the one that runs, or a new one. `heard` receives its result. `None` if
    /// the blob is kept meanwhile.
    pub(super) fn fetch(
        self: &Arc<Self>,
        (store, flow): (&Arc<CacheLayout>, &Flow),
        source: Arc<dyn Source>,
        repository: &Repository,
        blob: &Descriptor,
        heard: impl FnOnce(&Result<(), Error>) + Send + 'static,
    ) -> Result<Option<Arc<Fetch>>, Error> {
        let mut open = lock(&self.open);
        let key = (repository.clone(), blob.digest);
        if let Some(fetch) = open.get(&key) {
            return Ok(Some(Arc::clone(fetch)));
        }
        // One that ended just now has kept it.
        if store.size(blob.digest).is_some() {
            return Ok(None);
        }
        let incoming = store.begin(blob.digest, blob.size)?;
        let (arriving, arrival) = Arriving::new(blob.digest, blob.size, incoming.reader()?);
        let fetch = Arc::new(Fetch { arrival, stage: Mutex::new(Stage::Asked), changed: Condvar::new() });
        open.insert(key.clone(), Arc::clone(&fetch));
        drop(open);
        let unfinished = Err(Error::new(Kind::Failed, format!("blob {}: not fetched", blob.digest)));
        let ending = Ending { fetches: Arc::clone(self), fetch: Arc::clone(&fetch), key, result: unfinished };
        let (repository, blob, flow) = (repository.clone(), blob.clone(), flow.clone());
        // Without a thread, the ending is dropped with the closure.
        let work = move || {
            let slot = ending.fetches.slot(repository.host());
            let opened = || ending.fetch.set(Stage::Open);
            let result = fetched(&*source, (&repository, &blob), incoming, arriving, &flow, &opened);
            drop(slot);
            heard(&result);
            ending.end(result);
        };
        start_apart("cache", work).map_err(|error| Error::new(Kind::Io, error.to_string()))?;
        Ok(Some(fetch))
    }
}

/// Fetches a blob into its file.
fn fetched(
    source: &dyn Source,
    (repository, blob): (&Repository, &Descriptor),
    mut incoming: Incoming,
    arriving: Arriving,
    flow: &Flow,
    opened: &dyn Fn(),
) -> Result<(), Error> {
    let mut content = Checked::new(source.blob(repository, blob)?, blob.clone());
    let mut buffer = vec![0; PIECE.min(usize::try_from(blob.size).unwrap_or(PIECE)).max(1)];
    let mut is_open = false;
    loop {
        flow.check()?;
        let count = match content.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::from_io(format!("blob {}", blob.digest), error)),
            Ok(count) => count,
        };
        if count == 0 {
            break;
        }
        incoming.write(&buffer[..count])?;
        arriving.written(count as u64);
        if !is_open {
            is_open = true;
            opened();
        }
    }
    incoming.publish()?;
    arriving.whole();
    Ok(())
}
