//! Clients and content that mean the server harm: broken content, odd paths, smuggling, slow and
//! greedy clients, a replacement while a client reads.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use packmule::content::router::Place;
use packmule::layout::Layout;
use packmule::serve::{Index, Server, Settings};

use packmule::oci::Digest;
use packmule::operate::serve::{Directories, Watched};

use super::hosts::content;
use super::served::{Heard, LARGE, Running, Site, answer, flow, of_bundle, of_layout, put, serve};

fn flip(path: &std::path::Path, at: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 1;
    file.write_all_at(&byte, at).unwrap();
}

/// A body whose digest does not hold never ends cleanly.
fn broken(server: &Running, target: &str) {
    for range in [
        None,
        Some("Range: bytes=0-"),
        Some("Range: bytes=-5"),
        Some("Range: bytes=300000-"),
        Some("Range: bytes=0-0,-5"),
    ] {
        let got = server.ask("GET", target, range.as_slice());
        assert!(!got.is_whole || got.status == 500, "{range:?}: {} {}", got.status, got.body.len());
        assert!(!got.is_whole || got.code() == "UNKNOWN");
    }
    let failures = server.heard.failures.lock().unwrap();
    assert!(failures.iter().any(|text| text.contains("content has digest") || text.contains("volume")), "{failures:?}");
    let requests = server.heard.requests.lock().unwrap();
    assert!(requests.iter().all(|one| one.status == 500 || !one.is_complete), "{requests:?}");
}

#[test]
fn a_body_whose_digest_does_not_hold_never_ends_cleanly() {
    let site = Site::new();
    let layer = site.layer.descriptor().digest;
    let target = format!("/v2/org/app/blobs/{layer}");
    let bundle = site.bundle("b", &[]);
    for at in [0, LARGE as u64 / 2, LARGE as u64 - 1] {
        let path = site.blob(layer);
        flip(&path, at);
        broken(&serve(vec![of_layout(&site.layout())]), &target);
        flip(&path, at);
    }
    let volume = site.dir.path().join("b.0001.tar.zst");
    let length = std::fs::metadata(&volume).unwrap().len();
    flip(&volume, length - LARGE as u64 / 2);
    let server = serve(vec![of_bundle(&bundle, &site.policy())]);
    let got = server.get(&target);
    assert!(!got.is_whole || got.status == 500, "{}", got.status);
    // A file that is shorter or longer than its name promises.
    for size in [LARGE as u64 - 1, LARGE as u64 + 1] {
        let file = std::fs::OpenOptions::new().write(true).open(site.blob(layer)).unwrap();
        file.set_len(size).unwrap();
        let got = serve(vec![of_layout(&site.layout())]).get(&target);
        assert!(!got.is_whole || got.status == 500, "{size}: {}", got.status);
    }
    // A manifest.
    flip(&site.blob(site.app.digest()), 5);
    let server = serve(vec![of_layout(&site.layout())]);
    assert_eq!(server.get("/v2/org/app/manifests/v1").status, 500);
    assert_eq!(server.get("/v2/library/base/manifests/1").status, 200, "others are served");
}

#[test]
fn an_empty_file_under_another_digest_is_refused() {
    let site = Site::new();
    let digest = Digest::sha256(b"something");
    std::fs::write(site.blob(digest), b"").unwrap();
    let server = serve(vec![of_layout(&site.layout())]);
    assert_eq!(server.get(&format!("/v2/org/app/blobs/{digest}")).status, 500);
}

