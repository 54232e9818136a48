//! Checks that every kind of container must pass: called for a directory, and for each kind of blob
//! store against a real service.
//!
//! Each function needs a container, or a prefix in one, without objects, and leaves objects behind.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use packmule::content::checked::Checked;
use packmule::content::{Body, Kind};
use packmule::flow::{Event, Events, FixedClock, Flow};
use packmule::oci::{Descriptor, Digest};
use packmule::storage::{Condition, Container, Object, Upload, Uploaded};

/// Bytes of progress that were reported.
#[derive(Default)]
pub struct Counted(AtomicU64);

impl Events for Counted {
    fn event(&self, event: Event) {
        if let Event::Bytes(bytes) = event {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

/// Returns a flow of four jobs, and the count of its bytes.
pub fn flow() -> (Flow, Arc<Counted>) {
    let counted = Arc::new(Counted::default());
    let events: Arc<dyn Events> = Arc::clone(&counted) as Arc<dyn Events>;
    (Flow::new(events, Arc::new(FixedClock::at(1_700_000_000)), 4, 2), counted)
}

/// Content in memory that can break off.
pub struct Bytes {
    content: Vec<u8>,
    broken: AtomicUsize,
}

impl Bytes {
    /// Returns content that is read whole.
    pub fn new(content: Vec<u8>) -> Self {
        Self { content, broken: AtomicUsize::new(usize::MAX) }
    }

    /// Makes the content break off after `count` bytes.
    pub fn break_at(&self, count: usize) {
        self.broken.store(count, Ordering::Relaxed);
    }
}

struct Broken<'a>(&'a [u8], usize);

impl Read for Broken<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1 == 0 {
            return Err(io::Error::other("broke off"));
        }
        let count = self.0.len().min(self.1).min(buffer.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        (self.0, self.1) = (&self.0[count..], self.1 - count);
        Ok(count)
    }
}

impl Body for Bytes {
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        let digest = Digest::sha256(&self.content);
        let inner = Broken(&self.content, self.broken.load(Ordering::Relaxed));
        Ok(Box::new(Checked::new(inner, Descriptor::new("a/b", digest, self.content.len() as u64))))
    }
}

/// Returns `length` bytes without a pattern that a short block repeats.
pub fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32).to_le_bytes()[0]
    };
    (0..length).map(step).collect()
}

/// Uploads `body` as `name`; parts may end at `ends`.
pub fn upload(
    container: &dyn Container,
    name: &str,
    body: &Bytes,
    ends: &[u64],
    flow: &Flow,
) -> Result<Uploaded, packmule::content::Error> {
    let digest = Digest::sha256(&body.content);
    let size = body.content.len() as u64;
    container.upload(&Upload { name, size, digest, key: &format!("{digest} {name}"), ends, body }, flow)
}

fn names(container: &dyn Container, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    container.list(prefix, &mut |object: Object| names.push(object.name)).unwrap();
    names.sort();
    names
}

fn read(container: &dyn Container, name: &str) -> Vec<u8> {
    let size = container.head(name).unwrap().unwrap().size;
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    container.read_at(name, None, 0, &mut bytes).unwrap();
    bytes
}

/// Small objects: put under each condition, described, read in part, listed, removed.
pub fn small_objects(container: &dyn Container) {
    assert_eq!(container.head("b.json").unwrap(), None);
    let mut byte = [0];
    let gone = container.read_at("b.json", None, 0, &mut byte).unwrap_err();
    assert_eq!(gone.class, Kind::Absent, "{}", gone.what);
    let first = container.put("b.json", b"first", &Condition::Absent).unwrap();
    assert_eq!((first.name.as_str(), first.size), ("b.json", 5));
    let seen = container.head("b.json").unwrap().unwrap();
    assert_eq!((seen.size, &seen.etag), (5, &first.etag));
    let refused = container.put("b.json", b"second", &Condition::Absent).unwrap_err();
    assert_eq!(refused.class, Kind::Refused, "{}", refused.what);
    let mut middle = [0; 3];
    container.read_at("b.json", seen.etag.as_deref(), 1, &mut middle).unwrap();
    assert_eq!(&middle, b"irs");
    let short = container.read_at("b.json", None, 3, &mut middle).unwrap_err();
    assert_eq!(short.class, Kind::Mismatch, "{}", short.what);

    // As a manifest is replaced: emptied, then written, each only if nobody else was there.
    let etag = seen.etag.expect("every kind of container gives etags");
    let emptied = container.put("b.json", b"", &Condition::Unchanged(etag.clone())).unwrap();
    assert_eq!(emptied.size, 0);
    let late = container.put("b.json", b"late", &Condition::Unchanged(etag.clone())).unwrap_err();
    assert_eq!(late.class, Kind::Refused, "{}", late.what);
    let changed = container.read_at("b.json", Some(&etag), 0, &mut byte).unwrap_err();
    assert_eq!(changed.class, Kind::Mismatch, "{}", changed.what);
    container.put("b.json", b"second", &Condition::Unchanged(emptied.etag.unwrap())).unwrap();
    assert_eq!(read(container, "b.json"), b"second");
    container.put("b.json", b"third", &Condition::Any).unwrap();
    assert_eq!(read(container, "b.json"), b"third");
    let none = container.put("none", b"x", &Condition::Unchanged("\"0x0\"".to_owned())).unwrap_err();
    assert_eq!(none.class, Kind::Refused, "{}", none.what);

    container.put("b.oci/blobs/one", b"1", &Condition::Any).unwrap();
    container.put("a b+c%20.json", b"odd", &Condition::Any).unwrap();
    assert_eq!(read(container, "a b+c%20.json"), b"odd");
    assert_eq!(names(container, ""), ["a b+c%20.json", "b.json", "b.oci/blobs/one"]);
    assert_eq!(names(container, "b."), ["b.json", "b.oci/blobs/one"]);
    assert_eq!(names(container, "b.oci/"), ["b.oci/blobs/one"]);
    container.remove("b.json").unwrap();
    container.remove("b.json").unwrap();
    assert_eq!(container.head("b.json").unwrap(), None);
    assert_eq!(names(container, "b.j"), Vec::<String>::new());
    assert!(container.shown("b.json").ends_with("b.json"));
}

