//! Uploads that were killed at every part go on, and no part is sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use packmule::oci::Digest;
use packmule::storage::{Container, Upload};

use super::super::container::{self, Bytes, content};
use super::super::server::{Request, reply};
use super::{Net, Store, net, proxy};

/// Four parts and a bit.
const LENGTH: usize = (32 << 20) + 777;
const PARTS: usize = 5;

fn is_part(request: &Request) -> bool {
    request.method == "PUT" && request.path.contains("partNumber=")
}

fn of_method(requests: &[Request], method: &str, what: &str) -> usize {
    requests.iter().filter(|request| request.method == method && request.path.contains(what)).count()
}

/// Uploads through a proxy that lets `parts` parts pass and nothing afterwards, then goes on. Returns what the second
/// run sent to the store.
fn killed(store: &Store, net: &Net, parts: usize, keeps_journal: bool) -> Vec<Request> {
    let dir = tempfile::tempdir().unwrap();
    let body = Bytes::new(content(LENGTH, parts as u64));
    let settings = store.settings(Some(dir.path().join("journals")));
    let passed = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&passed);
    let dying = proxy::start(&store.host, move |request| {
        let is_dead = seen.load(Ordering::SeqCst) >= parts;
        if is_part(request) {
            return (seen.fetch_add(1, Ordering::SeqCst) >= parts).then(proxy::lost);
        }
        // A killed process completes nothing.
        (is_dead && request.path.contains("uploadId=")).then(proxy::lost)
    });
    let first = net.open(super::s3::Settings {
        endpoint: Some(format!("http://{}", dying.host).parse().unwrap()),
        ..settings.clone()
    });
    let (flow, _) = container::flow();
    container::upload(&first, "volume", &body, &[], &flow).unwrap_err();
    assert_eq!(first.head("volume").unwrap(), None);
    if !keeps_journal {
        std::fs::remove_dir_all(dir.path().join("journals")).unwrap();
    }
    let open = proxy::start(&store.host, |_| None);
    let second =
        net.open(super::s3::Settings { endpoint: Some(format!("http://{}", open.host).parse().unwrap()), ..settings });
    let done = container::upload(&second, "volume", &body, &[], &flow).unwrap();
    assert_eq!(done.sent + done.kept, LENGTH as u64);
    let requests = open.all_requests();
    let sent = requests.iter().filter(|request| is_part(request)).count();
    assert_eq!(sent, PARTS - parts.min(PARTS), "no part is sent twice, after {parts} parts");
    let size = second.head("volume").unwrap().unwrap().size;
    let mut there = vec![0; usize::try_from(size).unwrap()];
    second.read_at("volume", None, 0, &mut there).unwrap();
    assert!(Digest::sha256(&there) == Digest::sha256(&content(LENGTH, parts as u64)));
    assert_eq!(second.unfinished("").unwrap(), []);
    let left = std::fs::read_dir(dir.path().join("journals")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "the journal ends with the upload");
    requests
}

#[test]
fn t17_killed_at_each_part_it_goes_on_by_the_journal() {
    let Some(store) = Store::strict() else { return };
    let net = net(0);
    for parts in 0..=PARTS {
        let requests = killed(&store, &net, parts, true);
        let lists = of_method(&requests, "GET", "?uploads") + of_method(&requests, "GET", "part-number");
        assert_eq!(lists, 0, "the journal is enough");
    }
}

#[test]
fn t17_killed_at_each_part_it_goes_on_by_the_stores_lists() {
    let Some(store) = Store::strict() else { return };
    let net = net(0);
    // Without any part, nothing shows that an upload is of this content: it begins anew, and the old one stays.
    for parts in 1..=PARTS {
        let requests = killed(&store, &net, parts, false);
        assert_eq!(of_method(&requests, "POST", "?uploads"), 0, "no upload is begun");
    }
    let Some(store) = Store::paging("resumed") else { return };
    killed(&store, &net, 2, false);
}

#[test]
fn an_upload_breaks_off_and_goes_on() {
    let net = net(0);
    for store in [Store::strict(), Store::paging("broken-off")].into_iter().flatten() {
        let dir = tempfile::tempdir().unwrap();
        container::resumed(&net.open(store.settings(Some(dir.path().to_owned()))), LENGTH);
        container::resumed(&net.open(store.settings(None)), LENGTH);
    }
}

#[test]
fn an_upload_that_the_store_has_forgotten_begins_anew() {
    let Some(store) = Store::strict() else { return };
    let (net, dir) = (net(0), tempfile::tempdir().unwrap());
    let bucket = net.open(store.settings(Some(dir.path().to_owned())));
    let (flow, _) = container::flow();
    let body = Bytes::new(content(LENGTH, 9));
    body.break_at(LENGTH / 2);
    container::upload(&bucket, "volume", &body, &[], &flow).unwrap_err();
    for left in bucket.unfinished("").unwrap() {
        bucket.discard(&left).unwrap();
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "the journal names an upload that is gone");
    body.break_at(usize::MAX);
    let done = container::upload(&bucket, "volume", &body, &[], &flow).unwrap();
    assert_eq!((done.sent, done.kept), (LENGTH as u64, 0));
    assert_eq!(bucket.unfinished("").unwrap(), []);
}