#[test]
fn no_path_reaches_the_file_system() {
    let site = Site::new();
    std::fs::write(site.dir.path().join("secret"), "canary").unwrap();
    let server = serve(vec![of_layout(&site.layout())]);
    let hex = site.layer.descriptor().digest.hex();
    for target in [
        "/../secret",
        "/v2/../secret",
        "/v2/../../../../etc/passwd",
        "/%2e%2e/secret",
        "/v2/..%2f..%2fsecret/tags/list",
        "/v2/org/app/blobs/../../../secret",
        "/v2/org/app/blobs/sha256:..%2f..%2f..%2fsecret",
        "/v2/org/app/manifests/..%2fsecret",
        "/v2/org/app/manifests/%00",
        "/v2/%2fetc%2fpasswd/manifests/x",
        "//etc/passwd",
        "/v2/org/app/blobs/index.json",
        "/v2/org/app/blobs/SHA256:00",
        "/v2/org\\app/tags/list",
        "/v2/org/app/tags/list/../../../secret",
        "/v2/ORG/app/tags/list",
        "/v2/./org/app/tags/list",
        "/v2/org//app/tags/list",
        "/v2/org%2fapp/tags/list",
    ] {
        let got = server.get(target);
        assert!(matches!(got.status, 400 | 404), "{target}: {}", got.status);
        assert!(!String::from_utf8_lossy(&got.body).contains("canary"), "{target}");
    }
    // A whole address in place of a path is that path.
    let raw = server.raw(
        format!(
            "GET http://evil.example/v2/org/app/blobs/sha256:{hex} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .as_bytes(),
    );
    assert!(answer(&raw, false).body == site.layer.0);
}

#[test]
fn ambiguous_and_oversized_requests_are_refused() {
    let site = Site::new();
    let server = serve(vec![of_layout(&site.layout())]);
    let refused = |request: &str| {
        let got = server.raw(request.as_bytes());
        let text = String::from_utf8_lossy(&got).into_owned();
        assert!(!text.contains("200 OK") && text.matches("HTTP/1.1 ").count() <= 1, "{request:?}: {text}");
    };
    let smuggled = "GET /v2/_catalog HTTP/1.1\r\nHost: x\r\n\r\n";
    for head in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: -1",
        "Content-Length: 0x5",
        "Content-Length : 0",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Bad Header: x",
        "X: a\0b",
    ] {
        refused(&format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n{smuggled}"));
    }
    refused(&format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(64 << 10)));
    refused(&format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(64 << 10)));
    refused(&format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: a\r\n".repeat(200)));
    refused("GET /v2/ HTTP/9.9\r\nHost: x\r\n\r\n");
    refused("\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03");
    // Both lengths: what follows the first request is never answered as one of its own.
    let both = "POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";
    let got = server.raw(format!("{both}0\r\n\r\n{smuggled}").as_bytes());
    assert!(!String::from_utf8_lossy(&got).contains("repositories"), "{}", String::from_utf8_lossy(&got));
    // A large body is not read.
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream
        .write_all(b"PUT /v2/org/app/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        .unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 405");
    assert_eq!(server.get("/v2/").status, 200, "it goes on");
}

#[test]
fn a_client_that_takes_nothing_holds_up_nobody_else() {
    let site = Site::new();
    let server = serve(vec![of_layout(&site.layout())]);
    let target = format!("/v2/org/app/blobs/{}", site.layer.descriptor().digest);
    let lazy: Vec<TcpStream> = (0..150)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
            stream
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(server.get("/v2/org/app/manifests/v1").status, 200);
    }
    drop(lazy);
    let got = server.get(&target);
    assert!(got.is_whole && got.body == site.layer.0);
}

