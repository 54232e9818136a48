//! Watchers over directories, with imports that only note what they were asked for.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::base::fault::{Class, Fault};
use crate::bundle::Name;
use crate::content::{Error, Kind};
use crate::flow::{FixedClock, Flow, Silent};
use crate::oci::Digest;
use crate::serve::Pages as _;
use crate::state::Store;
use crate::storage::local::LocalContainer;
use crate::storage::{Condition, Container, Object, Unfinished, Upload, Uploaded};

/// Returns a manifest of volumes of these sizes in bytes.
fn manifest(name: &str, sequence: u64, sizes: &[u64]) -> Vec<u8> {
    let digest = |text: &str| Digest::sha256(text.as_bytes()).to_string();
    let media = "application/vnd.oci.image.manifest.v1+json";
    let frames: Vec<Value> =
        sizes.iter().map(|size| json!({ "digest": digest("f"), "plain": 1000, "size": size })).collect();
    let volumes: Vec<Value> =
        sizes.iter().map(|size| json!({ "digest": digest("v"), "frames": 1, "size": size })).collect();
    let manifest = json!({
        "absent": [], "artifacts": [{
            "digest": digest("a"), "mediaType": media, "repository": "r.example/a", "size": 10, "tags": ["1"],
        }],
        "bases": [], "blobs": [{ "digest": digest("a"), "size": 10 }], "channel": "apps",
        "created": "2026-01-31T12:00:00Z", "epoch": 0, "form": "volumes", "format": "packmule.bundle.v1",
        "frames": frames, "name": name, "requires": [], "sequence": sequence, "tool": "packmule 1", "volumes": volumes,
    });
    crate::oci::canonical::to_vec(&manifest).unwrap()
}

/// Returns the files of a bundle.
fn files(name: &str, sequence: u64, sizes: &[u64]) -> Vec<(String, Vec<u8>)> {
    let volume =
        |(at, size): (usize, &u64)| (format!("{name}.{:04}.tar.zst", at + 1), vec![7; usize::try_from(*size).unwrap()]);
    let head =
        [(format!("{name}.json"), manifest(name, sequence, sizes)), (format!("{name}.sig.json"), b"{}".to_vec())];
    sizes.iter().enumerate().map(volume).chain(head).collect()
}

fn write(dir: &Path, files: &[(String, Vec<u8>)]) {
    files.iter().for_each(|(name, bytes)| fs::write(dir.join(name), bytes).unwrap());
}

fn id(dir: &Path, name: &str) -> Digest {
    Digest::sha256(&fs::read(dir.join(format!("{name}.json"))).unwrap())
}

/// A directory that may only be listed and read, and counts both.
struct ReadOnly {
    inner: LocalContainer,
    lists: Arc<AtomicUsize>,
    reads: Arc<AtomicUsize>,
}

fn denied<T>() -> Result<T, Error> {
    Err(Error::new(Kind::Denied, "no right for this"))
}

impl Container for ReadOnly {
    fn shown(&self, name: &str) -> String {
        self.inner.shown(name)
    }
    fn head(&self, _: &str) -> Result<Option<Object>, Error> {
        denied()
    }
    fn read_at(&self, name: &str, etag: Option<&str>, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.read_at(name, etag, offset, buffer)
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Object)) -> Result<(), Error> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        self.inner.list(prefix, each)
    }
    fn put(&self, _: &str, _: &[u8], _: &Condition) -> Result<Object, Error> {
        denied()
    }
    fn upload(&self, _: &Upload<'_>, _: &Flow) -> Result<Uploaded, Error> {
        denied()
    }
    fn remove(&self, _: &str) -> Result<(), Error> {
        denied()
    }
    fn unfinished(&self, _: &str) -> Result<Vec<Unfinished>, Error> {
        denied()
    }
    fn discard(&self, _: &Unfinished) -> Result<(), Error> {
        denied()
    }
}

/// Ends of imports, in order; later ones succeed.
#[derive(Clone, Copy)]
enum Next {
    Fails(Class),
    /// Another bundle takes the name before it is opened.
    Replaced(u64),
    /// The process is killed after the import, before its end is known.
    Killed,
}

/// A fake site over a directory.
struct Place {
    dir: std::path::PathBuf,
    imported: RefCell<Vec<(String, Digest)>>,
    next: RefCell<VecDeque<Next>>,
    is_failing: Cell<bool>,
    lists: Arc<AtomicUsize>,
    reads: Arc<AtomicUsize>,
    told: Vec<String>,
    flow: Flow,
    opened: Vec<(String, Duration)>,
    // Number of opens after which the flow is cancelled.
    end: usize,
}

