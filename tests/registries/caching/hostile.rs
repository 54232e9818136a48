//! Upstreams that lie, send without end, hang, and fish for logins: nothing wrong reaches a client, and
//! neither another upstream's clients nor its login are reached through the cache.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use packmule::content::Source;
use packmule::decide::rules::Rule;
use packmule::oci::{Descriptor, Digest, Document};
use packmule::registry::{Credential, Registries, Settings as Network};

use super::{Store, blob, files, flow, is_broken, is_manifest, open, open_with, registries, start, wait};
use crate::hosts::{Bytes, content, manifest};
use crate::server::{Reply, Request, Server, reply};
use crate::upstream::{Upstream, rule};

/// The login of the private upstream: `user`, and its Basic form.
const PASSWORD: &str = "canary-3107";
const BASIC: &str = "Basic dXNlcjpjYW5hcnktMzEwNw==";

/// Fails the test if a server got a login, or anything with it.
fn is_unhurt(server: &Server) {
    for request in server.all_requests() {
        let text = format!("{request:?}{}", String::from_utf8_lossy(&request.body));
        let has_login = ["authorization", "cookie"].iter().any(|name| request.header(name).is_some());
        assert!(!has_login && !text.contains("canary") && !text.contains("dXNlcjpjYW5h"), "{text}");
    }
}

/// An upstream with one manifest, `1`, whose config and layers are `named`; `answer` sends its blobs.
fn one(named: &[Descriptor], answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (Server, Document) {
    let json = serde_json::json!({
        "schemaVersion": 2, "mediaType": packmule::oci::media_type::OCI_MANIFEST,
        "config": named[0], "layers": &named[1..],
    });
    let kind = packmule::oci::media_type::OCI_MANIFEST;
    let document = Document::parse(kind, json.to_string().into_bytes()).unwrap();
    let own = document.clone();
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/v2/" => reply(200, "{}"),
        path if path.contains("/blobs/") => answer(request),
        path if path.ends_with("/manifests/1") || path.ends_with(&own.digest().to_string()) => {
            reply(200, own.raw()).with("Content-Type", own.media_type())
        }
        _ => reply(404, "{}"),
    });
    (server, document)
}

#[test]
fn c9_a_lie_about_a_digest_or_a_size_stays_with_the_upstream_that_told_it() {
    let (honest, site) = (Upstream::start(), Store::new());
    let (good, layer) = honest.image("org/app", &["1"], 400_001, 1);
    let of = |size: u64| Descriptor::new("a/b", layer.descriptor().digest, size);
    // The same blob, of another size, with a manifest of its own; and wrong bytes under the right size.
    let bytes = layer.0.clone();
    let (larger, _) = one(&[of(400_002)], move |_| reply(200, [&bytes[..], b"x"].concat()));
    let bytes = layer.0.clone();
    let (smaller, _) = one(&[of(400_000)], move |_| reply(200, &bytes[..400_000]));
    let (huge, _) = one(&[of(1 << 50)], |_| reply(200, "").with("Content-Length", (1_u64 << 50).to_string()));
    let (other, _) = one(&[of(400_001)], |_| reply(200, vec![0; 400_001]));
    let (short, _) = one(&[of(400_001)], |_| Reply { cut: Some(399_999), ..reply(200, vec![0; 400_001]) });
    let evil = [&larger, &smaller, &huge, &other, &short];
    let mut rules = vec![rule("good", &format!("{}/*", honest.host()), "good/*")];
    rules.extend(evil.iter().enumerate().map(|(number, server)| {
        rule(&format!("evil{number}"), &format!("{}/*", server.host), &format!("evil{number}/*"))
    }));
    let cache = open(&site.path(), rules, Some(10 << 20));
    let server = start(&cache, Vec::new());
    // Before and after the honest one was asked.
    for is_kept in [false, true] {
        for number in 0..evil.len() {
            assert_eq!(server.get(&format!("/v2/evil{number}/x/manifests/1")).status, 200);
            if !is_kept {
                is_broken(&server, &blob(&format!("evil{number}/x"), &layer), layer.0.len());
                assert!(!files(&site.path()).contains(&layer.descriptor().digest.hex()), "{number}");
            }
        }
        is_manifest(&server.get("/v2/good/org/app/manifests/1"), &good);
        let got = server.get(&blob("good/org/app", &layer));
        assert!(got.status == 200 && got.is_whole && got.body == layer.0, "{is_kept} {}", got.status);
        cache.settle();
    }
    // What was claimed removed nothing, and no unfinished file is left.
    wait(&site.path(), |files| files.iter().all(|file| !file.starts_with('.')));
    assert!(cache.bytes().unwrap() < 2 << 20, "{:?}", cache.bytes());
}

