//! Disturbed chunked uploads: broken off, half taken, lost, logged out; rows D2, D6, D9.

use std::sync::{Arc, Mutex};

use packmule::content::{Destination, Kind};
use packmule::oci::Repository;

use super::hosts::{Bytes, anonymous, client, content, login};
use super::quirky::{Habits, Quirky};
use super::server::{Reply, Request, Server, reply};

const MIB: usize = 1 << 20;

fn repository(server: &Server) -> Repository {
    Repository::new(&server.host, "a/b").unwrap()
}

fn first(request: &Request) -> usize {
    request.header("content-range").unwrap().split_once('-').unwrap().0.parse().unwrap()
}

/// A registry that refuses a PUT of content; `patch` answers the n-th PATCH, with what is there so
/// far.
fn chunked(
    patch: impl Fn(&mut Vec<u8>, &Request, usize) -> Reply + Send + Sync + 'static,
) -> (Server, Arc<Mutex<Vec<u8>>>) {
    let stored = Arc::new(Mutex::new(Vec::new()));
    let (kept, patches) = (Arc::clone(&stored), Mutex::new(0));
    let server = Server::start(move |request, _| {
        let mut kept = kept.lock().unwrap();
        match request.method.as_str() {
            "POST" => {
                kept.clear();
                reply(202, "").with("Location", "/v2/a/b/blobs/uploads/s")
            }
            "PUT" if !request.body.is_empty() => reply(404, ""),
            "PUT" => reply(201, ""),
            "GET" if request.path.contains("/uploads/s") => reply(204, "")
                .with("Range", format!("0-{}", kept.len().max(1) - 1))
                .with("Location", "/v2/a/b/blobs/uploads/s2"),
            "PATCH" => {
                let mut patches = patches.lock().unwrap();
                *patches += 1;
                patch(&mut kept, request, *patches)
            }
            "HEAD" => reply(404, ""),
            _ => reply(200, ""),
        }
    });
    (server, stored)
}

fn taken(kept: &mut Vec<u8>, bytes: &[u8]) -> Reply {
    kept.extend_from_slice(bytes);
    reply(202, "").with("Range", format!("0-{}", kept.len() - 1))
}

#[test]
fn a_chunk_broken_off_goes_on_where_the_session_stands() {
    let (server, stored) = chunked(|kept, request, count| match count {
        2 => {
            // Half of it arrived, and there is no answer.
            kept.extend_from_slice(&request.body[..MIB]);
            Reply { cut: Some(0), ..reply(202, "x").with("Content-Length", "junk") }
        }
        _ => {
            assert_eq!(first(request), kept.len());
            taken(kept, &request.body)
        }
    });
    let blob = content(9 * MIB, 81);
    anonymous().registries.put_blob(&repository(&server), &blob.descriptor(), &blob).unwrap();
    assert!(*stored.lock().unwrap() == blob.0);
    let requests = server.requests();
    assert_eq!(requests.iter().filter(|request| request.method == "POST").count(), 2, "the one session goes on");
    let third = requests.iter().filter(|request| request.method == "PATCH").nth(2).unwrap();
    assert_eq!((first(third), third.path.as_str()), (5 * MIB, "/v2/a/b/blobs/uploads/s2"), "at the newest location");
}

#[test]
fn a_chunk_half_taken_is_sent_from_there() {
    let (server, stored) = chunked(|kept, request, count| {
        let most = if count == 1 { MIB + 7 } else { request.body.len() };
        taken(kept, &request.body[..most])
    });
    let blob = content(6 * MIB, 82);
    anonymous().registries.put_blob(&repository(&server), &blob.descriptor(), &blob).unwrap();
    assert!(*stored.lock().unwrap() == blob.0);
}

#[test]
fn a_chunk_lost_whole_looks_like_one_counted_by_itself_and_the_session_is_asked() {
    let (server, stored) = chunked(|kept, request, count| match count {
        // A correct answer, with the end of what is there: also the length of the second chunk.
        2 => reply(202, "").with("Range", format!("0-{}", kept.len() - 1)),
        _ => taken(kept, &request.body),
    });
    let blob = content(9 * MIB, 89);
    anonymous().registries.put_blob(&repository(&server), &blob.descriptor(), &blob).unwrap();
    assert!(*stored.lock().unwrap() == blob.0);
}

#[test]
fn a_session_that_never_moves_ends() {
    let (server, _) = chunked(|_, _, _| reply(202, "").with("Range", "0-0"));
    let blob = content(6 * MIB, 83);
    let error = anonymous().registries.put_blob(&repository(&server), &blob.descriptor(), &blob).unwrap_err();
    assert!(error.class == Kind::Failed && error.what.contains("stays at byte 0"), "{error}");
    assert!(server.requests().len() < 40);
}

#[test]
fn a_416_begins_a_new_session() {
    let (server, stored) = chunked(|kept, request, count| match count {
        2 => reply(416, ""),
        _ => taken(kept, &request.body),
    });
    let blob = content(9 * MIB, 84);
    anonymous().registries.put_blob(&repository(&server), &blob.descriptor(), &blob).unwrap();
    assert!(*stored.lock().unwrap() == blob.0);
    assert_eq!(server.requests().iter().filter(|request| request.method == "POST").count(), 3);
}

