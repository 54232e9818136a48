//! Content that cannot be read twice, and large uploads that break: what goes up, and how.

use std::io::{self, Cursor, Read};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use packmule::base::fault::Reason;
use packmule::content::{Body, Destination, Kind};
use packmule::oci::Repository;

use super::hosts::{Bytes, anonymous, content};
use super::quirky::{Habits, Quirky};
use super::server::{Reply, Request, Server, reply};

const MIB: usize = 1 << 20;

/// Content that is opened once, as what passes in a stream.
struct Passing<'a>(&'a Bytes, AtomicBool);

impl<'a> Passing<'a> {
    fn new(content: &'a Bytes) -> Self {
        Self(content, AtomicBool::new(false))
    }
}

impl Body for Passing<'_> {
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        assert!(!self.1.swap(true, Ordering::Relaxed), "opened twice");
        Ok(Box::new(Cursor::new(&self.0.0)))
    }

    fn is_once(&self) -> bool {
        true
    }
}

fn repository(server: &Server) -> Repository {
    Repository::new(&server.host, "a/b").unwrap()
}

fn cut() -> Reply {
    Reply { cut: Some(0), ..reply(202, "x").with("Content-Length", "junk") }
}

/// A registry with one session; `disturb` may answer a request with content in its place, given what the session has, and
/// the number of such requests before.
fn disturbed(
    disturb: impl Fn(&mut Vec<u8>, &Request, usize) -> Option<Reply> + Send + Sync + 'static,
) -> (Server, Arc<Mutex<Vec<u8>>>) {
    let stored = Arc::new(Mutex::new(Vec::new()));
    let (kept, counted, closed) = (Arc::clone(&stored), AtomicUsize::new(0), AtomicBool::new(false));
    let server = Server::start(move |request, _| {
        let mut kept = kept.lock().unwrap();
        let location = "/v2/a/b/blobs/uploads/s";
        let has_content = matches!(request.method.as_str(), "PATCH" | "PUT") && !request.body.is_empty();
        if has_content && let Some(reply) = disturb(&mut kept, request, counted.fetch_add(1, Ordering::Relaxed)) {
            return reply;
        }
        match request.method.as_str() {
            "POST" => {
                kept.clear();
                reply(202, "").with("Location", location)
            }
            "PATCH" => {
                kept.extend_from_slice(&request.body);
                reply(202, "").with("Location", location).with("Range", format!("0-{}", kept.len() - 1))
            }
            "PUT" => {
                kept.extend_from_slice(&request.body);
                closed.store(true, Ordering::Relaxed);
                reply(201, "")
            }
            "GET" if request.path.contains("/uploads/") => {
                reply(204, "").with("Location", location).with("Range", format!("0-{}", kept.len().max(1) - 1))
            }
            "HEAD" => reply(if closed.load(Ordering::Relaxed) { 200 } else { 404 }, ""),
            _ => reply(200, ""),
        }
    });
    (server, stored)
}

#[test]
fn what_passes_once_is_broken_off_and_goes_on() {
    let blob = content(11 * MIB, 701);
    for (broken, taken) in [(0, 0), (0, MIB), (1, 0), (1, 3 * MIB), (2, 3 * MIB), (1, 4 * MIB)] {
        for status in [0, 429, 500, 502, 503] {
            let (server, stored) = disturbed(move |kept, request, count| {
                (count == broken).then(|| {
                    kept.extend_from_slice(&request.body[..taken.min(request.body.len())]);
                    if status == 0 { cut() } else { reply(status, "") }
                })
            });
            let body = Passing::new(&blob);
            anonymous().registries.put_blob(&repository(&server), &blob.descriptor(), &body).unwrap();
            assert!(*stored.lock().unwrap() == blob.0, "chunk {broken}, {taken} bytes of it taken, {status}");
        }
    }
}