#[test]
fn c9_a_manifest_is_what_its_upstream_says_it_is_or_nothing() {
    let config = Bytes(b"{}".to_vec()).descriptor();
    let (real, wrong) = (manifest(&config, &config, None), manifest(&config, &config, Some(&config)));
    let (stated, sent) = (real.digest().to_string(), wrong.raw().to_vec());
    let liar = Server::start(move |request, _| match request.path.as_str() {
        "/v2/" => reply(200, "{}"),
        path if path.contains("/manifests/") => {
            let answer = reply(200, sent.clone()).with("Content-Type", packmule::oci::media_type::OCI_MANIFEST);
            answer.with("Docker-Content-Digest", stated.clone())
        }
        _ => reply(404, "{}"),
    });
    let site = Store::new();
    let cache = open(&site.path(), vec![rule("liar", &format!("{}/*", liar.host), "liar/*")], None);
    let server = start(&cache, Vec::new());
    for reference in ["1".to_owned(), real.digest().to_string(), Digest::sha256(b"any").to_string()] {
        let got = server.get(&format!("/v2/liar/x/manifests/{reference}"));
        assert_eq!(got.status, 502, "{reference}");
    }
    cache.settle();
    assert!(files(&site.path()).is_empty());
    // Under its own digest it is no lie.
    is_manifest(&server.get(&format!("/v2/liar/x/manifests/{}", wrong.digest())), &wrong);
}

/// A server that answers blobs without a length and without an end; counts what it could send.
fn endless(document: &Document) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (host, sent) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicU64::new(0)));
    let (count, document) = (Arc::clone(&sent), document.clone());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (count, document) = (Arc::clone(&count), document.clone());
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                    head.push(byte[0]);
                    if head[0] != b'G' && head[0] != b'H' {
                        // Whether it speaks TLS.
                        let mut rest = [0; 4096];
                        drop(stream.read(&mut rest));
                        drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
                        return;
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                if head.contains("/manifests/") {
                    let (kind, length) = (document.media_type(), document.size());
                    let answer = format!(
                        "HTTP/1.1 200 X\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                    );
                    drop(stream.write_all(answer.as_bytes()).and_then(|()| stream.write_all(document.raw())));
                } else if head.contains("/blobs/") {
                    drop(stream.write_all(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n"));
                    let piece = vec![7; 64 << 10];
                    while stream.write_all(&piece).is_ok() {
                        count.fetch_add(piece.len() as u64, Ordering::Relaxed);
                    }
                } else {
                    drop(stream.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"));
                }
            });
        }
    });
    (host, sent)
}