impl Place {
    fn new(dir: &Path, flow: &Flow) -> Self {
        Self {
            dir: dir.to_owned(),
            imported: RefCell::default(),
            next: RefCell::default(),
            is_failing: Cell::new(false),
            lists: Arc::default(),
            reads: Arc::default(),
            told: Vec::new(),
            flow: flow.clone(),
            opened: Vec::new(),
            end: usize::MAX,
        }
    }

    fn names(&self) -> Vec<String> {
        self.imported.borrow().iter().map(|(name, _)| name.clone()).collect()
    }

    fn requests(&self) -> (usize, usize) {
        (self.lists.swap(0, Ordering::SeqCst), self.reads.swap(0, Ordering::SeqCst))
    }
}

impl Site for Place {
    fn open(&mut self, pipeline: &Pipeline) -> Result<Option<Arc<dyn Container>>, Fault> {
        self.opened.push((pipeline.name.clone(), self.flow.clock().elapsed()));
        if self.opened.len() >= self.end {
            self.flow.cancel_flag().store(true, Ordering::SeqCst);
        }
        if self.is_failing.get() || pipeline.source.contains("broken") {
            return Err(Fault::new(Class::Source, "503"));
        }
        if !self.dir.is_dir() {
            return Ok(None);
        }
        let inner = LocalContainer::open(&self.dir, "").unwrap();
        Ok(Some(Arc::new(ReadOnly { inner, lists: Arc::clone(&self.lists), reads: Arc::clone(&self.reads) })))
    }

    fn import(&mut self, _: &Pipeline, bundle: &Name) -> Ran {
        let next = self.next.borrow_mut().pop_front();
        if let Some(Next::Replaced(sequence)) = next {
            write(&self.dir, &files(bundle.as_str(), sequence, &[5]));
        }
        let id = id(&self.dir, bundle.as_str());
        let ended = match next {
            Some(Next::Fails(class)) => Err(Fault::new(class, "did not work: https://u:canary@r.example/")),
            _ => Ok(()),
        };
        if ended.is_ok() {
            self.imported.borrow_mut().push((bundle.as_str().to_owned(), id));
        }
        if matches!(next, Some(Next::Killed)) {
            std::panic::panic_any("killed");
        }
        Ran { run: None, bundle: Some(id), ended }
    }

    fn tell(&mut self, line: &str, _: Value) {
        self.told.push(line.to_owned());
    }
}

/// A container, a state, and a clock.
struct Setting {
    _dir: tempfile::TempDir,
    container: std::path::PathBuf,
    store: Store,
    flow: Flow,
    pipeline: Pipeline,
}

impl Setting {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let container = dir.path().join("container");
        fs::create_dir(&container).unwrap();
        let store = Store::new(dir.path().join("state"), String::new());
        let flow = Flow::new(Arc::new(Silent), Arc::new(FixedClock::at(1_800_000_000)), 2, 1);
        Self { _dir: dir, container, store, flow, pipeline: pipeline("import.dark") }
    }

    fn place(&self) -> Place {
        Place::new(&self.container, &self.flow)
    }

    /// Makes one look as a process of its own.
    fn look(&self, place: &mut Place) -> (Looked, Vec<Fault>) {
        let pipelines = [self.pipeline.clone()];
        let board = Board::new(&pipelines);
        let (mut all, faults) = Watcher::new(&self.store, &board, &self.flow).once(&pipelines, place);
        (all.pop().map(|(_, looked)| looked).unwrap_or_default(), faults)
    }

    fn pass(&self, seconds: u64) {
        self.flow.clock().sleep(Duration::from_secs(seconds));
    }
}

fn pipeline(name: &str) -> Pipeline {
    Pipeline {
        name: name.to_owned(),
        source: "storage:dark".to_owned(),
        target: "r.example/mirror".to_owned(),
        interval: Duration::from_secs(30),
    }
}

fn orders<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for first in 0..items.len() {
        let mut rest = items.to_vec();
        let head = rest.remove(first);
        all.extend(orders(&rest).into_iter().map(|rest| [vec![head.clone()], rest].concat()));
    }
    all
}

