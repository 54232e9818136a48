//! The cache in this process, before an upstream that fails, lies, is slow, and counts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use packmule::content::Source;
use packmule::decide::rules::{Rule, Rules};
use packmule::flow::{Flow, Silent};
use packmule::oci::{Descriptor, Document, media_type};
use packmule::operate::serve::{Cache, Health, Offered, Setup, What};
use packmule::registry::{Credential, Registries, Settings as Network};
use packmule::serve::Settings;
use packmule::signing::policy::Glob;

use super::hosts::{Bytes, Counting, content};
use super::served::{Answer, Running, Site, of_layout, route, serve_with};
use super::upstream::{Mood, Upstream, rule};

/// A cache with its directory and its clock.
struct Site2 {
    dir: tempfile::TempDir,
}

impl Site2 {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("cache")
    }
}

fn registries(credential: Option<&'static str>) -> Arc<dyn Source> {
    let flow = Flow::new(Arc::new(Silent), Arc::new(Counting::default()), 4, 2);
    let credentials = move |_: &str, _: &str| Ok(credential.map(|password| Credential::password("user", password)));
    let settings =
        Network { retries: 0, retry_for: Duration::ZERO, credentials: Box::new(credentials), ..Network::default() };
    Arc::new(Registries::new(settings, flow).unwrap())
}

fn open(dir: &Path, rules: Vec<Rule>, most: Option<u64>) -> Arc<Cache> {
    let flow = Flow::new(Arc::new(Silent), Arc::new(Counting::default()), 4, 2);
    let sources = [(None, registries(None))].into();
    let rules = Rules::new(rules).unwrap();
    Cache::open(&flow, Setup { rules, sources, dir: Some(dir), most, wanted: None }).unwrap()
}

fn start(cache: &Arc<Cache>, offered: Vec<Offered>) -> Running {
    let settings = Settings { threads: 2, ..Settings::default() };
    serve_with(offered, settings, route(&[], false), Some(Arc::clone(cache))).unwrap()
}

fn blob(name: &str, bytes: &Bytes) -> String {
    format!("/v2/{name}/blobs/{}", bytes.descriptor().digest)
}

