//! Tests of the import, layout to layout, with sources that lie and destinations that fail.

mod bases;
mod ledger;
mod many;
mod once;
mod recheck;
mod sparse;
mod unread;

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::base::fault::{Class, Fault};
use crate::base::lock::lock;
use crate::content::checked::Checked;
use crate::content::{Body, Destination, Error, Inventory, Kind, Mounts, Rights, Source};
use crate::decide::route::{Place, Route};
use crate::decide::select::Referrers;
use crate::flow::{FixedClock, Flow, Silent};
use crate::layout::Layout;
use crate::oci::media_type::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use crate::oci::{Absent, Artifact, Descriptor, Digest, Document, Reason, Reference, Repository, Tag};

fn flow(jobs: usize) -> Flow {
    Flow::new(Arc::new(Silent), Arc::new(FixedClock::default()), jobs, 1)
}

struct Bytes(Vec<u8>, Descriptor);

impl Body for Bytes {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Checked::new(io::Cursor::new(self.0.clone()), self.1.clone())))
    }
}

fn put(layout: &Layout, media_type: &str, content: &[u8]) -> Descriptor {
    let descriptor = Descriptor::new(media_type, Digest::sha256(content), content.len() as u64);
    let body = Bytes(content.to_vec(), descriptor.clone());
    layout.put_blob(layout.repository(), &descriptor, &body).unwrap();
    descriptor
}

fn document(layout: &Layout, media_type: &str, mut json: serde_json::Value) -> Document {
    json["schemaVersion"] = json!(2);
    json["mediaType"] = json!(media_type);
    let document = Document::parse(media_type, serde_json::to_vec(&json).unwrap()).unwrap();
    layout.put_manifest(layout.repository(), &document).unwrap();
    document
}

fn image(layout: &Layout, layers: &[&str]) -> Document {
    let config = put(layout, OCI_CONFIG, layers.concat().as_bytes());
    let layers: Vec<Descriptor> = layers.iter().map(|layer| put(layout, "x/layer", layer.as_bytes())).collect();
    document(layout, OCI_MANIFEST, json!({"config": config, "layers": layers}))
}

fn index(layout: &Layout, children: &[&Document]) -> Document {
    let children: Vec<Descriptor> = children.iter().map(|child| child.descriptor()).collect();
    document(layout, OCI_INDEX, json!({ "manifests": children }))
}

fn repository(text: &str) -> Repository {
    Repository::exact(text).unwrap()
}

fn artifact(name: &str, tags: &[&str], document: &Document) -> Artifact {
    Artifact {
        artifact_type: None,
        digest: document.digest(),
        media_type: document.media_type().to_owned(),
        original: None,
        repository: repository(name),
        size: document.size(),
        source: None,
        subject: document.subject().map(|subject| subject.digest),
        tags: tags.iter().map(|tag| Tag::new(tag).unwrap()).collect(),
    }
}

/// Three repositories with shared layers, an index, and one untagged artifact.
struct Set {
    _folder: TempDir,
    source: Layout,
    artifacts: Vec<Artifact>,
    shared: Digest,
}

fn set() -> Set {
    let folder = TempDir::new().unwrap();
    let source = Layout::create(folder.path()).unwrap();
    let (one, two) = (image(&source, &["base layer", "one"]), image(&source, &["base layer", "two"]));
    let both = index(&source, &[&one, &two]);
    let three = image(&source, &["base layer", "three"]);
    source.finish().unwrap();
    let artifacts = vec![
        artifact("a.example/x", &["v1", "latest"], &both),
        artifact("a.example/x", &[], &one),
        artifact("a.example/y", &["v1"], &three),
        artifact("b.example:5000/z", &["v1"], &two),
    ];
    Set { _folder: folder, source, artifacts, shared: Digest::sha256(b"base layer") }
}

