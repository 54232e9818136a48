//! Writes manifests and their names to the store after they were answered: a client need not wait until
//! they are durable.
//!
//! Until then they are read from here. Several that arrive together are one change of the list of names.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::base::lock::lock;
use crate::content::Error;
use crate::flow::start_apart;
use crate::layout::CacheLayout;
use crate::oci::{Digest, Document, Repository, Tag};

/// Maximum number of bytes of manifests that wait to be written; whoever adds more waits.
const ROOM: u64 = 32 << 20;

/// Entry of the list that a manifest gets.
pub(super) enum Listed {
    Named(Repository, Tag),
    /// Without a name.
    Bare,
    /// Not at all: another manifest names it.
    Below,
}

/// Manifests that are written soon.
pub(super) struct Keeper {
    waiting: Arc<Waiting>,
    thread: Option<JoinHandle<()>>,
}

struct Waiting {
    state: Mutex<State>,
    changed: Condvar,
    store: Arc<CacheLayout>,
    failed: Box<dyn Fn(Error) + Send + Sync>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<(Listed, Arc<Document>)>,
    // Of the jobs, also of those that are being written.
    fresh: HashMap<Digest, Arc<Document>>,
    bytes: u64,
    is_writing: bool,
    is_over: bool,
}

impl Keeper {
    /// Starts to write to `store`. `failed` receives errors.
    pub(super) fn new(store: Arc<CacheLayout>, failed: Box<dyn Fn(Error) + Send + Sync>) -> Self {
        let waiting = Arc::new(Waiting { state: Mutex::default(), changed: Condvar::new(), store, failed });
        let own = Arc::clone(&waiting);
        // Without a thread, everything is written when it is added.
        let thread = start_apart("keeper", move || while own.round() {}).ok();
        Self { waiting, thread }
    }

    /// Keeps a manifest, which was checked.
    pub(super) fn add(&self, listed: Listed, document: &Arc<Document>) {
        let Waiting { state, changed, .. } = &*self.waiting;
        if self.thread.is_none() {
            self.waiting.write(&[(listed, Arc::clone(document))]);
            return;
        }
        let is_full = |state: &mut State| state.bytes > ROOM;
        let mut state = changed.wait_while(lock(state), is_full).unwrap_or_else(PoisonError::into_inner);
        state.bytes += document.size();
        state.fresh.insert(document.digest(), Arc::clone(document));
        state.jobs.push_back((listed, Arc::clone(document)));
        drop(state);
        changed.notify_all();
    }

    /// Returns a manifest that is not written yet.
    pub(super) fn fresh(&self, digest: Digest) -> Option<Arc<Document>> {
        lock(&self.waiting.state).fresh.get(&digest).cloned()
    }

    /// Waits until everything is written.
    pub(super) fn settle(&self) {
        let Waiting { state, changed, .. } = &*self.waiting;
        let is_busy = |state: &mut State| !state.jobs.is_empty() || state.is_writing;
        drop(changed.wait_while(lock(state), is_busy).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        lock(&self.waiting.state).is_over = true;
        self.waiting.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // Ignore a panic: what was not written is fetched again.
            let _ = thread.join();
        }
    }
}

impl Waiting {
    /// Writes what waits, or waits. Returns whether there may be more.
    fn round(&self) -> bool {
        let is_idle = |state: &mut State| state.jobs.is_empty() && !state.is_over;
        let mut state = self.changed.wait_while(lock(&self.state), is_idle).unwrap_or_else(PoisonError::into_inner);
        let jobs: Vec<(Listed, Arc<Document>)> = state.jobs.drain(..).collect();
        if jobs.is_empty() {
            return false;
        }
        state.is_writing = true;
        drop(state);
        self.write(&jobs);
        let mut state = lock(&self.state);
        state.is_writing = false;
        for (_, document) in &jobs {
            state.bytes = state.bytes.saturating_sub(document.size());
        }
        let State { jobs: later, fresh, .. } = &mut *state;
        fresh.retain(|digest, _| later.iter().any(|(_, document)| document.digest() == *digest));
        drop(state);
        self.changed.notify_all();
        true
    }

    fn write(&self, jobs: &[(Listed, Arc<Document>)]) {
        let mut names = Vec::new();
        for (listed, document) in jobs {
            match (self.store.keep(document), listed) {
                (Err(error), _) => (self.failed)(error),
                (Ok(()), Listed::Named(repository, tag)) => names.push((Some((repository, tag)), &**document)),
                (Ok(()), Listed::Bare) => names.push((None, &**document)),
                (Ok(()), Listed::Below) => {}
            }
        }
        if let Some(error) = self.store.name(&names).err() {
            (self.failed)(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type::OCI_MANIFEST;

    fn document(note: u32) -> Arc<Document> {
        let config = serde_json::json!({"mediaType": "a/b", "digest": Digest::sha256(b"{}"), "size": 2});
        let json = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "annotations": {"n": note.to_string()}});
        Arc::new(Document::parse(OCI_MANIFEST, json.to_string().into_bytes()).unwrap())
    }

    #[test]
    fn what_was_added_is_there_at_once_and_on_the_disk_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let (opened, _) = CacheLayout::open(dir.path(), None).unwrap();
        let keeper = Keeper::new(Arc::clone(&opened), Box::new(|error| panic!("{error}")));
        let (repository, tag) = (Repository::exact("reg.example/a").unwrap(), Tag::new("1").unwrap());
        let all: Vec<Arc<Document>> = (0..50).map(document).collect();
        for one in &all {
            keeper.add(Listed::Named(repository.clone(), tag.clone()), one);
            assert!(keeper.fresh(one.digest()).is_some() || opened.size(one.digest()).is_some());
        }
        keeper.add(Listed::Bare, &all[0]);
        keeper.settle();
        assert!(all.iter().all(|one| opened.size(one.digest()).is_some() && keeper.fresh(one.digest()).is_none()));
        keeper.add(Listed::Below, &document(99));
        drop((keeper, opened));
        let (again, listed) = CacheLayout::open(dir.path(), None).unwrap();
        let named: Vec<Digest> =
            listed.iter().filter(|name| name.tag.is_some()).map(|name| name.descriptor.digest).collect();
        assert_eq!(named, [all[49].digest()], "the last one has the name");
        assert!(listed.iter().any(|name| name.tag.is_none() && name.descriptor.digest == all[0].digest()));
        assert!(again.size(document(99).digest()).is_some(), "written before the end");
    }
}