#[test]
fn t9_a_bundle_is_imported_once_when_its_last_byte_is_there_in_every_order_of_arrival() {
    for order in orders(&files("b", 1, &[3, 4])) {
        let setting = Setting::new();
        let (mut place, last) = (setting.place(), order.len() - 1);
        for (at, (name, bytes)) in order.iter().enumerate() {
            // A plain copy: the name is there before its bytes are.
            for end in [0, bytes.len() / 2, bytes.len() - 1] {
                fs::write(setting.container.join(name), &bytes[..end]).unwrap();
                let is_whole_to_us = end > 0 && name == "b.sig.json" && at == last;
                if !is_whole_to_us {
                    assert_eq!(setting.look(&mut place).0.imported, 0, "{name} {end}");
                }
            }
            fs::write(setting.container.join(name), bytes).unwrap();
            let (looked, faults) = setting.look(&mut place);
            assert_eq!((looked.imported, faults), (u64::from(at == last), Vec::new()), "{name}");
        }
        assert_eq!(setting.look(&mut place).0, Looked { settled: 1, ..Looked::default() });
        assert_eq!(place.names(), ["b"]);
    }
}

#[test]
fn t9_names_that_copy_tools_use_on_the_way_are_ignored() {
    let setting = Setting::new();
    let mut place = setting.place();
    let ways: [fn(&str) -> String; 9] = [
        |name| format!("{name}.partial"),
        |name| format!("{name}.1a2b3c4d.partial"),
        |name| format!(".{name}.Xy12Zz"),
        |name| format!("{name}.tmp"),
        |name| format!("{name}.filepart"),
        |name| format!("{name}.crdownload"),
        |name| format!(".azDownload-5b1c-{name}"),
        |name| format!("~{name}"),
        |name| format!("{name} (1)"),
    ];
    for way in ways {
        let renamed: Vec<_> = files("b", 1, &[3]).into_iter().map(|(name, bytes)| (way(&name), bytes)).collect();
        write(&setting.container, &renamed);
    }
    fs::write(setting.container.join("notes.json"), "{\"a\": 1}").unwrap();
    fs::create_dir(setting.container.join("old")).unwrap();
    write(&setting.container.join("old"), &files("b", 1, &[3]));
    let (looked, faults) = setting.look(&mut place);
    assert_eq!((looked, faults), (Looked { arriving: 1, ..Looked::default() }, Vec::new()), "notes.json");
    for (name, _) in files("b", 1, &[3]) {
        fs::rename(setting.container.join(format!("{name}.partial")), setting.container.join(&name)).unwrap();
    }
    assert_eq!(setting.look(&mut place).0.imported, 1);
}