/// A layout that behaves like a registry: every repository has its own blobs, mounts work, and
/// requested failures happen. Tags are visible at once.
struct Rooms {
    _folder: TempDir,
    store: Layout,
    blobs: Mutex<HashSet<(Repository, Digest)>>,
    tags: Mutex<HashMap<String, Digest>>,
    calls: Mutex<Vec<&'static str>>,
    mounts: bool,
    deny: Option<Repository>,
    /// A blob that it accepts and then reports as missing.
    loses: Option<Digest>,
    /// A manifest that it takes and lets nobody read.
    hides: Option<Digest>,
    /// Repositories that report beforehand that they must not be written.
    closed: Vec<Repository>,
    /// Whether it takes an index without all of its manifests; `None` if there must be none.
    sparse: Option<bool>,
}

impl Rooms {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = Layout::create(folder.path()).unwrap();
        let (blobs, tags, calls) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (deny, loses, hides, closed, sparse) = (None, None, None, Vec::new(), None);
        Self { _folder: folder, store, blobs, tags, calls, mounts: true, deny, loses, hides, closed, sparse }
    }

    fn count(&self, call: &str) -> usize {
        lock(&self.calls).iter().filter(|own| **own == call).count()
    }

    fn has(&self, repository: &Repository, digest: Digest) -> bool {
        lock(&self.blobs).contains(&(repository.clone(), digest))
    }

    fn call(&self, name: &'static str) {
        lock(&self.calls).push(name);
    }

    fn add(&self, repository: &Repository, digest: Digest) {
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
    fn has_manifest(&self, repository: &Repository, digest: Digest) -> Result<bool, Error> {
        if self.hides == Some(digest) && self.has(repository, digest) {
            return Err(unread::hidden());
        }
        Ok(self.has(repository, digest))
    }
    fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, Error> {
        Ok(lock(&self.tags).get(&format!("{repository}:{tag}")).copied())
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
        for below in document.references().filter(|_| !lacks || self.sparse.is_none()) {
            assert!(self.has(repository, below.digest), "{} before {}", document.digest(), below.digest);
        }
        self.store.put_manifest(repository, document)?;
        self.add(repository, document.digest());
        Ok(())
    }
    fn set_tag(&self, repository: &Repository, tag: &Tag, document: &Document) -> Result<(), Error> {
        self.call("tag");
        lock(&self.tags).insert(format!("{repository}:{tag}"), document.digest());
        Ok(())
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

/// A source that returns one blob wrongly, or breaks off, or is cancelled while it is read.
struct Liar<'a> {
    inner: &'a Layout,
    about: Digest,
    lie: Lie,
}

enum Lie {
    Flip,
    Short,
    Break,
    BreakOnce(AtomicBool),
    Cancel(Arc<AtomicBool>),
}

struct Breaks;

impl Read for Breaks {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl Source for Liar<'_> {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        self.inner.resolve(reference)
    }
    fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        Source::document(self.inner, repository, descriptor)
    }
    fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        let mut truth = self.inner.blob(repository, descriptor)?;
        if descriptor.digest != self.about {
            return Ok(truth);
        }
        let mut bytes = Vec::new();
        truth.read_to_end(&mut bytes).unwrap();
        match &self.lie {
            Lie::Flip => bytes[3] ^= 1,
            Lie::Short => bytes.truncate(4),
            Lie::Break => return Ok(Box::new(io::Cursor::new(bytes).take(4).chain(Breaks))),
            Lie::BreakOnce(done) if !done.swap(true, Ordering::Relaxed) => return Ok(Box::new(Breaks)),
            Lie::BreakOnce(_) => {}
            Lie::Cancel(flag) => flag.store(true, Ordering::Relaxed),
        }
        Ok(Box::new(io::Cursor::new(bytes)))
    }
    fn holds(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        self.inner.holds(repository, descriptor)
    }
}

/// A check that refuses, or only records whether a tag was set before it.
struct Looks<'a>(&'a Rooms, bool);

impl ImportCheck for Looks<'_> {
    fn before_tags(&self) -> Result<(), Fault> {
        assert_eq!(self.0.count("tag"), 0);
        self.0.call("gate");
        if self.1 { Ok(()) } else { Err(Fault::new(Class::Integrity, "incomplete")) }
    }
}

fn registry_route() -> Route {
    Route::new(Place::registry("reg.site/m").unwrap(), false, Vec::new())
}