#[test]
fn the_end_of_what_passes_once_is_said_again() {
    let blob = content(5 * MIB, 702);
    let ends = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ends);
    let server = Server::start(move |request, _| match request.method.as_str() {
        "POST" | "PATCH" => reply(202, "").with("Location", "/v2/a/b/blobs/uploads/s"),
        "PUT" if count.fetch_add(1, Ordering::Relaxed) == 0 => cut(),
        "PUT" => reply(201, ""),
        _ => reply(404, ""),
    });
    let body = Passing::new(&blob);
    anonymous().registries.put_blob(&repository(&server), &blob.descriptor(), &body).unwrap();
    assert_eq!(ends.load(Ordering::Relaxed), 2);
}

#[test]
fn what_passes_once_goes_up_in_whatever_way_a_product_takes() {
    let large = content(9 * MIB, 703);
    let habits = [
        Habits::PLAIN,
        Habits { first_patch_is_all: true, ..Habits::PLAIN },
        Habits { most_body: MIB, ..Habits::PLAIN },
        Habits { range_of_chunk: true, ..Habits::PLAIN },
        Habits { least_chunk: 5 * MIB, ..Habits::PLAIN },
        Habits { put_refused: Some(404), ..Habits::PLAIN },
        Habits { patch_refused: Some(404), ..Habits::PLAIN },
        Habits { patch_refused: Some(405), ..Habits::PLAIN },
        Habits { patch_refused: Some(501), ..Habits::PLAIN },
    ];
    for habits in habits {
        let registry = Quirky::start(habits);
        let client = anonymous();
        for size in [0, 10, 4 * MIB, 9 * MIB] {
            let blob = Bytes(large.0[..size].to_vec());
            let body = Passing::new(&blob);
            let repository = repository(&registry.server);
            client.registries.put_blob(&repository, &blob.descriptor(), &body).unwrap();
            assert!(super::hosts::read(&client.registries, &repository, &blob.descriptor()).unwrap() == blob.0);
        }
    }
}

#[test]
fn what_cannot_be_sent_again_is_told_with_what_broke() {
    let blob = content(9 * MIB, 704);
    // The session forgets its first chunk.
    let (server, _) = disturbed(|kept, _, count| {
        (count == 1).then(|| {
            kept.clear();
            cut()
        })
    });
    let body = Passing::new(&blob);
    let error = anonymous().registries.put_blob(&repository(&server), &blob.descriptor(), &body).unwrap_err();
    assert_eq!((error.class, error.reason), (Kind::Failed, Some(Reason::HasPassed)), "{error}");
    assert!(error.what.contains("cannot be read again") && error.help.unwrap().contains("same import"));
}

#[test]
fn after_a_broken_large_put_chunks_go_and_the_host_is_remembered() {
    let (server, stored) = disturbed(|_, request, _| (request.method == "PUT" && request.body.len() > MIB).then(cut));
    let client = anonymous();
    let puts = || {
        let requests = server.requests();
        requests.iter().filter(|request| request.method == "PUT" && !request.body.is_empty()).count()
    };
    for (seed, size) in [(705, 9 * MIB), (706, 5 * MIB)] {
        let blob = content(size, seed);
        client.registries.put_blob(&repository(&server), &blob.descriptor(), &blob).unwrap();
        if seed == 705 {
            assert!(*stored.lock().unwrap() == blob.0);
        }
    }
    assert_eq!(puts(), 1, "the second one is not tried by PUT");
}

#[test]
fn a_limit_for_one_body_is_met_once_a_host() {
    let registry = Quirky::start(Habits { most_body: 4 * MIB, ..Habits::PLAIN });
    let client = anonymous();
    for seed in [707, 708, 709] {
        let blob = content(5 * MIB, seed);
        client.registries.put_blob(&repository(&registry.server), &blob.descriptor(), &blob).unwrap();
    }
    let refused = registry.server.requests();
    let refused = refused.iter().filter(|request| request.method == "PUT" && request.body.len() > 4 * MIB);
    assert_eq!(refused.count(), 1);
    // What fits goes by one PUT.
    let small = content(MIB, 710);
    client.registries.put_blob(&repository(&registry.server), &small.descriptor(), &small).unwrap();
    assert_eq!(registry.server.requests().last().unwrap().body.len(), MIB);
}
