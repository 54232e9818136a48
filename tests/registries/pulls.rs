//! Pulls from servers that break off, lie, drip and change: rows R1, R2, R3.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use packmule::content::{Kind, Ranges, Source};
use packmule::network::settings::ClientSettings;
use packmule::oci::{Descriptor, Digest, Reference, Repository, media_type};
use packmule::registry::Settings;

use super::hosts::{Bytes, anonymous, client, connecting, content, manifest, manifest_reply, read};
use super::server::{Reply, Request, Server, reply};

fn first_byte(request: &Request) -> Option<usize> {
    request.header("range")?.strip_prefix("bytes=")?.split_once('-')?.0.parse().ok()
}

fn repository(server: &Server) -> Repository {
    Repository::new(&server.host, "a/b").unwrap()
}

fn partial(bytes: &[u8], from: usize) -> Reply {
    reply(206, &bytes[from..]).with("Content-Range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len()))
}

#[test]
fn r3_a_stream_broken_in_the_middle_goes_on_by_range() {
    let blob = content(4 << 20, 31);
    let bytes = blob.0.clone();
    let server = Server::start(move |request, _| match (request.path.as_str(), first_byte(request)) {
        ("/v2/", _) => reply(200, ""),
        (_, None) => Reply { cut: Some(bytes.len() / 2), ..reply(200, bytes.clone()) },
        (_, Some(from)) => partial(&bytes, from),
    });
    let client = anonymous();
    assert!(read(&client.registries, &repository(&server), &blob.descriptor()).unwrap() == blob.0);
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    // Bytes already received are not requested again.
    assert_eq!(first_byte(&requests[1]), Some(2 << 20));
}

#[test]
fn r3_a_server_without_ranges_is_read_again_from_its_start() {
    let blob = content(1 << 20, 32);
    for wrong_range in [false, true] {
        let bytes = blob.0.clone();
        let cuts = AtomicUsize::new(0);
        let server = Server::start(move |request, _| match (request.path.as_str(), first_byte(request)) {
            ("/v2/", _) => reply(200, ""),
            (_, Some(from)) if wrong_range => partial(&bytes, from - 1),
            (_, None) if cuts.fetch_add(1, Ordering::Relaxed) == 0 => {
                Reply { cut: Some(bytes.len() / 2), ..reply(200, bytes.clone()) }
            }
            _ => reply(200, bytes.clone()),
        });
        let client = anonymous();
        assert!(read(&client.registries, &repository(&server), &blob.descriptor()).unwrap() == blob.0);
        let part = client.registries.range(&repository(&server), &blob.descriptor(), 5, 10).unwrap();
        assert!(part.is_none(), "a place without ranges says so");
    }
}

#[test]
fn r3_a_range_that_is_refused_begins_the_blob_anew() {
    let blob = content(1 << 20, 35);
    for status in [416, 400, 501] {
        let (bytes, wholes) = (blob.0.clone(), AtomicUsize::new(0));
        let server = Server::start(move |request, _| match (request.path.as_str(), first_byte(request)) {
            ("/v2/", _) => reply(200, ""),
            (_, Some(_)) => reply(status, "").with("Content-Range", format!("bytes */{}", bytes.len())),
            (_, None) if wholes.fetch_add(1, Ordering::Relaxed) == 0 => {
                Reply { cut: Some(bytes.len() / 2), ..reply(200, bytes.clone()) }
            }
            _ => reply(200, bytes.clone()),
        });
        let client = anonymous();
        assert!(read(&client.registries, &repository(&server), &blob.descriptor()).unwrap() == blob.0, "{status}");
        assert_eq!(server.requests().len(), 3, "half, the refused rest, the whole");
        let part = client.registries.range(&repository(&server), &blob.descriptor(), 5, 10).unwrap();
        assert!(part.is_none(), "{status}: a place without ranges says so");
    }
}

#[test]
fn r3_a_stream_that_always_breaks_ends() {
    let blob = content(1 << 20, 33);
    let bytes = blob.0.clone();
    let server = Server::start(move |request, _| match (request.path.as_str(), first_byte(request)) {
        ("/v2/", _) => reply(200, ""),
        (_, from) => Reply { cut: Some(10), ..partial(&bytes, from.unwrap_or(0)) },
    });
    let error = read(&anonymous().registries, &repository(&server), &blob.descriptor()).unwrap_err();
    assert_eq!(error.class, Kind::Failed, "{error}");
    assert!(server.requests().len() <= 6);
}

#[test]
fn r1_r2_lies_are_a_mismatch() {
    let blob = content(2000, 34);
    let mut lie = blob.0.clone();
    lie[1999] ^= 1;
    for answer in [lie.clone(), blob.0[..1999].to_vec(), [blob.0.clone(), vec![0]].concat()] {
        let server = Server::start(move |request, _| match request.path.as_str() {
            "/v2/" => reply(200, ""),
            _ => reply(200, answer.clone()).with("Docker-Content-Digest", Digest::sha256(b"x").to_string()),
        });
        let client = anonymous();
        let blob = blob.descriptor();
        assert_eq!(read(&client.registries, &repository(&server), &blob).unwrap_err().class, Kind::Mismatch);
        let document = client.registries.document(&repository(&server), &blob);
        assert_eq!(document.unwrap_err().class, Kind::Mismatch);
    }
    let server = Server::start(|_, _| reply(200, vec![b' '; 5 << 20]).with("Content-Type", media_type::OCI_MANIFEST));
    let big = Descriptor::new(media_type::OCI_MANIFEST, Digest::sha256(b""), 5 << 20);
    let error = anonymous().registries.document(&repository(&server), &big).unwrap_err();
    assert_eq!(error.class, Kind::Mismatch, "{error}");
}

#[test]
fn r1_a_digest_pins_whatever_head_says() {
    let server =
        Server::start(|_, _| manifest_reply().with("Docker-Content-Digest", Digest::sha256(b"another").to_string()));
    let wanted: Reference = format!("{}/a/b@{}", server.host, Digest::sha256(b"wanted")).parse().unwrap();
    assert_eq!(anonymous().registries.resolve(&wanted).unwrap_err().class, Kind::Mismatch);
}

#[test]
fn r1_a_manifest_that_was_broken_on_the_way_is_asked_for_once_more() {
    for broken in [1, 2] {
        let server = Server::start(move |request, before| match request.path.as_str() {
            "/v2/" => reply(200, ""),
            _ if before <= broken => reply(200, "{}").with("Content-Type", media_type::OCI_MANIFEST),
            _ => manifest_reply(),
        });
        let config = Bytes(b"{}".to_vec()).descriptor();
        let wanted = manifest(&config, &config, None).descriptor();
        let found = anonymous().registries.document(&repository(&server), &wanted);
        assert_eq!(found.err().map(|error| error.class), (broken == 2).then_some(Kind::Mismatch), "{broken}");
        assert_eq!(server.requests().len(), 2);
    }
}

#[test]
fn r2_drips_end_though_something_always_comes() {
    let slow = |reply: Reply| Reply { drip: Some(Duration::from_millis(40)), ..reply };
    let blob = content(100_000, 38);
    let bytes = blob.0.clone();
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/v2/" => reply(200, ""),
        path if path.contains("/blobs/") => slow(reply(200, bytes.clone())),
        _ => slow(manifest_reply()),
    });
    let impatient = || {
        client(Settings {
            retries: 1,
            ..connecting(ClientSettings { idle: Duration::from_millis(200), ..ClientSettings::default() })
        })
    };
    let begun = Instant::now();
    let error = read(&impatient().registries, &repository(&server), &blob.descriptor()).unwrap_err();
    assert!(error.class == Kind::Failed && error.what.contains("a second"), "{error}");
    let config = Bytes(b"{}".to_vec()).descriptor();
    let wanted = manifest(&config, &config, None).descriptor();
    let error = impatient().registries.document(&repository(&server), &wanted).unwrap_err();
    assert!(error.class == Kind::Failed && error.what.contains("a second"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn r2_a_body_without_end_is_cut_at_its_size() {
    // No length: until the connection ends, which never happens.
    let server = Server::start(|request, _| match request.path.as_str() {
        "/v2/" => reply(200, ""),
        _ => reply(200, vec![7; 16 << 20]).with("Content-Length", (1_u64 << 60).to_string()),
    });
    let blob = content(1000, 39).descriptor();
    assert_eq!(read(&anonymous().registries, &repository(&server), &blob).unwrap_err().class, Kind::Mismatch);
    let big = Descriptor::new(media_type::OCI_MANIFEST, Digest::sha256(b""), 5);
    assert_eq!(anonymous().registries.document(&repository(&server), &big).unwrap_err().class, Kind::Mismatch);
}

#[test]
fn r3_content_that_changed_on_the_way_is_read_from_its_start() {
    let blob = content(1 << 20, 40);
    let bytes = blob.0.clone();
    // The version changes during the read; a server with If-Range reports it with 200, another with
    // 206.
    for knows in [true, false] {
        let (bytes, wholes) = (bytes.clone(), AtomicUsize::new(0));
        let server = Server::start(move |request, _| match (request.path.as_str(), first_byte(request)) {
            ("/v2/", _) => reply(200, ""),
            (_, Some(from)) => {
                assert_eq!(request.header("if-range"), Some("\"one\""));
                let whole = reply(200, bytes.clone());
                if knows { whole } else { partial(&bytes, from) }.with("ETag", "\"two\"")
            }
            (_, None) if wholes.fetch_add(1, Ordering::Relaxed) == 0 => {
                let half = Reply { cut: Some(bytes.len() / 2), ..reply(200, vec![9; bytes.len()]) };
                half.with("ETag", "\"one\"")
            }
            _ => reply(200, bytes.clone()).with("ETag", "\"two\""),
        });
        let client = anonymous();
        // The part of the old version does not fit the digest: detected, and never returned as a
        // whole blob.
        let error = read(&client.registries, &repository(&server), &blob.descriptor()).unwrap_err();
        assert_eq!(error.class, Kind::Mismatch, "{error}");
        let last = server.requests().pop().unwrap();
        assert_eq!(first_byte(&last).is_some(), knows, "read again from its start");
        assert!(read(&client.registries, &repository(&server), &blob.descriptor()).unwrap() == blob.0);
    }
}

#[test]
fn r3_breaks_at_ten_fifty_and_ninety_nine_percent() {
    let blob = content(3 << 20, 42);
    for percent in [10, 50, 99] {
        let bytes = blob.0.clone();
        let cut = bytes.len() / 100 * percent;
        let server = Server::start(move |request, _| match (request.path.as_str(), first_byte(request)) {
            ("/v2/", _) => reply(200, ""),
            (_, None) => Reply { cut: Some(cut), ..reply(200, bytes.clone()) },
            (_, Some(from)) => partial(&bytes, from),
        });
        assert!(read(&anonymous().registries, &repository(&server), &blob.descriptor()).unwrap() == blob.0);
        assert_eq!(first_byte(&server.requests()[1]), Some(cut), "{percent}");
    }
}
