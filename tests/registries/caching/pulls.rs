//! Pulls through the cache: the first, later ones, many at once, and broken ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use packmule::decide::rules::Rule;
use packmule::operate::serve::Health;

use super::{Store, blob, files, is_broken, is_manifest, open, start, wait};
use crate::hosts::content;
use crate::upstream::{Mood, Upstream, rule};

#[test]
fn c9_the_first_pull_fills_the_cache_and_the_kept_copy_outlives_the_upstream() {
    let (upstream, site) = (Upstream::start(), Store::new());
    let (document, layer) = upstream.image("org/app", &["1"], 700_001, 1);
    let rules =
        || vec![Rule { refresh: Duration::from_millis(200), ..rule("up", &format!("{}/*", upstream.host()), "up/*") }];
    let cache = open(&site.path(), rules(), None);
    let server = start(&cache, Vec::new());
    assert_eq!(server.get("/v2/up/org/app/manifests/2").status, 404);
    is_manifest(&server.get("/v2/up/org/app/manifests/1"), &document);
    is_manifest(&server.get(&format!("/v2/up/org/app/manifests/{}", document.digest())), &document);
    let head = server.ask("HEAD", &blob("up/org/app", &layer), &[]);
    assert_eq!((head.status, head.header("content-length")), (200, Some("700001")));
    for _ in 0..2 {
        let got = server.get(&blob("up/org/app", &layer));
        assert!(got.status == 200 && got.is_whole && got.body == layer.0);
    }
    // A part is answered once the blob has its file.
    let hex = layer.descriptor().digest.hex();
    wait(&site.path(), |files| files.contains(&hex));
    let part = server.ask("GET", &blob("up/org/app", &layer), &["Range: bytes=5-9"]);
    assert_eq!((part.status, &part.body[..]), (206, &layer.0[5..10]));
    assert_eq!(upstream.asked("GET", "/blobs/"), 1, "once");
    let list = server.get("/v2/up/org/app/tags/list").json();
    assert_eq!((list["name"].as_str(), list["tags"].as_array().unwrap().len()), (Some("up/org/app"), 1));
    assert_eq!(server.get("/v2/_catalog").json()["repositories"][0], "up/org/app");
    // Names that no rule covers.
    assert_eq!(server.get("/v2/other/app/manifests/1").code(), "NAME_UNKNOWN");
    for mood in [Mood::Down, Mood::Limiting] {
        upstream.set(mood);
        std::thread::sleep(Duration::from_millis(250));
        is_manifest(&server.get("/v2/up/org/app/manifests/1"), &document);
        assert_eq!(server.get("/v2/up/org/app/manifests/none").status, 502, "never fetched");
    }
    assert!(matches!(cache.health()[0], Health::Failing(..)));
    drop(server);
    drop(cache);
    // Another process, which finds what is kept.
    let cache = open(&site.path(), rules(), None);
    let server = start(&cache, Vec::new());
    is_manifest(&server.get("/v2/up/org/app/manifests/1"), &document);
    assert_eq!(server.get(&blob("up/org/app", &layer)).body, layer.0);
    assert_eq!(server.get("/v2/up/org/app/tags/list").json()["tags"][0], "1");
    upstream.set(Mood::Good);
}