#[test]
fn c9_a_body_without_end_ends_at_the_size_that_the_manifest_states() {
    let blob_of = content(300_000, 5);
    let document = manifest(&blob_of.descriptor(), &blob_of.descriptor(), None);
    let (host, sent) = endless(&document);
    let site = Store::new();
    let cache = open(&site.path(), vec![rule("evil", &format!("{host}/*"), "evil/*")], None);
    let server = start(&cache, Vec::new());
    is_manifest(&server.get("/v2/evil/x/manifests/1"), &document);
    let begun = Instant::now();
    is_broken(&server, &blob("evil/x", &blob_of), 300_000);
    assert!(begun.elapsed() < Duration::from_secs(20));
    std::thread::sleep(Duration::from_millis(200));
    let after = sent.load(Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(sent.load(Ordering::Relaxed), after, "the connection is closed");
    cache.settle();
    wait(&site.path(), |files| files.len() == 1);
}

#[test]
fn c9_an_upstream_that_hangs_holds_up_nobody_else() {
    let (honest, site) = (Upstream::start(), Store::new());
    let (good, layer) = honest.image("org/app", &["1"], 400_001, 1);
    let bytes = layer.0.clone();
    // One byte each second, of the right content.
    let (slow, _) =
        one(&[layer.descriptor()], move |_| Reply { drip: Some(Duration::from_secs(1)), ..reply(200, bytes.clone()) });
    let rules = vec![
        rule("good", &format!("{}/*", honest.host()), "good/*"),
        rule("slow", &format!("{}/*", slow.host), "slow/*"),
    ];
    let cache = open(&site.path(), rules, None);
    let server = Arc::new(start(&cache, Vec::new()));
    assert_eq!(server.get("/v2/slow/x/manifests/1").status, 200);
    let hanging = std::net::TcpStream::connect(server.address).unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", blob("slow/x", &layer));
    (&hanging).write_all(request.as_bytes()).unwrap();
    while !slow.requests().iter().any(|request| request.path.contains("/blobs/")) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let begun = Instant::now();
    is_manifest(&server.get("/v2/good/org/app/manifests/1"), &good);
    let got = server.get(&blob("good/org/app", &layer));
    assert!(got.status == 200 && got.is_whole && got.body == layer.0, "{}", got.status);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// A private upstream: everything for its login, nothing without.
fn private(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |request, _| match request.header("authorization") {
        Some(BASIC) => answer(request),
        _ => reply(401, "{}").with("WWW-Authenticate", "Basic realm=\"private\""),
    })
}

/// Registries that know a login for `host`, as a machine's own configuration does, and for no other.
fn knowing(host: &str) -> Arc<dyn Source> {
    let host = host.to_owned();
    let credentials = move |asked: &str, _: &str| Ok((asked == host).then(|| Credential::password("user", PASSWORD)));
    let settings =
        Network { retries: 0, retry_for: Duration::ZERO, credentials: Box::new(credentials), ..Network::default() };
    Arc::new(Registries::new(settings, flow()).unwrap())
}

#[test]
fn c7_a_redirect_fishes_neither_a_login_nor_what_it_protects() {
    let secret = content(200_000, 9);
    let bytes = secret.0.clone();
    let guarded =
        private(move |request| if request.path == "/v2/" { reply(200, "{}") } else { reply(200, bytes.clone()) });
    let fisher = Server::start(|_, _| reply(404, "{}"));
    // An evil upstream that sends to the private one, for content that it knows the digest of.
    let to = format!("http://{}/v2/x/blobs/{}", guarded.host, secret.descriptor().digest);
    let (thief, _) = one(&[secret.descriptor()], move |_| reply(307, "").with("Location", to.clone()));
    // A private upstream, taken over, that sends to a listener.
    let to = format!("http://{}/caught", fisher.host);
    let config = Bytes(b"{}".to_vec());
    let document = manifest(&config.descriptor(), &secret.descriptor(), None);
    let own = document.clone();
    let taken = private(move |request| match request.path.as_str() {
        "/v2/" => reply(200, "{}"),
        path if path.contains("/manifests/") => reply(200, own.raw()).with("Content-Type", own.media_type()),
        path if path.contains("/tags/") => reply(307, "").with("Location", to.clone()),
        path if path.contains("/referrers/") => {
            let list = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
            reply(200, list)
                .with("Content-Type", packmule::oci::media_type::OCI_INDEX)
                .with("Link", format!("<{to}>; rel=\"next\""))
        }
        _ => reply(307, "").with("Location", to.clone()),
    });
    let site = Store::new();
    let with = |name: &str, host: &str, credential: Option<&str>| Rule {
        credential: credential.map(Into::into),
        ..rule(name, &format!("{host}/*"), &format!("{name}/*"))
    };
    let rules = vec![
        with("private", &guarded.host, Some("own")),
        with("thief", &thief.host, None),
        with("taken", &taken.host, Some("taken")),
    ];
    let sources = [
        (Some("own".to_owned()), registries(Some(PASSWORD))),
        (Some("taken".to_owned()), knowing(&taken.host)),
        // Whoever has no credential of its own may still find logins of the machine.
        (None, knowing(&guarded.host)),
    ];
    let cache = open_with(&site.path(), rules, sources.into(), None);
    let server = start(&cache, Vec::new());
    assert_eq!(server.get("/v2/thief/x/manifests/1").status, 200);
    let got = server.get(&blob("thief/x", &secret));
    assert!(got.status == 502 && !got.body.windows(8).any(|part| part == &secret.0[..8]), "{}", got.status);
    let reached = guarded.all_requests();
    assert!(!reached.is_empty() && reached.iter().all(|request| request.header("authorization").is_none()));
    is_manifest(&server.get("/v2/taken/x/manifests/1"), &document);
    assert_ne!(server.get(&blob("taken/x", &secret)).status, 200);
    assert_eq!(server.get("/v2/taken/x/tags/list").json()["tags"], serde_json::json!(["1"]), "what is kept");
    server.get(&format!("/v2/taken/x/referrers/{}", document.digest()));
    assert!(!fisher.all_requests().is_empty(), "it was asked, without");
    is_unhurt(&fisher);
}

#[test]
fn c7_a_realm_elsewhere_gets_no_login() {
    let fisher = Server::start(|_, _| reply(200, r#"{"token":"bought-by-nobody"}"#));
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"s\",scope=\"repository:x:pull\"", fisher.host);
    let upstream = Server::start(move |_, _| reply(401, "{}").with("WWW-Authenticate", realm.clone()));
    let site = Store::new();
    let own = Rule { credential: Some("own".into()), ..rule("own", &format!("{}/*", upstream.host), "own/*") };
    let sources = [(Some("own".to_owned()), registries(Some(PASSWORD)))];
    let cache = open_with(&site.path(), vec![own], sources.into(), None);
    let server = start(&cache, Vec::new());
    for target in ["manifests/1", "tags/list"] {
        let got = server.ask("GET", &format!("/v2/own/x/{target}"), &["Authorization: Basic Y2xpZW50OnNlY3JldA=="]);
        assert_eq!(got.status, 502, "{target}");
        assert!(!String::from_utf8_lossy(&got.body).contains(&fisher.host), "nothing of it reaches a client");
    }
    is_unhurt(&fisher);
    let sent = format!("{:?}", upstream.all_requests());
    assert!(!sent.contains("canary") && !sent.contains("Basic"), "an unknown realm is no reason to send it: {sent}");
}
