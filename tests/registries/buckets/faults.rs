//! Stores and networks that fail: lost replies, errors with status 200, throttling, cut and damaged bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use packmule::content::Kind;
use packmule::network::settings::ClientSettings;
use packmule::oci::Digest;
use packmule::storage::{Bucket, Condition, Container};

use super::super::container::{self, Bytes, content};
use super::super::server::{Reply, Request, Server, reply};
use super::{Net, Store, limited, net, proxy};

/// Two parts and a bit.
const LENGTH: usize = (16 << 20) + 99;

fn through(server: &Server, store: &Store, net: &Net) -> Bucket {
    net.open(store.at(&server.host).settings(None))
}

fn completes(request: &Request) -> bool {
    request.method == "POST" && request.path.contains("uploadId=")
}

fn uploaded(bucket: &Bucket, seed: u64) -> Result<(), packmule::content::Error> {
    let (flow, _) = container::flow();
    let body = Bytes::new(content(LENGTH, seed));
    container::upload(bucket, "volume", &body, &[], &flow)?;
    let mut there = vec![0; LENGTH];
    bucket.read_at("volume", None, 0, &mut there).unwrap();
    assert!(there == content(LENGTH, seed));
    Ok(())
}

/// Answers the first `count` requests that `chosen` selects with `answer`.
fn first(
    count: usize,
    chosen: impl Fn(&Request) -> bool + Send + Sync + 'static,
    answer: impl Fn() -> Reply + Send + Sync + 'static,
) -> impl Fn(&mut Request) -> Option<Reply> + Send + Sync + 'static {
    let seen = AtomicUsize::new(0);
    move |request| (chosen(request) && seen.fetch_add(1, Ordering::SeqCst) < count).then(&answer)
}

/// Keeps a condition on an `ETag` that the proxy has made up from the store.
fn unconditional(request: &mut Request) -> Option<Reply> {
    request.headers.retain(|(name, _)| name != "if-match");
    None
}

const ERROR: &str = "\n\n<?xml version=\"1.0\"?><Error><Code>InternalError</Code><Message>try again</Message></Error>";

#[test]
fn an_error_with_status_200_is_an_error() {
    let Some(store) = Store::strict() else { return };
    let net = net(3);
    // It was not completed: asked again.
    let server = proxy::start(&store.host, first(2, completes, || reply(200, ERROR)));
    uploaded(&through(&server, &store, &net), 20).unwrap();
    assert_eq!(server.all_requests().iter().filter(|request| completes(request)).count(), 3);
    // It stays an error: no success is told.
    let server = proxy::start(&store.host, first(usize::MAX, completes, || reply(200, ERROR)));
    let bucket = through(&server, &store, &net);
    let error = uploaded(&bucket, 21).unwrap_err();
    assert!(error.class == Kind::Failed && error.what.contains("InternalError: try again"), "{error}");
    assert_eq!(bucket.head("volume").unwrap(), None);
    // It was completed in spite of the error.
    let server = proxy::watched(
        &store.host,
        |_| None,
        |request, answer| {
            if completes(request) { reply(200, ERROR) } else { answer }
        },
    );
    uploaded(&through(&server, &store, &net), 22).unwrap();
    assert_eq!(server.all_requests().iter().filter(|request| completes(request)).count(), 1);
}

#[test]
fn a_lost_reply_to_the_completion_is_no_failure() {
    let Some(store) = Store::strict() else { return };
    for status in [200, 500, 503] {
        let net = net(3);
        let server = proxy::watched(
            &store.host,
            |_| None,
            move |request, answer| match status {
                200 if completes(request) => proxy::lost(),
                _ if completes(request) => reply(status, ""),
                _ => answer,
            },
        );
        uploaded(&through(&server, &store, &net), 23).unwrap();
        let tries = server.all_requests().iter().filter(|request| completes(request)).count();
        assert_eq!(tries, 1, "the object is looked for before another try");
    }
}

#[test]
fn lost_replies_to_parts_and_small_objects_are_sent_again() {
    let Some(store) = Store::strict() else { return };
    let net = net(2);
    let seen = AtomicUsize::new(0);
    let server = proxy::watched(
        &store.host,
        |_| None,
        move |request, answer| {
            let puts = request.method == "PUT" && seen.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
            if puts { proxy::lost() } else { answer }
        },
    );
    let bucket = through(&server, &store, &net);
    bucket.put("small", b"new", &Condition::Any).unwrap();
    uploaded(&bucket, 24).unwrap();
}