/// Whether the file of a blob is in a layout, and no unfinished one.
fn files(dir: &Path) -> Vec<String> {
    let all = std::fs::read_dir(dir.join("blobs/sha256"));
    let mut all: Vec<String> =
        all.into_iter().flatten().map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

fn is_manifest(answer: &Answer, document: &Document) {
    assert_eq!((answer.status, &answer.body[..]), (200, document.raw()));
    assert_eq!(answer.header("docker-content-digest"), Some(&*document.digest().to_string()));
}

#[test]
fn c9_the_first_pull_fills_the_cache_and_the_kept_copy_outlives_the_upstream() {
    let (upstream, site) = (Upstream::start(), Site2::new());
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
    for _ in 0..500 {
        if files(&site.path()).contains(&hex) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
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
    let (upstream, site) = (Upstream::start(), Site2::new());
    let (old, _) = upstream.image("org/app", &["1"], 10, 1);
    let lasting = rule("up", &format!("{}/org/*", upstream.host()), "up/*");
    let cache = open(&site.path(), vec![lasting], None);
    let server = start(&cache, Vec::new());
    is_manifest(&server.get("/v2/up/app/manifests/1"), &old);
    let (new, _) = upstream.image("org/app", &["1"], 10, 2);
    is_manifest(&server.get("/v2/up/app/manifests/1"), &old);
    assert_eq!(upstream.asked("HEAD", "/manifests/1"), 1);
    let cache2 = Site2::new();
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
    let cache3 = Site2::new();
    let strict = open(&cache3.path(), vec![strict], None);
    let server = start(&strict, Vec::new());
    is_manifest(&server.get("/v2/s/manifests/1"), &newer);
    upstream.set(Mood::Down);
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(server.get("/v2/s/manifests/1").status, 502, "no stale copy");
}

#[test]
fn c9_many_clients_are_one_fetch() {
    let (upstream, site) = (Upstream::start(), Site2::new());
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
    assert_eq!((upstream.asked("GET", "/blobs/"), upstream.asked("HEAD", "/manifests/1")), (1, 1));
}

#[test]
fn c9_a_broken_pull_is_reset_and_leaves_nothing() {
    let (upstream, site) = (Upstream::start(), Site2::new());
    let (document, layer) = upstream.image("org/app", &["1"], 700_001, 1);
    let cache = open(&site.path(), vec![rule("up", &format!("{}/*", upstream.host()), "up/*")], None);
    let server = start(&cache, Vec::new());
    is_manifest(&server.get("/v2/up/org/app/manifests/1"), &document);
    let before = files(&site.path());
    for mood in [Mood::Cutting, Mood::Lying] {
        upstream.set(mood);
        let got = server.get(&blob("up/org/app", &layer));
        assert!(
            got.status != 200 || !got.is_whole && got.body.len() < layer.0.len(),
            "{} {}",
            got.status,
            got.body.len()
        );
        for _ in 0..100 {
            if files(&site.path()) == before {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(files(&site.path()), before);
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
    let mut bytes = layer.0.clone();
    bytes[600_000] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert!(!server.get(&blob("up/org/app", &layer)).is_whole);
    assert!(server.get(&blob("up/org/app", &layer)).body == layer.0);
}

#[test]
fn c2_c8_c11_names_by_rule_and_by_source_and_an_occupied_target() {
    let (upstream, site, held) = (Upstream::start(), Site2::new(), Site::new());
    let (document, _) = upstream.image("org/app", &["9"], 10, 1);
    let up = format!("{}/*", upstream.host());
    let cache = open(&site.path(), vec![rule("up", &up, "up/*")], None);
    let server = start(&cache, vec![of_layout(&held.layout())]);
    is_manifest(&server.get("/v2/org/app/manifests/v1"), &held.app);
    is_manifest(&server.get("/v2/up/org/app/manifests/9"), &document);
    is_manifest(&server.get(&format!("/v2/org/app/manifests/9?ns={}", upstream.host())), &document);
    assert_eq!(
        server.get("/v2/_catalog").json()["repositories"],
        serde_json::json!(["library/base", "org/app", "up/org/app"])
    );
    drop((server, cache));
    // What a place holds from a rule's source is found under the rule's name.
    let other = Site2::new();
    let rules = vec![rule("r", "reg.example/org/*", "mirror/*"), rule("hub", "docker.io/*", "hub/*")];
    let cache = open(&other.path(), rules, None);
    let server = start(&cache, vec![of_layout(&held.layout())]);
    is_manifest(&server.get("/v2/mirror/app/manifests/v1"), &held.app);
    assert_eq!(server.get("/v2/hub/base/manifests/1").status, 200, "library/");
    drop((server, cache));
    let third = Site2::new();
    let cache = open(&third.path(), vec![rule("up", &up, "org/*")], None);
    let settings = Settings { threads: 2, ..Settings::default() };
    let refused = serve_with(vec![of_layout(&held.layout())], settings, route(&[], false), Some(cache)).err().unwrap();
    assert_eq!(refused.class, packmule::base::fault::Class::Policy);
    assert!(
        refused.what.contains("org/app") && refused.what.contains("\"up\"") && refused.what.contains("reg.example"),
        "{refused}"
    );
}

#[test]
fn c10_only_what_the_filters_admit_is_fetched() {
    let (upstream, site) = (Upstream::start(), Site2::new());
    let (app, _) = upstream.image("a", &["3.1", "3.1-rc1", "4"], 10, 1);
    let config = |platform: &str| {
        let (os, architecture) = platform.split_once('/').unwrap();
        let config = Bytes(
            serde_json::json!({"os": os, "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": []}})
                .to_string()
                .into_bytes(),
        );
        upstream.put(format!("/v2/a/blobs/{}", config.descriptor().digest), "x", &config.0);
        let config = Descriptor { media_type: media_type::OCI_CONFIG.to_owned(), ..config.descriptor() };
        let json = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": []});
        let document = Document::parse(media_type::OCI_MANIFEST, json.to_string().into_bytes()).unwrap();
        upstream.document("a", &[], &document);
        let mut entry = serde_json::to_value(document.descriptor()).unwrap();
        entry["platform"] = serde_json::json!({"os": os, "architecture": architecture});
        (document, entry)
    };
    let ((amd, one), (arm, two)) = (config("linux/amd64"), config("linux/arm64"));
    let json = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [one, two]});
    let index = Document::parse(media_type::OCI_INDEX, json.to_string().into_bytes()).unwrap();
    upstream.document("a", &["3.multi"], &index);
    let list = Bytes(b"{\"spdx\":1}".to_vec());
    let sbom = |kind: &str| {
        let json = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": kind,
            "config": list.descriptor(), "layers": [list.descriptor()], "subject": app.descriptor(),
        });
        let document = Document::parse(media_type::OCI_MANIFEST, json.to_string().into_bytes()).unwrap();
        upstream.document("a", &[], &document);
        document
    };
    let (spdx, other) = (sbom("application/spdx+json"), sbom("application/other"));
    let listed = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [spdx.descriptor(), other.descriptor()]});
    upstream.put(format!("/v2/a/referrers/{}", app.digest()), media_type::OCI_INDEX, listed.to_string().as_bytes());
    let source = format!("{}/a", upstream.host());
    let glob = |text: &str| Glob::new(text.to_owned());
    let mut strict = rule("strict", &source, "strict");
    strict.filter.tags.include = vec![glob("3.*")];
    strict.filter.tags.exclude = vec![glob("*-rc*")];
    strict.filter.platforms = vec!["linux/amd64".parse().unwrap()];
    strict.filter.types.exclude = vec![glob("application/other")];
    let mut bare = rule("bare", &source, "bare");
    bare.filter.referrers = false;
    let cache = open(&site.path(), vec![bare, rule("all", &source, "all"), strict], None);
    let server = start(&cache, Vec::new());
    let status = |name: &str, reference: &str| server.get(&format!("/v2/{name}/manifests/{reference}")).status;
    for (tag, strict) in [("3.1", 200), ("3.1-rc1", 404), ("4", 404), ("3.multi", 200)] {
        assert_eq!((status("strict", tag), status("all", tag)), (strict, 200), "{tag}");
    }
    let tags = |name: &str| server.get(&format!("/v2/{name}/tags/list")).json()["tags"].as_array().unwrap().len();
    assert_eq!(tags("all"), 4);
    let (amd, arm) = (amd.digest().to_string(), arm.digest().to_string());
    for (digest, strict) in [(&amd, 200), (&arm, 404)] {
        assert_eq!(status("strict", digest), strict);
    }
    assert_eq!(status("all", &arm), 200);
    assert_eq!(status("strict", &arm), 404, "also when it is kept");
    let referrers = |name: &str| {
        let list = server.get(&format!("/v2/{name}/referrers/{}", app.digest())).json();
        let mut all: Vec<String> = list["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["artifactType"].as_str().unwrap().to_owned())
            .collect();
        all.sort();
        all
    };
    assert_eq!(referrers("all"), ["application/other", "application/spdx+json"]);
    assert_eq!(referrers("strict"), ["application/spdx+json"]);
    assert!(referrers("bare").is_empty());
    assert_eq!(status("bare", &spdx.digest().to_string()), 404);
}