#[test]
fn a_newer_bundle_is_taken_when_all_of_it_is_there_and_right() {
    let site = Site::new();
    std::fs::create_dir(site.dir.path().join("in")).unwrap();
    let first = site.bundle("in/c-1", &["--channel", "c", "--init-state"]);
    let policy = site.policy();
    let offered = vec![of_bundle(&first, &policy)];
    let keeper = packmule::operate::freshness::Keeper::new(
        packmule::operate::freshness::Side::Look,
        false,
        false,
        None,
        1_767_225_600,
    );
    let watched = Watched {
        dir: site.dir.path().join("in"),
        place: 0,
        policy: policy.clone(),
        keeper,
        channel: "c".to_owned(),
        position: (0, 1),
    };
    let mut newer = Directories::new(offered, vec![watched], Vec::new());
    let look = |newer: &mut Directories| newer.look(&flow());
    for _ in 0..3 {
        assert!(look(&mut newer).unwrap().is_none(), "nothing newer");
    }
    // One of another channel, and one by an unknown key, are not taken.
    site.bundle("in/d-9", &["--channel", "d", "--init-state"]);
    for _ in 0..3 {
        assert!(look(&mut newer).unwrap().is_none(), "another channel");
    }
    site.bundle("in/c-2", &["--channel", "c", "--volume-size", "32MiB"]);
    let volume = site.dir.path().join("in/c-2.0001.tar.zst");
    let away = site.dir.path().join("away");
    std::fs::rename(&volume, &away).unwrap();
    for _ in 0..3 {
        assert!(look(&mut newer).unwrap().is_none(), "it is not complete");
    }
    let length = std::fs::metadata(&away).unwrap().len();
    flip(&away, length / 2);
    std::fs::copy(&away, &volume).unwrap();
    assert!(look(&mut newer).unwrap().is_none(), "it may still change");
    assert!(look(&mut newer).is_err(), "every byte is checked");
    assert!(look(&mut newer).unwrap().is_none(), "once");
    flip(&away, length / 2);
    std::fs::remove_file(&volume).unwrap();
    std::fs::copy(&away, &volume).unwrap();
    // The file may have got the same size within one tick of the clock.
    std::fs::write(site.dir.path().join("in/note.txt"), "x").unwrap();
    assert!(look(&mut newer).unwrap().is_none(), "it may still change");
    let found = look(&mut newer).unwrap().expect("the newer one");
    assert_eq!(found[0].bundle.as_ref().unwrap().channel, Some(("c".to_owned(), 0, 2)));
    assert!(look(&mut newer).unwrap().is_none());
}

#[test]
fn stopping_lets_a_client_finish() {
    let site = Site::new();
    let server = serve(vec![of_layout(&site.layout())]);
    let mut stream = TcpStream::connect(server.address).unwrap();
    let target = format!("/v2/org/app/blobs/{}", site.layer.descriptor().digest);
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
    let mut start = vec![0; 1000];
    stream.read_exact(&mut start).unwrap();
    let address = server.address;
    let stopping = std::thread::spawn(move || drop(server));
    let begun = Instant::now();
    while TcpStream::connect(address).is_ok() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    stream.read_to_end(&mut start).unwrap();
    assert!(answer(&start, false).body == site.layer.0);
    stopping.join().unwrap();
}

struct NoPage;

impl packmule::serve::Page for NoPage {
    fn html(&self, _: &str, _: bool) -> String {
        String::new()
    }
}

#[test]
fn what_is_replaced_is_still_sent_to_whoever_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path()).unwrap();
    // More than the buffers of a connection hold.
    let layer = content(32 << 20, 5);
    put(&layout, "reg.example/a", &["1"], b"{}", &layer);
    packmule::content::Destination::finish(&layout).unwrap();
    drop(layout);
    let source: Arc<dyn packmule::content::Source> = Arc::new(Layout::open(dir.path()).unwrap());
    let place = Place { name: "a".to_owned(), source: Arc::clone(&source) };
    let mut index = Index::new(vec![place]);
    for artifact in source.holdings().unwrap().artifacts().unwrap() {
        index.add("a", 0, &artifact).unwrap();
    }
    let settings = Settings { threads: 2, ..Settings::default() };
    let listen = ([127, 0, 0, 1], 0).into();
    let server =
        Server::bind(listen, settings, (index, Arc::new(NoPage)), Arc::new(Heard::default()), &flow()).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| server.run(&|| over.load(Ordering::Relaxed)).unwrap());
        let ask = |tail: &str| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream
                .write_all(format!("GET /v2/a/{tail} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
                .unwrap();
            stream
        };
        let mut reading = ask(&format!("blobs/{}", layer.descriptor().digest));
        let mut got = vec![0; 1000];
        reading.read_exact(&mut got).unwrap();
        server.replace(Index::new(Vec::new()), Arc::new(NoPage));
        let mut after = Vec::new();
        ask("manifests/1").read_to_end(&mut after).unwrap();
        assert_eq!(answer(&after, false).status, 404, "new requests see what is new");
        reading.read_to_end(&mut got).unwrap();
        assert!(answer(&got, false).body == layer.0);
        over.store(true, Ordering::Relaxed);
        assert!(serving.join().unwrap());
    });
}