fn request<'a>(set: &'a Set, destination: &'a dyn Destination, route: &'a Route) -> Request<'a> {
    Request {
        source: &set.source,
        destination,
        check: &NoCheck,
        artifacts: &set.artifacts,
        absent: &[],
        route,
        tag_conflict: TagConflict::Fail,
        keep_going: false,
        dry_run: false,
        sides: Sides::BUNDLE,
        referrers: &Referrers::All,
        siblings: None,
        wanted: None,
        ledger: None,
    }
}

#[test]
fn everything_arrives_once_and_tags_come_after_the_gate() {
    for jobs in [1, 8] {
        for mounts in [true, false] {
            let (set, route) = (set(), registry_route());
            let rooms = Rooms { mounts, ..Rooms::new() };
            let request = request(&set, &rooms, &route);
            let outcome = run(&flow(jobs), &Request { check: &Looks(&rooms, true), ..request }).unwrap();
            assert!(outcome.is_good());
            assert!(outcome.artifacts.iter().all(|done| done.landed == Landed::Pushed));
            assert_eq!(lock(&rooms.tags).len(), 4);
            // 7 blobs; "base layer" in three repositories, "two" and its config in two.
            assert_eq!(outcome.pushed + outcome.mounted, 11);
            assert_eq!(outcome.mounted, if mounts { 4 } else { 0 });

            let calls = lock(&rooms.calls).len();
            let again = run(&flow(jobs), &request).unwrap();
            assert!(again.artifacts.iter().all(|done| done.landed == Landed::Present));
            assert_eq!((again.pushed, again.mounted, again.bytes), (0, 0, 0));
            assert_eq!(lock(&rooms.calls).len(), calls, "only manifests and tags are queried");
        }
    }
}

#[test]
fn d7_every_repository_that_may_not_be_written_is_told_before_anything_is_sent() {
    let (set, route) = (set(), registry_route());
    let closed: Vec<Repository> = ["reg.site/m/x", "reg.site/m/z"].iter().map(|text| repository(text)).collect();
    let rooms = Rooms { closed: closed.clone(), ..Rooms::new() };
    let fault = run(&flow(4), &request(&set, &rooms, &route)).unwrap_err();
    assert_eq!((fault.class, fault.others.len()), (Class::Destination, 1), "{fault:?}");
    let told: Vec<&str> = std::iter::once(&fault).chain(&fault.others).map(|fault| fault.what.as_str()).collect();
    assert_eq!(told, ["push to reg.site/m/x: not permitted", "push to reg.site/m/z: not permitted"]);
    assert_eq!((rooms.count("rights"), rooms.count("put"), rooms.count("manifest")), (3, 0, 0));
    // A dry run writes nothing, not even to ask; with `keep_going` the others arrive.
    let dry = Request { dry_run: true, ..request(&set, &rooms, &route) };
    run(&flow(4), &dry).unwrap();
    assert_eq!(rooms.count("rights"), 3);
    let others = Request { keep_going: true, ..request(&set, &rooms, &route) };
    let outcome = run(&flow(4), &others).unwrap();
    assert!(!outcome.is_good() && rooms.count("tag") > 0);
    assert!(lock(&rooms.blobs).iter().all(|(repository, _)| !closed.contains(repository)));
}

#[test]
fn a_closed_gate_keeps_every_tag_away() {
    let (set, route, rooms) = (set(), registry_route(), Rooms::new());
    let fault = run(&flow(4), &Request { check: &Looks(&rooms, false), ..request(&set, &rooms, &route) }).unwrap_err();
    assert_eq!(fault.class, Class::Integrity);
    assert_eq!((rooms.count("gate"), rooms.count("tag")), (1, 0));
}