#[test]
fn t15_keys_that_end_in_mid_upload_are_renewed_at_the_part() {
    let Some(store) = Store::strict() else { return };
    let net = net(0);
    let ended = AtomicUsize::new(0);
    let server = proxy::start(&store.host, move |request| {
        let ends = request.path.contains("partNumber=2") && ended.fetch_add(1, Ordering::SeqCst) == 0;
        ends.then(|| reply(400, "<Error><Code>ExpiredToken</Code></Error>"))
    });
    let reads = Arc::new(Counted(store.secret.clone(), AtomicUsize::new(0)));
    let access = super::s3::Access::Keys { id: super::secret(&store.id), secret: reads.clone(), session: None };
    let bucket = net.open(super::s3::Settings { access, ..store.at(&server.host).settings(None) });
    let (flow, _) = container::flow();
    let body = Bytes::new(content(LENGTH, 13));
    assert_eq!(container::upload(&bucket, "volume", &body, &[], &flow).unwrap().sent, LENGTH as u64);
    assert_eq!(server.all_requests().iter().filter(|request| is_part(request)).count(), PARTS + 1);
    assert_eq!(reads.1.load(Ordering::SeqCst), 1, "read again once");
}

/// A secret that counts how often it is read again.
struct Counted(String, AtomicUsize);

impl packmule::network::secret_source::SecretSource for Counted {
    fn read(&self, again: bool) -> Result<zeroize::Zeroizing<String>, packmule::content::Error> {
        self.1.fetch_add(usize::from(again), Ordering::SeqCst);
        Ok(zeroize::Zeroizing::new(self.0.clone()))
    }
}

#[test]
fn an_object_that_was_not_compared_is_not_taken_by_its_name() {
    let Some(store) = Store::paging("uncompared") else { return };
    let (net, dir) = (net(0), tempfile::tempdir().unwrap());
    let settings = store.settings(Some(dir.path().to_owned()));
    // This server checks no sums, so it takes a damaged part.
    let server = proxy::start(&store.host, |request| {
        if request.path.contains("partNumber=1&") || request.path.ends_with("partNumber=1") {
            request.body[0] ^= 1;
            request.headers.retain(|(name, _)| name != "content-md5");
        }
        None
    });
    let at = |host: &str| super::s3::Settings {
        endpoint: Some(format!("http://{host}").parse().unwrap()),
        ..settings.clone()
    };
    let (flow, _) = container::flow();
    let body = Bytes::new(content(LENGTH, 14));
    let error = container::upload(&net.open(at(&server.host)), "volume", &body, &[], &flow).unwrap_err();
    assert_eq!(error.class, packmule::content::Kind::Mismatch, "{error}");
    // It is there, with the name of the right digest. The next run does not take it.
    let bucket = net.open(at(&store.host));
    assert_eq!(bucket.head("volume").unwrap().unwrap().size, LENGTH as u64);
    assert_eq!(container::upload(&bucket, "volume", &body, &[], &flow).unwrap().sent, LENGTH as u64);
    let mut there = vec![0; LENGTH];
    bucket.read_at("volume", None, 0, &mut there).unwrap();
    assert!(there == content(LENGTH, 14));
}

#[test]
fn other_content_takes_no_part_of_an_unfinished_upload() {
    let Some(store) = Store::strict() else { return };
    let net = net(0);
    let bucket = net.open(store.settings(None));
    let (flow, _) = container::flow();
    let other = Bytes::new(content(LENGTH, 10));
    other.break_at(LENGTH / 2);
    container::upload(&bucket, "volume", &other, &[], &flow).unwrap_err();
    let before = bucket.unfinished("").unwrap();
    assert_eq!(before.len(), 1);
    let bytes = content(LENGTH, 11);
    let digest = Digest::sha256(&bytes);
    let body = Bytes::new(bytes);
    let upload = Upload { name: "volume", size: LENGTH as u64, digest, key: "k", ends: &[], body: &body };
    assert_eq!(bucket.upload(&upload, &flow).unwrap().kept, 0);
    assert_eq!(bucket.unfinished("").unwrap(), before, "the other's upload stays as it is");
}

#[test]
fn a_store_that_lists_no_uploads_gets_all_parts_again() {
    let Some(store) = Store::strict() else { return };
    let net = net(0);
    let settings = store.settings(None);
    let silent = proxy::start(&store.host, |request| {
        let lists = request.method == "GET" && request.path.contains("uploads");
        lists.then(|| reply(501, "<Error><Code>NotImplemented</Code></Error>"))
    });
    let bucket = net
        .open(super::s3::Settings { endpoint: Some(format!("http://{}", silent.host).parse().unwrap()), ..settings });
    let (flow, _) = container::flow();
    let body = Bytes::new(content(LENGTH, 12));
    body.break_at(LENGTH / 2);
    container::upload(&bucket, "volume", &body, &[], &flow).unwrap_err();
    body.break_at(usize::MAX);
    let done = container::upload(&bucket, "volume", &body, &[], &flow).unwrap();
    assert_eq!((done.sent, done.kept), (LENGTH as u64, 0));
}