#[test]
fn t10_a_new_id_under_the_same_name_runs_again_and_a_known_one_never_does() {
    let setting = Setting::new();
    let mut place = setting.place();
    write(&setting.container, &files("b", 1, &[3]));
    assert_eq!(setting.look(&mut place).0.imported, 1);
    // Each look is a process of its own: nothing but the ledger is kept.
    assert_eq!(setting.look(&mut place).0, Looked { settled: 1, ..Looked::default() });
    write(&setting.container, &files("b", 2, &[4]));
    assert_eq!(setting.look(&mut place).0.imported, 1);
    // The first one comes back, under its name after a while, and with other times.
    write(&setting.container, &files("b", 1, &[3]));
    assert_eq!(setting.look(&mut place).0, Looked { settled: 1, ..Looked::default() });
    fs::remove_dir_all(&setting.container).unwrap();
    fs::create_dir(&setting.container).unwrap();
    assert_eq!(setting.look(&mut place).0, Looked::default());
    write(&setting.container, &files("b", 2, &[4]));
    assert_eq!(setting.look(&mut place).0, Looked { settled: 1, ..Looked::default() });
    assert_eq!(place.names(), ["b", "b"]);
    let ids: Vec<Digest> = place.imported.borrow().iter().map(|(_, id)| *id).collect();
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn t10_an_imported_id_is_skipped_under_every_name_that_names_it() {
    let setting = Setting::new();
    let mut place = setting.place();
    write(&setting.container, &files("b", 1, &[3]));
    setting.look(&mut place);
    let seat = setting.store.ledger("import.dark").unwrap();
    let mut ledger = seat.load().unwrap().unwrap();
    // A manifest names its bundle, so another name has another id: the ledger's says that this one is known.
    write(&setting.container, &files("c", 1, &[3]));
    ledger.ids.insert(id(&setting.container, "c"), crate::base::time::Moment::clamped(0));
    seat.store(&mut ledger).unwrap();
    drop(seat);
    assert_eq!(setting.look(&mut place).0, Looked { settled: 2, ..Looked::default() });
    assert_eq!(place.names(), ["b"]);
}

#[test]
fn t10_another_destination_gets_everything_and_another_source_nothing_twice() {
    let mut setting = Setting::new();
    let mut place = setting.place();
    write(&setting.container, &files("b", 1, &[3]));
    assert_eq!(setting.look(&mut place).0.imported, 1);
    setting.pipeline.source = "storage:other".to_owned();
    assert_eq!(setting.look(&mut place).0, Looked { settled: 1, ..Looked::default() });
    setting.pipeline.target = "r.example/other".to_owned();
    assert_eq!(setting.look(&mut place).0.imported, 1);
}

#[test]
fn t10_a_bundle_replaced_before_it_is_opened_is_settled_by_what_was_imported() {
    let setting = Setting::new();
    let mut place = setting.place();
    write(&setting.container, &files("b", 1, &[3]));
    place.next.borrow_mut().push_back(Next::Replaced(2));
    assert_eq!(setting.look(&mut place).0.imported, 1);
    assert_eq!(setting.look(&mut place).0, Looked { settled: 1, ..Looked::default() }, "the second one was imported");
    write(&setting.container, &files("b", 1, &[3]));
    assert_eq!(setting.look(&mut place).0.imported, 1, "the first one was not");
}

#[test]
fn t9_a_look_is_one_list_and_reads_no_manifest_that_did_not_change() {
    let setting = Setting::new();
    let (mut place, pipelines) = (setting.place(), [setting.pipeline.clone()]);
    let board = Board::new(&pipelines);
    let mut watcher = Watcher::new(&setting.store, &board, &setting.flow);
    let mut look = |place: &mut Place| watcher.look(&pipelines[0], place, &mut Vec::new()).unwrap();
    for number in 0..40 {
        write(&setting.container, &files(&format!("b{number:04}"), number, &[1]));
    }
    assert_eq!(look(&mut place).imported, 40);
    assert_eq!(place.requests(), (1, 40));
    // Arriving, and failed: read once.
    write(&setting.container, &files("arriving", 2000, &[9])[1..]);
    write(&setting.container, &files("failed", 2001, &[9]));
    place.next.borrow_mut().push_back(Next::Fails(Class::Trust));
    let looked = look(&mut place);
    assert_eq!((looked.settled, looked.arriving, looked.failed), (40, 1, 1));
    assert_eq!(place.requests(), (1, 2));
    let looked = look(&mut place);
    assert_eq!((looked.settled, looked.arriving, looked.aside), (40, 1, 1));
    assert_eq!(place.requests(), (1, 0));
    // Another process reads only what is not settled.
    assert_eq!(setting.look(&mut place).0.settled, 40);
    assert_eq!(place.requests(), (1, 2));
}

#[test]
fn t9_a_bundle_that_fails_is_put_aside_with_growing_pauses_across_restarts() {
    let setting = Setting::new();
    let mut place = setting.place();
    write(&setting.container, &files("b", 1, &[3]));
    write(&setting.container, &files("good", 2, &[3]));
    for pause in [30, 60, 120, 240] {
        place.next.borrow_mut().push_back(Next::Fails(Class::Trust));
        let (looked, faults) = setting.look(&mut place);
        assert_eq!((looked.failed, faults[0].class), (1, Class::Trust));
        assert!(place.told.iter().any(|line| line.contains("put b aside until 2027")), "{:?}", place.told);
        let told = format!("{:?}", place.told);
        assert!(!told.contains("canary"), "{told}");
        // It is left alone until its time, and said to be so.
        setting.pass(pause - 1);
        let (looked, faults) = setting.look(&mut place);
        assert_eq!((looked.failed, looked.aside), (0, 1));
        assert_eq!(faults.iter().map(|fault| fault.class).collect::<Vec<_>>(), [Class::Partial]);
        setting.pass(1);
    }
    assert_eq!(place.names(), ["good"], "others go on");
    assert_eq!(setting.look(&mut place).0, Looked { imported: 1, settled: 1, ..Looked::default() });
    assert_eq!(setting.look(&mut place), (Looked { settled: 2, ..Looked::default() }, Vec::new()));
}

#[test]
fn t9_a_bundle_put_aside_is_tried_at_once_when_a_file_of_it_changes() {
    let setting = Setting::new();
    let mut place = setting.place();
    for (name, bytes) in [("b.sig.json", &b"{\"a\":1}"[..]), ("b.0001.tar.zst", b"123"), ("b.sha256", b"x")] {
        write(&setting.container, &files("b", 1, &[3]));
        place.next.borrow_mut().push_back(Next::Fails(Class::Integrity));
        assert_eq!(setting.look(&mut place).0.failed, 1);
        assert_eq!(setting.look(&mut place).0.aside, 1);
        // It may have been complete by its sizes alone: some tools make a file long before they fill it.
        fs::write(setting.container.join(name), bytes).unwrap();
        assert_eq!(setting.look(&mut place).0.imported, 1, "{name}");
        fs::remove_dir_all(setting.store.dir()).unwrap();
    }
    // A bundle that goes away is forgotten.
    write(&setting.container, &files("b", 1, &[3]));
    place.next.borrow_mut().push_back(Next::Fails(Class::Integrity));
    assert_eq!(setting.look(&mut place).0.failed, 1);
    fs::remove_file(setting.container.join("b.json")).unwrap();
    assert_eq!(setting.look(&mut place), (Looked { arriving: 1, ..Looked::default() }, Vec::new()));
}

#[test]
fn t9_bundles_of_a_channel_go_in_their_order_and_release_those_that_waited_for_them() {
    let setting = Setting::new();
    let mut place = setting.place();
    for (name, sequence) in [("a", 30), ("b", 2), ("c", 100), ("d", 1)] {
        write(&setting.container, &files(name, sequence, &[3]));
    }
    assert_eq!(setting.look(&mut place).0.imported, 4);
    assert_eq!(place.names(), ["d", "b", "a", "c"]);
    // 102 came before 101, which is missing.
    write(&setting.container, &files("f", 102, &[3]));
    place.next.borrow_mut().push_back(Next::Fails(Class::Policy));
    assert_eq!(setting.look(&mut place).0.failed, 1);
    write(&setting.container, &files("e", 101, &[3]));
    assert_eq!(setting.look(&mut place).0.imported, 1);
    assert_eq!(setting.look(&mut place).0.imported, 1);
    assert_eq!(place.names()[4..], ["e", "f"]);
}

#[test]
fn t9_places_that_fail_end_a_look_early_and_a_lock_is_no_failure_of_a_bundle() {
    let setting = Setting::new();
    let mut place = setting.place();
    for number in 0..9 {
        write(&setting.container, &files(&format!("b{number}"), number, &[3]));
    }
    place.next.borrow_mut().extend([Next::Fails(Class::Destination); 9]);
    let (looked, faults) = setting.look(&mut place);
    assert_eq!((looked.failed, faults.len()), (3, 3));
    place.next.borrow_mut().clear();
    place.next.borrow_mut().push_back(Next::Fails(Class::Lock));
    let (looked, faults) = setting.look(&mut place);
    assert_eq!((looked.imported, looked.failed, looked.aside), (5, 0, 3));
    assert_eq!(faults[0].class, Class::Lock);
    assert_eq!(setting.look(&mut place).0.imported, 1, "at the next look, without a pause");
}

#[test]
fn t9_a_cancelled_import_is_neither_imported_nor_put_aside() {
    let setting = Setting::new();
    let mut place = setting.place();
    write(&setting.container, &files("b", 1, &[3]));
    place.next.borrow_mut().push_back(Next::Fails(Class::Cancelled));
    let (_, faults) = setting.look(&mut place);
    assert_eq!(faults.iter().map(|fault| fault.class).collect::<Vec<_>>(), [Class::Cancelled]);
    assert_eq!(setting.look(&mut place).0.imported, 1);
}

#[test]
fn t9_a_killed_watcher_repeats_at_most_the_last_import() {
    let setting = Setting::new();
    let mut place = setting.place();
    for number in 0..3 {
        write(&setting.container, &files(&format!("b{number}"), number, &[3]));
    }
    for _ in 0..3 {
        place.next.borrow_mut().push_back(Next::Killed);
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| setting.look(&mut place)));
        assert!(killed.is_err());
    }
    assert_eq!(setting.look(&mut place).0.imported, 3);
    assert_eq!(place.names(), ["b0", "b0", "b0", "b0", "b1", "b2"]);
}