#[test]
fn d12_what_the_source_does_wrong_ends_the_run_without_a_tag() {
    let route = registry_route();
    for keep_going in [false, true] {
        for jobs in [1, 8] {
            for (lie, class) in [(Lie::Flip, Class::Integrity), (Lie::Short, Class::Integrity), (Lie::Break, Class::Io)]
            {
                let (set, rooms) = (set(), Rooms::new());
                let liar = Liar { inner: &set.source, about: set.shared, lie };
                let request = Request { keep_going, ..request(&set, &rooms, &route) };
                let fault = run(&flow(jobs), &Request { source: &liar, ..request }).unwrap_err();
                assert_eq!(fault.class, class, "{fault}");
                assert_eq!(rooms.count("tag") + rooms.count("manifest"), 0);
            }
        }
    }
    let (set, rooms) = (set(), Rooms::new());
    let liar = Liar { inner: &set.source, about: set.shared, lie: Lie::BreakOnce(AtomicBool::new(false)) };
    assert!(run(&flow(2), &Request { source: &liar, ..request(&set, &rooms, &route) }).unwrap().is_good());
}

#[test]
fn a_cancelled_run_ends_as_cancelled() {
    let route = registry_route();
    for jobs in [1, 8] {
        let (set, rooms, flow) = (set(), Rooms::new(), flow(jobs));
        let liar = Liar { inner: &set.source, about: set.shared, lie: Lie::Cancel(flow.cancel_flag()) };
        let request = Request { keep_going: true, ..request(&set, &rooms, &route) };
        let fault = run(&flow, &Request { source: &liar, ..request }).unwrap_err();
        assert_eq!((fault.class, rooms.count("tag")), (Class::Cancelled, 0), "{fault}");
    }
}

#[test]
fn the_destinations_failures_are_recorded_under_keep_going() {
    let (set, route) = (set(), registry_route());
    for jobs in [1, 8] {
        let deny = Some(repository("reg.site/m/y"));
        let rooms = Rooms { mounts: false, deny, ..Rooms::new() };
        let plain = request(&set, &rooms, &route);
        let fault = run(&flow(jobs), &plain).unwrap_err();
        assert_eq!((fault.class, rooms.count("tag")), (Class::Destination, 0));

        let going = Request { keep_going: true, ..plain };
        let outcome = run(&flow(jobs), &going).unwrap();
        let fault = outcome.fault().unwrap();
        assert_eq!((fault.class, fault.others.len()), (Class::Partial, 1));
        let failed: Vec<_> = outcome.artifacts.iter().filter(|done| matches!(done.landed, Landed::Failed(_))).collect();
        assert_eq!((failed.len(), failed[0].repository.to_string().as_str()), (1, "a.example/y"));
        assert!(failed[0].tags.is_empty());
        assert_eq!(lock(&rooms.tags).len(), 3);
    }
}

#[test]
fn tags_that_exist_fail_stay_or_move() {
    let (set, route) = (set(), registry_route());
    let other = Digest::sha256(b"other");
    for conflict in [TagConflict::Fail, TagConflict::Keep, TagConflict::Move] {
        let rooms = Rooms::new();
        for name in ["x:v1", "x:latest", "y:v1"] {
            lock(&rooms.tags).insert(format!("reg.site/m/{name}"), other);
        }
        let request = Request { tag_conflict: conflict, ..request(&set, &rooms, &route) };
        let result = run(&flow(2), &request);
        let now = lock(&rooms.tags).get("reg.site/m/x:v1").copied();
        match conflict {
            TagConflict::Fail => {
                let fault = result.unwrap_err();
                assert_eq!((fault.class, fault.others.len()), (Class::Policy, 2));
                assert!(fault.what.starts_with("tag exists: reg.site/m/x:"), "{fault}");
                assert_eq!((rooms.count("put"), rooms.count("tag")), (0, 0));
            }
            TagConflict::Keep => {
                let outcome = result.unwrap();
                assert_eq!((now, outcome.artifacts[0].kept.len(), outcome.is_good()), (Some(other), 2, true));
                assert!(outcome.artifacts[0].tags.is_empty());
            }
            TagConflict::Move => {
                assert_eq!(now, Some(set.artifacts[0].digest));
                assert!(result.unwrap().artifacts[0].kept.is_empty());
            }
        }
    }
}