#[test]
fn c10_synchronization_fetches_before_anybody_asks() {
    let (upstream, site) = (Upstream::start(), Site2::new());
    let (document, layer) = upstream.image("org/app", &["3.1", "3.2", "4"], 700_001, 1);
    let mut active = rule("active", &format!("{}/org/app", upstream.host()), "app");
    active.filter.tags.include = vec![Glob::new("3.*".to_owned())];
    let cache = open(&site.path(), vec![active], None);
    let dry = cache.sync(0, None, true).unwrap();
    assert_eq!(dry.iter().filter(|one| matches!(one.what, What::Fetched(_))).count(), 2);
    assert!(files(&site.path()).is_empty());
    let only = cache.sync(0, Some(&packmule::oci::Tag::new("4").unwrap()), false).unwrap();
    assert!(matches!(only[0].what, What::LeftOut));
    let done = cache.sync(0, None, false).unwrap();
    assert_eq!(done.iter().filter(|one| matches!(one.what, What::Failed(_))).count(), 0, "{done:?}");
    assert_eq!(files(&site.path()).len(), 3);
    assert!(cache.sync(0, None, false).unwrap().iter().all(|one| matches!(one.what, What::Current(_))));
    upstream.set(Mood::Down);
    let server = start(&cache, Vec::new());
    is_manifest(&server.get("/v2/app/manifests/3.2"), &document);
    assert_eq!(server.get(&blob("app", &layer)).body, layer.0);
}

