//! A container as the store of a new bundle's files.
//!
//! An old manifest of the name is emptied before the first file is sent, and the new one is written
//! last, so that files of two bundles never have a manifest. Needs no right to remove objects:
//! those that must go are emptied.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::volumes::ContainerVolumes;
use super::{Condition, Container, Needs, Object, Upload, Uploaded};
use crate::base::fault::Class;
use crate::base::lock::lock;
use crate::content::store::{Finished, Small, Store, Whole};
use crate::content::volumes::Volumes;
use crate::content::{Error, Kind};
use crate::flow::{Event, Flow};

/// Maximum number of files that are sent at once. The parts of each go in parallel too.
const FILES: usize = 2;

/// Whether a name is that of a file of this bundle, in any version of it.
pub type IsOwn = dyn Fn(&str) -> bool + Send + Sync;

/// The store of one new bundle's files in a container.
pub struct ContainerStore {
    shared: Arc<Shared>,
    stem: String,
    overwrite: bool,
    is_own: Box<IsOwn>,
}

struct Shared {
    container: Arc<dyn Container>,
    flow: Flow,
    // For the uploads themselves.
    uploads: Flow,
    is_quiet: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    begin: Begin,
    sending: usize,
    failed: Option<Error>,
    done: Uploaded,
}

/// State of the manifest in the container.
#[derive(Default)]
enum Begin {
    /// Not looked at since the store was opened.
    #[default]
    Unknown,
    /// There is no bundle: no manifest, or an empty one with this `ETag`.
    Clear(Option<String>),
}

impl ContainerStore {
    /// Returns the store of the bundle whose file names begin with `stem` and a dot. `is_own` says
    /// which of them belong to a bundle of this name. Makes no request yet.
    pub fn new(container: Arc<dyn Container>, stem: &str, overwrite: bool, is_own: Box<IsOwn>, flow: Flow) -> Self {
        let uploads = flow.clone();
        let (state, changed) = (Mutex::default(), Condvar::new());
        let shared = Shared { container, flow, uploads, is_quiet: false, state, changed };
        Self { shared: Arc::new(shared), stem: stem.to_owned(), overwrite, is_own }
    }

    /// Reports no progress of single files, for a caller that reports its own. Only the wait for the
    /// last ones is a stage.
    #[must_use]
    pub fn quiet(self) -> Self {
        let Shared { container, flow, .. } = &*self.shared;
        let (container, flow, uploads) = (Arc::clone(container), flow.clone(), flow.quiet());
        let (state, changed) = (Mutex::default(), Condvar::new());
        let shared = Shared { container, flow, uploads, is_quiet: true, state, changed };
        Self { shared: Arc::new(shared), ..self }
    }

    /// Refuses to go on if there is a bundle that is not to be overwritten.
    ///
    /// # Errors
    /// Class usage for such a bundle; those of the container.
    pub fn check(&self) -> Result<(), Error> {
        self.look().map(drop)
    }

    /// Returns what was sent and kept so far.
    pub fn done(&self) -> Uploaded {
        lock(&self.shared.state).done
    }

    fn manifest(&self) -> String {
        format!("{}.json", self.stem)
    }

    /// Returns the manifest in the container, which may be empty.
    fn look(&self) -> Result<Option<Object>, Error> {
        let container = &*self.shared.container;
        let found = container.head(&self.manifest()).map_err(of_destination)?;
        if found.as_ref().is_some_and(|found| found.size > 0) && !self.overwrite {
            let what = format!("{}: expected no bundle, found one", container.shown(&self.manifest()));
            let help = "use --overwrite to replace it, or choose another name";
            return Err(Error::new(Kind::Content(Class::Usage), what).help(help));
        }
        Ok(found)
    }

    /// Makes sure that there is no bundle of this name: empties its manifest.
    fn begin(&self) -> Result<(), Error> {
        let mut state = lock(&self.shared.state);
        if matches!(state.begin, Begin::Clear(_)) {
            return Ok(());
        }
        let etag = match self.look()? {
            None => None,
            Some(empty) if empty.size == 0 => empty.etag,
            Some(found) => {
                let condition = found.etag.map_or(Condition::Any, Condition::Unchanged);
                let put = self.shared.container.put(&self.manifest(), b"", &condition);
                put.map_err(|error| self.raced(error))?.etag
            }
        };
        state.begin = Begin::Clear(etag);
        Ok(())
    }

    fn raced(&self, error: Error) -> Error {
        if error.class != Kind::Refused {
            return of_destination(error);
        }
        let what = format!(
            "{}: expected nobody else to write this bundle, found another manifest",
            self.shared.container.shown(&self.manifest())
        );
        Error::new(Kind::Content(Class::Destination), what).help("wait for the other run, then start this one again")
    }

    /// Waits for all files that are being sent.
    fn wait(&self) -> Result<(), Error> {
        let mut state = lock(&self.shared.state);
        if state.sending > 0 && self.shared.is_quiet {
            self.shared.flow.event(Event::Stage { name: "uploading", bytes: 0, items: state.sending as u64 });
        }
        while state.sending > 0 {
            state = self.shared.wait(state);
        }
        state.failed.clone().map_or(Ok(()), Err)
    }