#[test]
fn c9_a_tag_is_looked_at_again_after_its_time() {
    let (upstream, site) = (Upstream::start(), Store::new());
    let (old, _) = upstream.image("org/app", &["1"], 10, 1);
    let lasting = rule("up", &format!("{}/org/*", upstream.host()), "up/*");
    let cache = open(&site.path(), vec![lasting], None);
    let server = start(&cache, Vec::new());
    is_manifest(&server.get("/v2/up/app/manifests/1"), &old);
    let (new, _) = upstream.image("org/app", &["1"], 10, 2);
    is_manifest(&server.get("/v2/up/app/manifests/1"), &old);
    assert_eq!((upstream.asked("GET", "/manifests/1"), upstream.asked("HEAD", "/manifests/")), (1, 0), "one request");
    let cache2 = Store::new();
    let brief =
        Rule { refresh: Duration::from_millis(150), ..rule("brief", &format!("{}/org/app", upstream.host()), "brief") };
    let quick = open(&cache2.path(), vec![brief], None);
    let server = start(&quick, Vec::new());
    is_manifest(&server.get("/v2/brief/manifests/1"), &new);
    let (newer, _) = upstream.image("org/app", &["1"], 10, 3);
    std::thread::sleep(Duration::from_millis(200));
    is_manifest(&server.get("/v2/brief/manifests/1"), &newer);
    let strict = Rule {
        refresh: Duration::from_millis(1),
        serve_stale: false,
        ..rule("s", &format!("{}/org/app", upstream.host()), "s")
    };
    let cache3 = Store::new();
    let strict = open(&cache3.path(), vec![strict], None);
    let server = start(&strict, Vec::new());
    is_manifest(&server.get("/v2/s/manifests/1"), &newer);
    upstream.set(Mood::Down);
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(server.get("/v2/s/manifests/1").status, 502, "no stale copy");
}

#[test]
fn c9_many_clients_are_one_fetch() {
    let (upstream, site) = (Upstream::start(), Store::new());
    let (document, layer) = upstream.image("org/app", &["1"], 3_000_000, 1);
    let cache = open(&site.path(), vec![rule("up", &format!("{}/*", upstream.host()), "up/*")], None);
    let server = Arc::new(start(&cache, Vec::new()));
    upstream.set(Mood::Slow);
    let got = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                is_manifest(&server.get("/v2/up/org/app/manifests/1"), &document);
                let answer = server.get(&blob("up/org/app", &layer));
                assert!(answer.status == 200 && answer.is_whole && answer.body == layer.0);
                got.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    assert_eq!(got.into_inner(), 20);
    assert_eq!((upstream.asked("GET", "/blobs/"), upstream.asked("GET", "/manifests/1")), (1, 1));
}

#[test]
fn c9_a_broken_pull_is_reset_and_leaves_nothing() {
    let (upstream, site) = (Upstream::start(), Store::new());
    let (document, layer) = upstream.image("org/app", &["1"], 700_001, 1);
    let cache = open(&site.path(), vec![rule("up", &format!("{}/*", upstream.host()), "up/*")], None);
    let server = start(&cache, Vec::new());
    is_manifest(&server.get("/v2/up/org/app/manifests/1"), &document);
    cache.settle();
    let before = files(&site.path());
    for mood in [Mood::Cutting, Mood::Lying] {
        upstream.set(mood);
        is_broken(&server, &blob("up/org/app", &layer), layer.0.len());
        wait(&site.path(), |files| files == before);
    }
    // A manifest that is not what its digest says is never kept or passed on.
    let (other, _) = upstream.image("org/other", &["1"], 10, 2);
    assert_eq!(server.get("/v2/up/org/other/manifests/1").status, 502);
    assert_eq!(server.get(&format!("/v2/up/org/other/manifests/{}", other.digest())).status, 502);
    assert_eq!(files(&site.path()), before);
    upstream.set(Mood::Good);
    let got = server.get(&blob("up/org/app", &layer));
    assert!(got.is_whole && got.body == layer.0);
    is_manifest(&server.get("/v2/up/org/other/manifests/1"), &other);
    // A blob that no manifest names is not asked for.
    let unnamed = content(10, 99);
    upstream.put(format!("/v2/org/app/blobs/{}", unnamed.descriptor().digest), "x", &unnamed.0);
    assert_eq!(server.get(&blob("up/org/app", &unnamed)).code(), "BLOB_UNKNOWN");
    // Damage on the disk is never sent to its end, and is fetched again.
    let file = site.path().join("blobs/sha256").join(layer.descriptor().digest.hex());
    wait(&site.path(), |files| files.contains(&layer.descriptor().digest.hex()));
    let mut bytes = layer.0.clone();
    bytes[600_000] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    is_broken(&server, &blob("up/org/app", &layer), layer.0.len());
    assert!(server.get(&blob("up/org/app", &layer)).body == layer.0);
}
