//! The room of a cache: content that stays, and content that goes.

use super::{Store, blob, files, is_manifest, open, start, wait};
use crate::upstream::{Mood, Upstream, rule};

#[test]
fn c12_content_stays_without_its_rule_and_the_least_used_goes() {
    let (upstream, site) = (Upstream::start(), Store::new());
    let (one, first) = upstream.image("a", &["1"], 400_000, 1);
    let (two, second) = upstream.image("b", &["1"], 400_000, 2);
    let up = format!("{}/*", upstream.host());
    let cache = open(&site.path(), vec![rule("up", &up, "up/*")], Some(600_000));
    let server = start(&cache, Vec::new());
    is_manifest(&server.get("/v2/up/a/manifests/1"), &one);
    assert_eq!(server.get(&blob("up/a", &first)).body, first.0);
    is_manifest(&server.get("/v2/up/b/manifests/1"), &two);
    assert_eq!(server.get(&blob("up/b", &second)).body, second.0);
    // What is complete is counted a moment after its client has it.
    wait(&site.path(), |files| {
        files.contains(&second.descriptor().digest.hex())
            && !files.contains(&first.descriptor().digest.hex())
            && cache.bytes().unwrap() <= 600_000
    });
    assert_eq!(server.get(&blob("up/a", &first)).body, first.0, "fetched again");
    assert_eq!(upstream.asked("GET", &first.descriptor().digest.to_string()), 2);
    cache.settle();
    drop((server, cache));
    let kept = files(&site.path());
    let cache = open(&site.path(), Vec::new(), None);
    let server = start(&cache, Vec::new());
    assert_eq!(server.get("/v2/up/a/manifests/1").status, 404);
    assert_eq!(files(&site.path()), kept);
    drop((server, cache));
    upstream.set(Mood::Down);
    let cache = open(&site.path(), vec![rule("again", &up, "x/*")], None);
    let server = start(&cache, Vec::new());
    is_manifest(&server.get("/v2/x/a/manifests/1"), &one);
    // It is a layout like any other.
    let layout = packmule::layout::Layout::open(&site.path()).unwrap();
    assert!(layout.find(Some(&format!("{}/a:1", upstream.host()))).is_ok());
}