    /// Empties the files of an older bundle that are none of this one's.
    fn empty_others(&self, bundle: &Finished) -> Result<(), Error> {
        let container = &*self.shared.container;
        let mut surplus = Vec::new();
        let is_new = |name: &str| {
            let folder = bundle.folder.as_ref().is_some_and(|folder| name.starts_with(&format!("{folder}/")));
            folder || bundle.volumes.iter().any(|own| own == name) || bundle.small.iter().any(|own| own.name == name)
        };
        let mut take = |object: Object| {
            if object.size > 0 && (self.is_own)(&object.name) && !is_new(&object.name) {
                surplus.push(object.name);
            }
        };
        container.list(&format!("{}.", self.stem), &mut take).map_err(of_destination)?;
        surplus.sort();
        for name in surplus {
            self.shared.flow.check()?;
            container.put(&name, b"", &Condition::Any).map_err(of_destination)?;
        }
        Ok(())
    }

    /// Returns whether the container has these very bytes.
    fn has(&self, small: &Small) -> Result<bool, Error> {
        let container = &*self.shared.container;
        let there = container.head(&small.name).map_err(of_destination)?;
        let Some(there) = there.filter(|there| there.size == small.bytes.len() as u64) else { return Ok(false) };
        let mut found = vec![0; small.bytes.len()];
        container.read_at(&small.name, there.etag.as_deref(), 0, &mut found).map_err(of_destination)?;
        Ok(found == small.bytes)
    }

    fn put_manifest(&self, manifest: &Small) -> Result<(), Error> {
        let container = &*self.shared.container;
        let condition = match &lock(&self.shared.state).begin {
            Begin::Clear(Some(etag)) => Condition::Unchanged(etag.clone()),
            Begin::Clear(None) => Condition::Absent,
            Begin::Unknown => Condition::Any,
        };
        match container.put(&manifest.name, &manifest.bytes, &condition) {
            Ok(_) => Ok(()),
            // Another run may have completed the same bundle, or the answer to an earlier try
            // got lost.
            Err(error) if error.class == Kind::Refused && self.has(manifest)? => Ok(()),
            Err(error) => Err(self.raced(error)),
        }
    }
}

impl Shared {
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, file: &Whole) -> Result<Uploaded, Error> {
        let key = format!("{} {}", file.digest, file.name);
        let Whole { name, size, digest, ends, body } = file;
        let upload = Upload { name, size: *size, digest: *digest, key: &key, ends, body: &**body };
        let done = self.container.upload(&upload, &self.uploads).map_err(of_destination)?;
        file.body.release()?;
        Ok(done)
    }

    /// Sends a file, and notes how that ended.
    fn take(&self, file: &Whole) {
        let sent = self.send(file);
        let mut state = lock(&self.state);
        state.sending -= 1;
        match sent {
            Ok(done) => {
                state.done.sent += done.sent;
                state.done.kept += done.kept;
            }
            Err(error) => {
                state.failed.get_or_insert(error);
            }
        }
        drop(state);
        if self.is_quiet {
            self.flow.event(Event::Item(file.name.clone()));
        }
        self.changed.notify_all();
    }
}

/// Gives a failure of the container the class of a destination.
fn of_destination(error: Error) -> Error {
    error.classed(|kind| match kind {
        Kind::Denied | Kind::Refused | Kind::Failed | Kind::Absent | Kind::Mismatch => {
            Kind::Content(Class::Destination)
        }
        other => other,
    })
}

impl Store for ContainerStore {
    /// Sends the file in a thread of its own. Waits while too many others are being sent.
    fn put(&self, file: Whole) -> Result<(), Error> {
        self.begin()?;
        let mut state = lock(&self.shared.state);
        while state.sending >= FILES && state.failed.is_none() {
            state = self.shared.wait(state);
        }
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        self.shared.flow.check()?;
        state.sending += 1;
        drop(state);
        let (shared, sent) = (Arc::clone(&self.shared), file.clone());
        let thread = std::thread::Builder::new().name("upload".into()).spawn(move || shared.take(&sent));
        if thread.is_err() {
            // The system has no more threads.
            self.shared.take(&file);
        }
        Ok(())
    }

    fn expect(&self, bytes: u64) -> Result<(), Error> {
        let needs = Needs { read: true, list: true, write: true, remove: false, bytes };
        self.shared.container.check_rights(needs, &self.shared.flow).map_err(of_destination)
    }

    fn earlier(&self) -> Option<Arc<dyn Volumes>> {
        let container = Arc::clone(&self.shared.container);
        Some(Arc::new(ContainerVolumes::new(container, &self.stem, self.shared.flow.jobs)))
    }

    fn settle(&self, _: &[String]) -> Result<Arc<dyn Volumes>, Error> {
        self.wait()?;
        let container = Arc::clone(&self.shared.container);
        Ok(Arc::new(ContainerVolumes::new(container, &self.stem, self.shared.flow.jobs)))
    }

    fn finish(&self, bundle: &Finished) -> Result<(), Error> {
        self.wait()?;
        let Some((manifest, others)) = bundle.small.split_last() else { return Ok(()) };
        // A run that was killed after its last step is done.
        if self.has(manifest)? {
            return Ok(());
        }
        self.begin()?;
        self.empty_others(bundle)?;
        for small in others {
            self.shared.flow.check()?;
            let put = self.shared.container.put(&small.name, &small.bytes, &Condition::Any);
            put.map_err(of_destination)?;
        }
        self.put_manifest(manifest)
    }

    fn clear(&self) -> Result<(), Error> {
        let container = &*self.shared.container;
        for part in container.unfinished(&format!("{}.", self.stem)).map_err(of_destination)? {
            if (self.is_own)(&part.name) {
                container.discard(&part).map_err(of_destination)?;
            }
        }
        Ok(())
    }
}