#[test]
fn a_condition_that_failed_because_of_our_own_lost_try_holds() {
    let Some(store) = Store::paging("conditions") else { return };
    let net = net(2);
    let seen = AtomicUsize::new(0);
    let server = proxy::watched(
        &store.host,
        |_| None,
        move |request, answer| {
            let first = request.method == "PUT" && seen.fetch_add(1, Ordering::SeqCst) == 0;
            if first { proxy::lost() } else { answer }
        },
    );
    let bucket = through(&server, &store, &net);
    bucket.put("manifest", b"ours", &Condition::Absent).unwrap();
    let puts = server.all_requests().into_iter().filter(|request| request.method == "PUT");
    assert!(puts.clone().count() == 2 && puts.clone().all(|put| put.header("if-none-match") == Some("*")));
    let error = bucket.put("manifest", b"other", &Condition::Absent).unwrap_err();
    assert_eq!(error.class, Kind::Refused);
}

#[test]
fn t11_another_writer_between_look_and_write_is_noticed() {
    let Some(store) = Store::paging("raced") else { return };
    let net = net(0);
    let settings = store.settings(None);
    let other = net.open(settings.clone());
    let once = AtomicUsize::new(0);
    let server = proxy::start(&store.host, move |request| {
        if request.method == "PUT" && once.fetch_add(1, Ordering::SeqCst) == 0 {
            other.put("manifest", b"theirs", &Condition::Any).unwrap();
        }
        None
    });
    let at = |host: &str| super::s3::Settings {
        endpoint: Some(format!("http://{host}").parse().unwrap()),
        ..settings.clone()
    };
    let bucket = net.open(at(&server.host));
    let error = bucket.put("manifest", b"ours", &Condition::Absent).unwrap_err();
    assert_eq!(error.class, Kind::Refused, "{error}");
    let mut there = [0; 6];
    bucket.read_at("manifest", None, 0, &mut there).unwrap();
    assert_eq!(&there, b"theirs");
}

#[test]
fn a_store_without_conditions_is_told_of_and_checked_before() {
    let Some(store) = Store::paging("unconditional") else { return };
    let net = net(0);
    let server = proxy::start(&store.host, |request| {
        let conditional = request.header("if-none-match").or(request.header("if-match")).is_some();
        (request.method == "PUT" && conditional).then(|| reply(501, "<Error><Code>NotImplemented</Code></Error>"))
    });
    let bucket = through(&server, &store, &net);
    let made = bucket.put("m", b"one", &Condition::Absent).unwrap();
    assert_eq!(bucket.put("m", b"two", &Condition::Absent).unwrap_err().class, Kind::Refused);
    bucket.put("m", b"two", &Condition::Unchanged(made.etag.unwrap())).unwrap();
    let told = format!("{:?}", net.heard.0.lock().unwrap());
    assert!(told.contains("writes without conditions"), "{told}");
}

#[test]
fn throttling_is_waited_for() {
    let Some(store) = Store::strict() else { return };
    let net = net(2);
    let slow = || reply(503, "<Error><Code>SlowDown</Code></Error>").with("Retry-After", "7");
    let server = proxy::start(&store.host, first(2, |_| true, slow));
    through(&server, &store, &net).put("x", b"x", &Condition::Any).unwrap();
    assert!(net.clock.slept() >= Duration::from_secs(14), "{:?}", net.clock.slept());
    // Without end it ends.
    let server = proxy::start(&store.host, move |_| Some(slow()));
    let error = through(&server, &store, &net).put("x", b"x", &Condition::Any).unwrap_err();
    assert!(error.class == Kind::Failed && error.what.contains("SlowDown"), "{error}");
    assert_eq!(server.all_requests().len(), 3);
}

#[test]
fn a_cut_answer_goes_on_where_it_ended() {
    let Some(store) = Store::strict() else { return };
    let net = net(3);
    let seen = Arc::new(AtomicUsize::new(0));
    let cuts = Arc::clone(&seen);
    let server = proxy::watched(
        &store.host,
        |_| None,
        move |request, answer| {
            if request.method == "GET" && cuts.fetch_add(1, Ordering::SeqCst) < 2 {
                let half = answer.body.len() / 2;
                return Reply { cut: Some(half), ..answer };
            }
            answer
        },
    );
    let bucket = through(&server, &store, &net);
    let bytes = content(1 << 20, 25);
    bucket.put("x", &bytes, &Condition::Any).unwrap();
    let mut there = vec![0; bytes.len() - 10];
    bucket.read_at("x", None, 10, &mut there).unwrap();
    assert!(there == bytes[10..]);
    let ranges: Vec<_> = server
        .all_requests()
        .iter()
        .filter(|request| request.method == "GET")
        .map(|request| request.header("range").unwrap().to_owned())
        .collect();
    assert_eq!(ranges.len(), 3);
    assert!(ranges[0] == "bytes=10-1048575" && ranges[1] != ranges[0] && ranges[2] != ranges[1], "{ranges:?}");
    let last = server.all_requests().into_iter().rfind(|request| request.method == "GET").unwrap();
    assert!(last.header("if-match").is_some(), "the rest is of the same content");
}

