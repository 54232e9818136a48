//! A directory as a container, in process: what every kind of container must do, and overwrites that end
//! at each step.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use packmule::base::fault::Class;
use packmule::bundle::volumes::local::Directories;
use packmule::bundle::{Name, open_at};
use packmule::content::{Error, Kind};
use packmule::flow::Flow;
use packmule::operate::transfer::upload::{self, Request};
use packmule::storage::local::LocalContainer;
use packmule::storage::{Condition, Container, Object, Unfinished, Upload, Uploaded};

use super::containers::{bundles, container, suite};
use super::world::dir;

#[test]
fn every_check_of_containers_holds_for_a_directory() {
    let open = |test: &str, prefix: &str| LocalContainer::open(&container(test).0, prefix).unwrap();
    suite::small_objects(&open("suite-small", ""));
    suite::small_objects(&open("suite-below", "team/apps"));
    suite::long_lists(&open("suite-lists", ""), 300);
    suite::large_objects(&open("suite-large", "x"), 9_000_001);
    suite::resumed(&open("suite-resumed", ""), 9_000_001);
    suite::discarded(&open("suite-discarded", ""), 9_000_001);
    suite::wrong_content(&open("suite-wrong", ""));
}

/// A container that fails for good after some changes, and never removes anything.
struct Dying {
    inner: LocalContainer,
    left: AtomicUsize,
}

impl Dying {
    fn step(&self) -> Result<(), Error> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(Error::new(Kind::Failed, "connection lost"));
        }
        self.left.store(left - 1, Ordering::SeqCst);
        Ok(())
    }
}

impl Container for Dying {
    fn shown(&self, name: &str) -> String {
        self.inner.shown(name)
    }
    fn head(&self, name: &str) -> Result<Option<Object>, Error> {
        self.inner.head(name)
    }
    fn read_at(&self, name: &str, etag: Option<&str>, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.inner.read_at(name, etag, offset, buffer)
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Object)) -> Result<(), Error> {
        self.inner.list(prefix, each)
    }
    fn put(&self, name: &str, content: &[u8], condition: &Condition) -> Result<Object, Error> {
        self.step()?;
        self.inner.put(name, content, condition)
    }
    fn upload(&self, upload: &Upload<'_>, flow: &Flow) -> Result<Uploaded, Error> {
        self.step()?;
        self.inner.upload(upload, flow)
    }
    fn remove(&self, name: &str) -> Result<(), Error> {
        Err(Error::new(Kind::Denied, format!("{name}: no right to remove")))
    }
    fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>, Error> {
        self.inner.unfinished(prefix)
    }
    fn discard(&self, unfinished: &Unfinished) -> Result<(), Error> {
        self.inner.discard(unfinished)
    }
}

/// Id of the bundle in the container, whose volumes must all be its own; `None` without a bundle.
fn id_of(container: &Arc<Dying>, flow: &Flow) -> Option<String> {
    let name = Name::new("b").unwrap();
    let files = upload::files(Arc::clone(container) as Arc<dyn Container>, &name, flow);
    let bundle = match open_at(files, name) {
        Ok(bundle) => bundle.assume().unwrap(),
        Err(fault) => {
            assert_eq!(fault.class, Class::Io, "{}", fault.what);
            return None;
        }
    };
    packmule::bundle::check::parallel::check(&bundle, flow, false).map_err(|refusal| refusal.fault).unwrap();
    Some(bundle.id().to_string())
}

#[test]
fn t11_t13_an_overwrite_that_ends_anywhere_never_leaves_a_mixed_bundle() {
    let (large, small) = bundles();
    let (flow, _) = suite::flow();
    let name = Name::new("b").unwrap();
    let request = |bundle: &str, container: &Arc<Dying>| Request {
        source: Arc::new(Directories::new(vec![dir().join(bundle).parent().unwrap().to_owned()])),
        name: name.clone(),
        container: Arc::clone(container) as Arc<dyn Container>,
        overwrite: true,
        stage: "uploading",
    };
    for (test, old, new) in [("mixed-less", large, small), ("mixed-more", small, large)] {
        let mut ended = Vec::new();
        for steps in 0.. {
            let (folder, _) = container(test);
            let store = Dying { inner: LocalContainer::open(&folder, "").unwrap(), left: usize::MAX.into() };
            let store = Arc::new(store);
            let first = upload::run(&flow, &request(old, &store)).unwrap().id.to_string();
            store.left.store(steps, Ordering::SeqCst);
            let done = upload::run(&flow, &request(new, &store));
            let found = id_of(&store, &flow);
            store.left.store(usize::MAX, Ordering::SeqCst);
            match done {
                Ok(done) => {
                    assert_eq!(found, Some(done.id.to_string()));
                    ended.push("new");
                    break;
                }
                Err(fault) => {
                    assert_eq!(fault.class, Class::Destination, "{}", fault.what);
                    assert!(found.is_none() || (steps == 0 && found == Some(first)), "{steps}: {found:?}");
                    ended.push(if found.is_some() { "old" } else { "none" });
                }
            }
            let second = upload::run(&flow, &request(new, &store)).unwrap();
            assert_eq!(id_of(&store, &flow), Some(second.id.to_string()), "{steps}");
        }
        assert!(ended.len() > 4 && ended[0] == "old" && ended[1] == "none", "{ended:?}");
    }
}