#[test]
fn t9_watchers_meet_harmlessly() {
    let setting = Setting::new();
    write(&setting.container, &files("b", 1, &[3]));
    // With one state: one at a time.
    let seat = setting.store.ledger("import.dark").unwrap();
    let (_, faults) = setting.look(&mut setting.place());
    assert_eq!(faults.iter().map(|fault| fault.class).collect::<Vec<_>>(), [Class::Lock]);
    drop(seat);
    let mut one = setting.place();
    assert_eq!(setting.look(&mut one).0.imported, 1);
    // With another state, on another machine: it imports what the first one did, once.
    let other = Setting { store: Store::new(setting.container.with_file_name("other"), String::new()), ..setting };
    let mut two = other.place();
    assert_eq!(other.look(&mut two).0.imported, 1);
    assert_eq!(other.look(&mut two).0, Looked { settled: 1, ..Looked::default() });
    assert_eq!(*one.imported.borrow(), *two.imported.borrow());
}

#[test]
fn t9_a_directory_appears_and_goes() {
    let setting = Setting::new();
    fs::remove_dir(&setting.container).unwrap();
    let mut place = setting.place();
    let (looked, faults) = setting.look(&mut place);
    assert!(looked.is_absent && faults[0].class == Class::Io, "a single look says so");
    fs::create_dir(&setting.container).unwrap();
    write(&setting.container, &files("b", 1, &[3]));
    assert_eq!(setting.look(&mut place).0.imported, 1);
    let away = setting.container.with_file_name("away");
    fs::rename(&setting.container, &away).unwrap();
    assert!(setting.look(&mut place).0.is_absent);
    fs::rename(&away, &setting.container).unwrap();
    assert_eq!(setting.look(&mut place), (Looked { settled: 1, ..Looked::default() }, Vec::new()));
    assert_eq!(place.names(), ["b"]);
}