#[test]
fn a_login_that_ends_between_chunks_is_had_anew() {
    let tokens = Arc::new(Mutex::new(0));
    let now = Arc::clone(&tokens);
    let (inner, stored) = chunked(|kept, request, _| taken(kept, &request.body));
    drop(inner);
    let kept = Arc::clone(&stored);
    let server = Server::start(move |request, _| {
        let mut given = now.lock().unwrap();
        let host = request.header("host").unwrap_or_default();
        if request.path.starts_with("/token") {
            *given += 1;
            return reply(200, format!(r#"{{"token":"t{given}","expires_in":3600}}"#));
        }
        let refused = reply(401, "").with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""));
        if request.header("authorization") != Some(&format!("Bearer t{given}")) {
            return refused;
        }
        let mut kept = kept.lock().unwrap();
        match request.method.as_str() {
            "POST" => {
                kept.clear();
                reply(202, "").with("Location", "/v2/a/b/blobs/uploads/s")
            }
            "PUT" if !request.body.is_empty() => reply(413, ""),
            "PUT" => reply(201, ""),
            // The second chunk comes with a token that has just expired.
            "PATCH" if !kept.is_empty() && *given == 1 => refused,
            "PATCH" => taken(&mut kept, &request.body),
            "GET" => reply(204, "").with("Range", format!("0-{}", kept.len().max(1) - 1)),
            _ => reply(404, ""),
        }
    });
    let blob = content(9 * MIB, 85);
    let client = client(login("mule", "x"));
    client.registries.put_blob(&repository(&server), &blob.descriptor(), &blob).unwrap();
    assert!(*stored.lock().unwrap() == blob.0);
    let posts =
        server.requests().iter().filter(|request| request.method == "POST" && request.path.contains("uploads")).count();
    assert!(posts <= 3, "what was sent is kept: {posts}");
}

#[test]
fn a_proxy_that_takes_one_mebibyte_gets_smaller_chunks() {
    let registry = Quirky::start(Habits { most_body: MIB, ..Habits::PLAIN });
    let blob = content(3 * MIB, 86);
    anonymous().registries.put_blob(&repository(&registry.server), &blob.descriptor(), &blob).unwrap();
    let impossible = Quirky::start(Habits { most_body: 1000, ..Habits::PLAIN });
    let error =
        anonymous().registries.put_blob(&repository(&impossible.server), &blob.descriptor(), &blob).unwrap_err();
    assert!(error.class == Kind::Refused && error.what.contains("413"), "{error}");
}

#[test]
fn d9_the_least_chunk_is_obeyed_within_bounds() {
    let blob = Bytes(vec![7; 65 * MIB]);
    let descriptor = blob.descriptor();
    for (told, largest) in
        [("0", 4), ("-1", 4), ("9223372036854775808", 64), ("abc", 4), ("1073741824", 64), ("5242880", 5)]
    {
        let server = Server::start(move |request, _| match request.method.as_str() {
            "POST" => reply(202, "").with("Location", "/s").with("OCI-Chunk-Min-Length", told),
            "PUT" if !request.body.is_empty() => reply(405, ""),
            "PATCH" => reply(202, ""),
            "PUT" => reply(201, ""),
            _ => reply(404, ""),
        });
        anonymous().registries.put_blob(&repository(&server), &descriptor, &blob).unwrap();
        let sent: Vec<usize> = server
            .requests()
            .iter()
            .filter(|request| request.method == "PATCH")
            .map(|request| request.body.len())
            .collect();
        assert_eq!(sent.iter().max(), Some(&(largest * MIB)), "{told}");
        assert_eq!(sent.iter().sum::<usize>(), 65 * MIB);
    }
}

#[test]
fn d6_a_full_registry_is_an_error_and_the_rest_goes_later() {
    for status in [500, 507, 413] {
        let full = Arc::new(Mutex::new(true));
        let is_full = Arc::clone(&full);
        let server = Server::start(move |request, _| match request.method.as_str() {
            "POST" => reply(202, "").with("Location", "/s"),
            "PUT" | "PATCH" if *is_full.lock().unwrap() => reply(status, ""),
            "PUT" | "PATCH" => reply(201, ""),
            _ => reply(404, ""),
        });
        let blob = content(2 * MIB, 88);
        let client = anonymous();
        let error = client.registries.put_blob(&repository(&server), &blob.descriptor(), &blob).unwrap_err();
        assert!(error.what.contains(&status.to_string()), "{error}");
        *full.lock().unwrap() = false;
        client.registries.put_blob(&repository(&server), &blob.descriptor(), &blob).unwrap();
    }
}

#[test]
fn d7_rights_are_told_before_anything_is_sent() {
    for (status, kind) in [(403, Kind::Denied), (405, Kind::Refused), (401, Kind::Denied)] {
        let server = Server::start(move |request, _| match request.method.as_str() {
            "POST" => reply(status, ""),
            _ => reply(200, "{}"),
        });
        let client = anonymous();
        let error = client.registries.rights().unwrap().may_push(&repository(&server)).unwrap_err();
        assert_eq!(error.class, kind, "{error}");
        client.registries.rights().unwrap().may_pull(&repository(&server)).unwrap();
    }
    let registry = Quirky::start(Habits::PLAIN);
    let client = anonymous();
    let rights = client.registries.rights().unwrap();
    rights.may_push(&repository(&registry.server)).unwrap();
    rights.may_pull(&repository(&registry.server)).unwrap();
    let methods: Vec<String> = registry.server.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["POST", "DELETE", "GET"], "its session is given back");
    let closed = Server::start(|_, _| reply(403, ""));
    assert_eq!(rights.may_pull(&repository(&closed)).unwrap_err().class, Kind::Denied);
}