#[test]
fn content_that_is_damaged_on_its_way_is_refused() {
    let Some(store) = Store::strict() else { return };
    let net = net(1);
    let damage = |request: &mut Request| {
        if request.method == "PUT" && !request.body.is_empty() {
            request.body[0] ^= 1;
        }
        None
    };
    let server = proxy::start(&store.host, damage);
    let bucket = through(&server, &store, &net);
    let error = bucket.put("small", b"content", &Condition::Any).unwrap_err();
    assert_eq!(error.class, Kind::Mismatch, "{error}");
    assert_eq!(bucket.head("small").unwrap(), None);
    let error = uploaded(&bucket, 26).unwrap_err();
    assert_eq!(error.class, Kind::Mismatch, "{error}");
    assert_eq!(bucket.head("volume").unwrap(), None);
    // Damaged once: sent again.
    let seen = AtomicUsize::new(0);
    let server = proxy::start(&store.host, move |request| {
        if request.method == "PUT" && seen.fetch_add(1, Ordering::SeqCst) == 0 {
            request.body[0] ^= 1;
        }
        None
    });
    uploaded(&through(&server, &store, &net), 27).unwrap();
}

#[test]
fn a_store_that_keeps_other_content_is_found_out() {
    let Some(store) = Store::paging("damaging") else { return };
    let net = net(0);
    // It says nothing that could be compared, and gives other content back.
    let server = proxy::watched(&store.host, unconditional, |request, mut answer| {
        for (name, value) in &mut answer.headers {
            if *name == "etag" && !request.path.contains("partNumber") {
                *value = "\"opaque\"".to_owned();
            }
        }
        if request.header("range").is_some() {
            answer.body[7] ^= 1;
        }
        answer
    });
    let bucket = through(&server, &store, &net);
    let (flow, _) = container::flow();
    for length in [1000, LENGTH] {
        let body = Bytes::new(content(length, 28));
        let error = container::upload(&bucket, "volume", &body, &[], &flow).unwrap_err();
        assert_eq!(error.class, Kind::Mismatch, "{error}");
        assert!(error.what.contains("other content"), "{error}");
    }
}

#[test]
fn a_store_with_other_etags_is_read_back() {
    let Some(store) = Store::paging("opaque") else { return };
    let net = net(0);
    let server = proxy::watched(&store.host, unconditional, |request, mut answer| {
        for (name, value) in &mut answer.headers {
            if *name == "etag" && !request.path.contains("partNumber") {
                *value = "\"opaque\"".to_owned();
            }
        }
        answer
    });
    let bucket = through(&server, &store, &net);
    let (flow, _) = container::flow();
    let body = Bytes::new(content(LENGTH, 29));
    container::upload(&bucket, "volume", &body, &[], &flow).unwrap();
    let read: usize = server.all_requests().iter().filter(|request| request.header("range").is_some()).count();
    assert_eq!(read, LENGTH.div_ceil(8 << 20));
}

#[test]
fn nothing_for_the_idle_time_ends_a_try() {
    let server = Server::start(|_, _| Reply { drip: Some(Duration::from_secs(60)), ..reply(200, "never") });
    let settings = ClientSettings { idle: Duration::from_millis(300), ..ClientSettings::default() };
    let net = limited(0, None, settings);
    let store = Store { host: server.host.clone(), bucket: "b".to_owned(), id: "i".to_owned(), secret: "s".to_owned() };
    let begun = Instant::now();
    let error = net.open(store.settings(None)).list("", &mut |_| ()).unwrap_err();
    assert!(error.class == Kind::Failed && error.what.contains("no data for"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_limit_holds_for_uploads_and_downloads() {
    let Some(store) = Store::strict() else { return };
    let net = limited(0, Some(2 << 20), ClientSettings::default());
    let bucket = net.open(store.settings(None));
    let bytes = content(1 << 20, 30);
    let begun = Instant::now();
    bucket.put("x", &bytes, &Condition::Any).unwrap();
    let sent = begun.elapsed();
    let mut there = vec![0; bytes.len()];
    bucket.read_at("x", None, 0, &mut there).unwrap();
    let read = begun.elapsed().saturating_sub(sent);
    assert!(Digest::sha256(&there) == Digest::sha256(&bytes));
    for took in [sent, read] {
        assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(5), "{took:?}");
    }
}