#[test]
fn t9_a_storage_that_fails_is_left_alone_longer_and_others_are_not() {
    let setting = Setting::new();
    let mut place = setting.place();
    place.end = 60;
    let broken = |name: &str| Pipeline { source: "storage:broken".to_owned(), ..pipeline(name) };
    let pipelines = [pipeline("good"), broken("one"), broken("two")];
    let board = Board::new(&pipelines);
    Watcher::new(&setting.store, &board, &setting.flow).run(&pipelines, &mut place);
    let times = |name: &str| -> Vec<u64> {
        place.opened.iter().filter(|(one, _)| one == name).map(|(_, at)| at.as_secs()).collect()
    };
    let good = times("good");
    assert!(good.windows(2).all(|pair| pair[1] - pair[0] == 30), "{good:?}");
    let mut both: Vec<u64> = times("one").into_iter().chain(times("two")).collect();
    both.sort_unstable();
    let pauses: Vec<u64> = both.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses[..5], [30, 60, 120, 240, 480], "both together");
    assert!(board.entries()["one"].error.as_deref() == Some("503"));
    assert!(place.told.iter().any(|line| line.contains("pipeline one: 503")));
}

#[test]
fn t9_health_metrics_and_status_say_what_goes_on() {
    let setting = Setting::new();
    let (mut place, pipelines) = (setting.place(), [setting.pipeline.clone()]);
    let board = Arc::new(Board::new(&pipelines));
    write(&setting.container, &files("bad", 1, &[3]));
    write(&setting.container, &files("good", 2, &[3]));
    write(&setting.container, &files("half", 3, &[3, 4])[1..]);
    place.next.borrow_mut().push_back(Next::Fails(Class::Trust));
    Watcher::new(&setting.store, &board, &setting.flow).once(&pipelines, &mut place);
    let pages = StatusPages { board, runs: setting.store.runs(), flow: setting.flow.clone() };
    assert_eq!(pages.page("/healthz").unwrap().1, "ok\n");
    let metrics = pages.page("/metrics").unwrap().1;
    for line in ["looks_total", "bundles_failed", "bundles_arriving", "bundles_settled"] {
        let line = format!("packmule_watch_{line}{{pipeline=\"import.dark\"}} 1");
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    let html = pages.page("/").unwrap().1;
    for part in ["bad</h3>", "trust</strong>: did not work", "half<dd>missing half.0001.tar.zst", "storage:dark"] {
        assert!(html.contains(part), "{part}\n{html}");
    }
    assert!(!html.contains("canary") && !html.contains("<script"));
    assert!(pages.page("/other").is_none());
}