#[test]
fn c12_content_stays_without_its_rule_and_the_least_used_goes() {
    let (upstream, site) = (Upstream::start(), Site2::new());
    let (one, first) = upstream.image("a", &["1"], 400_000, 1);
    let (two, second) = upstream.image("b", &["1"], 400_000, 2);
    let up = format!("{}/*", upstream.host());
    let cache = open(&site.path(), vec![rule("up", &up, "up/*")], Some(600_000));
    let server = start(&cache, Vec::new());
    is_manifest(&server.get("/v2/up/a/manifests/1"), &one);
    assert_eq!(server.get(&blob("up/a", &first)).body, first.0);
    is_manifest(&server.get("/v2/up/b/manifests/1"), &two);
    assert_eq!(server.get(&blob("up/b", &second)).body, second.0);
    assert!(!files(&site.path()).contains(&first.descriptor().digest.hex()));
    assert!(cache.bytes().unwrap() <= 600_000);
    assert_eq!(server.get(&blob("up/a", &first)).body, first.0, "fetched again");
    assert_eq!(upstream.asked("GET", &first.descriptor().digest.to_string()), 2);
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

#[test]
fn c1_c7_a_credential_reaches_only_its_upstream() {
    let (private, public, site) = (Upstream::start(), Upstream::start(), Site2::new());
    private.image("org/app", &["1"], 10, 1);
    public.image("org/app", &["1"], 10, 2);
    let flow = Flow::new(Arc::new(Silent), Arc::new(Counting::default()), 4, 2);
    let own = Rule { credential: Some("own".into()), ..rule("private", &format!("{}/*", private.host()), "private/*") };
    let rules = Rules::new(vec![own, rule("public", &format!("{}/*", public.host()), "public/*")]).unwrap();
    let sources = [(None, registries(None)), (Some("own".to_owned()), registries(Some("canary-7781")))].into();
    let path = site.path();
    let cache = Cache::open(&flow, Setup { rules, sources, dir: Some(&path), most: None, wanted: None }).unwrap();
    // The private one asks for a login.
    private.set(Mood::Private);
    let server = start(&cache, Vec::new());
    for name in ["private/org/app", "public/org/app"] {
        let got = server.ask("GET", &format!("/v2/{name}/manifests/1"), &["Authorization: Basic Y2xpZW50OnNlY3JldA=="]);
        assert_eq!(got.status, 200);
        assert!(!format!("{:?}", got.headers).contains("7781"));
    }
    let page = String::from_utf8(server.get("/").body).unwrap();
    assert!(
        page.contains("Cache rules") && page.contains("private/*") && page.contains("own") && !page.contains("7781"),
        "C14: {page}"
    );
    assert!(page.contains("answered, "), "health");
    for request in public.server.all_requests().iter().chain(&private.server.all_requests()) {
        let sent = request.header("authorization").unwrap_or_default();
        assert!(!sent.contains("Y2xpZW50OnNlY3JldA"), "the client's own login stays here");
    }
    assert!(private.server.all_requests().iter().any(|request| request.header("authorization").is_some()));
    assert!(public.server.all_requests().iter().all(|request| request.header("authorization").is_none()));
}