/// Many objects: a list of several pages has each of them once.
pub fn long_lists(container: &dyn Container, count: usize) {
    for number in 0..count {
        container.put(&format!("many/{number:05}"), b"", &Condition::Any).unwrap();
    }
    let found = names(container, "many/");
    assert_eq!(found.len(), count);
    assert!(found.iter().enumerate().all(|(number, name)| *name == format!("many/{number:05}")));
}

/// A large object of `length` bytes: uploaded, not sent again, replaced by other content.
pub fn large_objects(container: &dyn Container, length: usize) {
    let (flow, counted) = flow();
    let size = length as u64;
    let one = Bytes::new(content(length, 1));
    let ends: Vec<u64> = (1..=size / 3_000_017).map(|step| step * 3_000_017).filter(|end| *end < size).collect();
    let done = upload(container, "large", &one, &ends, &flow).unwrap();
    assert_eq!(done, Uploaded { sent: size, kept: 0 });
    assert_eq!(counted.0.swap(0, Ordering::Relaxed), size, "every byte is reported once");
    assert_eq!(container.head("large").unwrap().unwrap().size, size);
    assert!(read(container, "large") == one.content);
    assert_eq!(upload(container, "large", &one, &ends, &flow).unwrap(), Uploaded { sent: 0, kept: size });
    assert_eq!(counted.0.load(Ordering::Relaxed), size, "bytes that are kept are reported too");
    let other = Bytes::new(content(length, 2));
    assert_eq!(upload(container, "large", &other, &[], &flow).unwrap().sent, size);
    assert!(read(container, "large") == other.content);
    // The smallest content that there is.
    let tiny = Bytes::new(b"x".to_vec());
    upload(container, "tiny", &tiny, &[], &flow).unwrap();
    assert_eq!(read(container, "tiny"), b"x");
    assert_eq!(container.unfinished("").unwrap(), []);
}

/// An upload that breaks off after about two thirds of `length` bytes goes on later, and sends only
/// what is missing.
pub fn resumed(container: &dyn Container, length: usize) {
    let (flow, _) = flow();
    let body = Bytes::new(content(length, 3));
    body.break_at(length / 3 * 2);
    upload(container, "resumed", &body, &[], &flow).unwrap_err();
    assert_eq!(container.head("resumed").unwrap(), None, "nothing appears before it is whole");
    let left = container.unfinished("").unwrap();
    assert_eq!(left.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["resumed"]);
    assert_eq!(container.unfinished("other").unwrap(), []);
    assert_eq!(names(container, "resumed"), Vec::<String>::new());
    body.break_at(usize::MAX);
    let done = upload(container, "resumed", &body, &[], &flow).unwrap();
    assert_eq!(done.sent + done.kept, length as u64);
    assert!(done.kept > 0, "{done:?}");
    assert!(read(container, "resumed") == body.content);
    assert_eq!(container.unfinished("").unwrap(), []);
}

/// Parts of an upload that is given up are found and removed.
pub fn discarded(container: &dyn Container, length: usize) {
    let (flow, _) = flow();
    let body = Bytes::new(content(length, 4));
    body.break_at(length / 3 * 2);
    upload(container, "given-up", &body, &[], &flow).unwrap_err();
    for left in container.unfinished("given").unwrap() {
        container.discard(&left).unwrap();
    }
    assert_eq!(container.unfinished("").unwrap(), []);
    assert_eq!(container.head("given-up").unwrap(), None);
}

/// An upload whose content does not match its digest fails, and no object appears.
pub fn wrong_content(container: &dyn Container) {
    let (flow, _) = flow();
    let body = Bytes::new(content(70_000, 5));
    let digest = Digest::sha256(b"other");
    let wrong = Upload { name: "wrong", size: 70_000, digest, key: "wrong", ends: &[], body: &Lying(&body, digest) };
    container.upload(&wrong, &flow).unwrap_err();
    assert_eq!(container.head("wrong").unwrap(), None);
}

struct Lying<'a>(&'a Bytes, Digest);

impl Body for Lying<'_> {
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        let descriptor = Descriptor::new("a/b", self.1, self.0.content.len() as u64);
        Ok(Box::new(Checked::new(&self.0.content[..], descriptor)))
    }
}