#[test]
fn base_content_is_proved_or_all_that_lacks_is_listed() {
    let (set, route) = (set(), registry_route());
    let absent =
        [Absent { digest: set.shared, reason: Reason::Base, repository: Some(repository("a.example/base")), size: 10 }];
    let rooms = Rooms::new();
    let wanted = Mutex::new(Vec::new());
    let request = Request { absent: &absent, wanted: Some(&wanted), ..request(&set, &rooms, &route) };
    let fault = run(&flow(4), &request).unwrap_err();
    assert_eq!((fault.class, rooms.count("put")), (Class::Policy, 0));
    let lacking: HashSet<Repository> = lock(&wanted).iter().map(|wanted| wanted.destination.clone()).collect();
    assert_eq!(lacking.len(), 3);

    rooms.add(&repository("reg.site/m/base"), set.shared);
    let dry = Request { dry_run: true, wanted: None, ..request };
    assert!(run(&flow(4), &dry).unwrap().is_good());
    assert!(!rooms.has(&repository("reg.site/m/x"), set.shared));
    let outcome = run(&flow(4), &Request { dry_run: false, ..dry }).unwrap();
    assert!(outcome.is_good());
    assert!(rooms.has(&repository("reg.site/m/x"), set.shared));
}

#[test]
fn what_was_missing_at_export_fails_its_artifact_alone() {
    let (set, route, rooms) = (set(), registry_route(), Rooms::new());
    let absent = [Absent { digest: Digest::sha256(b"three"), reason: Reason::Missing, repository: None, size: 5 }];
    let request = Request { absent: &absent, ..request(&set, &rooms, &route) };
    let outcome = run(&flow(4), &request).unwrap();
    assert_eq!(outcome.fault().unwrap().others.len(), 1);
    assert!(matches!(outcome.artifacts[2].landed, Landed::Failed(_)));
    assert_eq!(lock(&rooms.tags).len(), 3);
}

#[test]
fn a_dry_run_changes_nothing() {
    let (set, route, rooms) = (set(), registry_route(), Rooms::new());
    let request = Request { dry_run: true, ..request(&set, &rooms, &route) };
    let outcome = run(&flow(2), &Request { check: &Looks(&rooms, false), ..request }).unwrap();
    assert_eq!((outcome.pushed, outcome.artifacts.len()), (7, 4));
    assert!(lock(&rooms.calls).is_empty());
}

#[test]
fn unpack_gives_every_name_and_can_be_repeated() {
    let set = set();
    let folder = TempDir::new().unwrap();
    let directory = folder.path().join("new");
    let read = || -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(directory.join("index.json")).unwrap()).unwrap()
    };
    let request = unpack::Request {
        source: &set.source,
        directory: &directory,
        check: &NoCheck,
        artifacts: &set.artifacts,
        absent: &[],
    };
    let outcome = unpack::run(&flow(4), &request).unwrap();
    assert!(outcome.is_good());
    let first = read();
    let names = |key: &str| -> Vec<&str> {
        let entries = first["manifests"].as_array().unwrap().iter();
        entries.map(|entry| entry["annotations"][key].as_str().unwrap_or("-")).collect()
    };
    let full = ["-", "a.example/x:latest", "a.example/x:v1", "a.example/y:v1", "b.example:5000/z:v1"];
    assert_eq!(names("io.containerd.image.name"), full);
    assert_eq!(names("org.opencontainers.image.ref.name"), [&["-", "latest"][..], &full[2..]].concat());
    assert_eq!(first["manifests"][0]["digest"], json!(set.artifacts[1].digest));
    assert!(first["manifests"][0].get("annotations").is_none());
    let again = unpack::run(&flow(1), &request).unwrap();
    assert_eq!((again.pushed, again.bytes), (0, 0));
    assert_eq!(read(), first);

    let other = TempDir::new().unwrap();
    let liar = Liar { inner: &set.source, about: set.shared, lie: Lie::Flip };
    let fault =
        unpack::run(&flow(4), &unpack::Request { source: &liar, directory: other.path(), ..request }).unwrap_err();
    assert_eq!(fault.class, Class::Integrity);
    assert!(!other.path().join("index.json").exists());
    assert!(!other.path().join("blobs/sha256").join(set.shared.hex()).exists());
}
