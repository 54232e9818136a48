//! Registries that are down, lie, refuse, forget or send terminal escapes: exit code, message, and
//! that nothing has a final name or a tag.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::server::{Reply, Request, reply};
use super::shelf::{Hook, Image, MANIFEST, Shelf, noise};
use super::world::{command, dir, finals, fresh, packmule, refused, sha256, text};

/// A host and port where nothing listens.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn small(seed: u64) -> Image {
    Image::new(vec![noise(seed, 70_000), b"high water 06:12\n".repeat(50)])
}

/// Makes a signed bundle of one image under `a/b:1`; returns its name.
fn bundle(test: &str) -> String {
    let image = small(1);
    let shelf = Shelf::plain(&[("a/b", "1", &image)]);
    let name = format!("{test}/bundle");
    std::fs::create_dir_all(dir().join(test)).unwrap();
    packmule(
        &["export", &format!("{}/a/b:1,as=carried.example/a/b:1", shelf.host()), "-o", &name, "--sign", "k.pem"],
        0,
    );
    name
}

#[test]
fn a_registry_that_is_down_is_told_for_every_artifact() {
    let (out, host) = (fresh("down"), nobody());
    let (one, two) = (format!("{host}/a/one:1"), format!("{host}/a/two:2"));
    let begin = Instant::now();
    let told = refused(&["export", &one, &two, "-o", &out, "--sign", "k.pem", "--retries", "1"], 20);
    for said in ["a/one:1", "a/two:2", &host, "no connection", "check that the registry runs"] {
        assert!(told.contains(said), "{said}: {told}");
    }
    assert!(finals(&out).is_empty());
    let bundle = bundle("down");
    let told = refused(&["import", &bundle, "--key", "k.pub.pem", "--to", &host, "--retries", "1"], 21);
    assert!(told.contains(&host) && told.contains("no connection"), "{told}");
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_name_that_nobody_knows_is_the_sources_fault() {
    let out = fresh("dns");
    let told = refused(&["export", "registry.invalid/a/b:1", "-o", &out, "--sign", "k.pem", "--retries", "0"], 20);
    assert!(told.contains("registry.invalid") && told.contains("no connection"), "{told}");
    assert!(finals(&out).is_empty());
}

/// Exports `a/b:1` from a registry with this hook, which must fail, and again without the hook.
fn lies(test: &str, said: &[&str], hook: impl Fn(&Request, &Image) -> Option<Reply> + Send + Sync + 'static) {
    let (out, lying) = (fresh(test), Arc::new(AtomicBool::new(true)));
    let (still, image, seen) = (Arc::clone(&lying), small(2), small(2));
    let hook: Hook = Box::new(move |request| still.load(Ordering::SeqCst).then(|| hook(request, &seen))?);
    let shelf = Shelf::start(&[("a/b", "1", &image)], hook);
    let name = format!("{}/a/b:1", shelf.host());
    let args = ["export", &name, "-o", &out, "--sign", "k.pem", "--retries", "1"];
    let told = refused(&args, 20);
    assert!(told.contains(shelf.host()) && told.contains("a/b"), "{test}: {told}");
    for said in said {
        assert!(told.contains(said), "{test}: {said}: {told}");
    }
    assert!(finals(&out).is_empty(), "{test}");
    lying.store(false, Ordering::SeqCst);
    packmule(&args, 0);
    packmule(&["verify", &out, "--key", "k.pub.pem"], 0);
}

fn is_blob(request: &Request, image: &Image) -> bool {
    request.method == "GET" && request.path.ends_with(&sha256(&image.blobs[0]))
}

#[test]
fn r1_a_registry_that_lies_is_refused_and_believed_again() {
    lies("lie-manifest", &["content has digest"], |request, image| {
        (request.path.contains("/manifests/sha256:")).then(|| {
            let mut bytes = image.manifest.clone();
            *bytes.last_mut().unwrap() = b' ';
            reply(200, bytes).with("Content-Type", MANIFEST)
        })
    });
    lies("lie-blob", &["content has digest", "twice"], |request, image| {
        is_blob(request, image).then(|| {
            let mut bytes = image.blobs[0].clone();
            bytes[40_000] ^= 1;
            reply(200, bytes)
        })
    });
    lies("lie-short", &["expected 70000 bytes"], |request, image| {
        is_blob(request, image).then(|| reply(200, &image.blobs[0][..69_999]))
    });
    lies("lie-long", &["twice"], |request, image| {
        is_blob(request, image).then(|| reply(200, [&image.blobs[0][..], b"more"].concat()))
    });
    lies("lie-gone", &["not found", "--allow-partial"], |request, image| {
        is_blob(request, image).then(|| reply(404, ""))
    });
    lies("lie-cut", &["tried 2 times"], |request, image| {
        is_blob(request, image).then(|| Reply { cut: Some(10), ..reply(200, &image.blobs[0][..]) })
    });
    lies("lie-busy", &["503"], |request, image| {
        is_blob(request, image).then(|| reply(503, "").with("Retry-After", "0"))
    });
}

#[test]
fn r14_a_blob_that_is_wrong_twice_is_left_out_where_that_is_allowed() {
    let forms = [&[][..], &["--flat"]];
    let cases = [("lie", 200), ("gone", 404), ("fails", 500), ("refuses", 403)];
    for ((test, status), form) in cases.into_iter().flat_map(|case| forms.map(|form| (case, form))) {
        let test = &format!("partial-{test}-{}", form.len());
        let (out, good, bad) = (fresh(test), small(3), Image::new(vec![noise(4, 90_000), noise(5, 80_000)]));
        let lost = sha256(&bad.blobs[0]);
        let digest = lost.clone();
        let hook: Hook = Box::new(move |request| {
            let wrong = request.method == "GET" && request.path.ends_with(&digest);
            wrong.then(|| reply(status, if status == 200 { noise(6, 90_000) } else { Vec::new() }))
        });
        let shelf = Shelf::start(&[("a/good", "1", &good), ("a/bad", "1", &bad)], hook);
        let (one, two) = (format!("{}/a/good:1", shelf.host()), format!("{}/a/bad:1", shelf.host()));
        let args = ["export", &one, &two, "-o", &out, "--sign", "k.pem", "--allow-partial", "--retries", "1"];
        let (done, _) = packmule(&[&args[..], form].concat(), 30);
        assert_eq!(done["result"]["absent"], json!([{ "digest": lost, "reason": "missing", "size": 90_000 }]));
        assert!(done["error"].to_string().contains(&lost), "{done}");
        packmule(&["verify", &out, "--key", "k.pub.pem"], 0);
        // The good one is imported; the other one is named, and has no tag.
        let to = Shelf::plain(&[]);
        let (done, _) = packmule(&["import", &out, "--key", "k.pub.pem", "--to", to.host()], 30);
        assert!(done["error"].to_string().contains(&lost), "{done}");
        assert!(to.holds("a/good/manifests/1") && !to.holds("a/bad/manifests/1"));
    }
}

#[test]
fn who_may_not_read_is_told_at_once_and_for_every_artifact() {
    for (status, said) in [(401, "login refused or missing"), (403, "not permitted")] {
        let (out, image) = (fresh("denied"), small(7));
        let hook: Hook = Box::new(move |request| (request.path != "/v2/").then(|| reply(status, "")));
        let shelf = Shelf::start(&[("a/b", "1", &image)], hook);
        let (one, two) = (format!("{}/a/b:1", shelf.host()), format!("{}/c/d:2", shelf.host()));
        let told = refused(&["export", &one, &two, "-o", &out, "--sign", "k.pem"], 20);
        for said in ["a/b:1", "c/d:2", said, "check that the login"] {
            assert!(told.contains(said), "{said}: {told}");
        }
        assert!(finals(&out).is_empty() && shelf.server.requests().len() <= 4);
    }
}

/// A name, the status, the message, and the requests it applies to.
type Case = (&'static str, u16, &'static str, fn(&Request) -> bool);

#[test]
fn a_destination_that_refuses_fails_or_forgets_gets_no_tag() {
    let bundle = bundle("refuses");
    let uploads = |request: &Request| request.path.contains("/uploads/");
    let manifests = |request: &Request| request.method == "PUT" && request.path.contains("/manifests/");
    let cases: [Case; 8] = [
        ("401", 401, "login", uploads),
        ("403", 403, "not permitted", uploads),
        ("405", 405, "405", uploads),
        ("500", 500, "500", uploads),
        ("507", 507, "507", uploads),
        ("413", 413, "413", uploads),
        ("manifest 400", 400, "400", manifests),
        ("manifest 403", 403, "not permitted", manifests),
    ];
    for (case, status, said, concerns) in cases {
        let refusing = Arc::new(AtomicBool::new(true));
        let still = Arc::clone(&refusing);
        let hook: Hook = Box::new(move |request| {
            (still.load(Ordering::SeqCst) && concerns(request)).then(|| reply(status, "").with("Retry-After", "0"))
        });
        let shelf = Shelf::start(&[], hook);
        let args = ["import", &bundle, "--key", "k.pub.pem", "--to", shelf.host(), "--retries", "1"];
        let told = refused(&args, 21);
        assert!(told.contains(said) && told.contains(shelf.host()), "{case}: {told}");
        assert!(shelf.manifests().is_empty(), "{case}");
        // Once the cause is fixed, the same command succeeds.
        refusing.store(false, Ordering::SeqCst);
        packmule(&args, 0);
        assert!(shelf.holds("a/b/manifests/1"), "{case}");
    }
    // It answers 201 but stores nothing.
    let digest = sha256(&small(1).blobs[0]);
    let hook: Hook =
        Box::new(move |request| (request.method == "HEAD" && request.path.ends_with(&digest)).then(|| reply(404, "")));
    let shelf = Shelf::start(&[], hook);
    // Who wants it proved asks for a receipt. Without one, blobs of a short import are not asked for again: a
    // registry that checks manifests refuses them where a blob is missing.
    let args = ["import", &bundle, "--key", "k.pub.pem", "--to", shelf.host(), "--receipt", "forgets.json"];
    let told = refused(&args, 21);
    assert!(told.contains("sent twice and is not there"), "{told}");
    assert!(!shelf.holds("a/b/manifests/1"));
}

/// Checks for bytes that control a terminal, whoever sent them.
fn is_tame(told: &str) -> bool {
    told.chars().all(|one| {
        one == '\n' || !(one.is_control() || matches!(one, '\u{200b}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    })
}

#[test]
fn m12_what_a_hostile_registry_says_is_escaped() {
    const ESC: &str = "\u{1b}[2J\u{202e}evil\u{9b}31m";
    let image = small(8);
    let errors = json!({ "errors": [{ "code": format!("DENIED{ESC}"), "message": ESC }] }).to_string();
    let typed = |kind: &str| {
        let mut manifest: serde_json::Value = serde_json::from_slice(&small(8).manifest).unwrap();
        manifest["artifactType"] = json!(kind);
        manifest["layers"][0]["mediaType"] = json!(format!("application/{ESC}"));
        manifest["subject"] =
            json!({ "mediaType": MANIFEST, "digest": small(8).digest(), "size": small(8).manifest.len() });
        manifest.to_string().into_bytes()
    };
    let referrer = typed(&format!("x/{ESC}"));
    let listed = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        { "mediaType": MANIFEST, "digest": sha256(&referrer), "size": referrer.len(), "artifactType": format!("x/{ESC}"),
          "annotations": { ESC: ESC } }
    ]});
    let reference = format!("/manifests/{}", sha256(&referrer));
    let cases: Vec<(&str, Hook)> = vec![
        ("error", Box::new(move |request| request.path.contains("/manifests/").then(|| reply(403, errors.clone())))),
        (
            "tags",
            Box::new(|request| {
                let tags = json!({ "name": ESC, "tags": ["1", ESC, format!("sha256-{ESC}")] }).to_string();
                request.path.contains("/tags/list").then(|| reply(200, tags).with("Content-Type", "application/json"))
            }),
        ),
        (
            "referrers",
            Box::new(move |request| {
                if request.path.contains("/referrers/") {
                    let list = listed.to_string();
                    return Some(reply(200, list).with("Content-Type", "application/vnd.oci.image.index.v1+json"));
                }
                request.path.ends_with(&reference).then(|| reply(200, referrer.clone()).with("Content-Type", MANIFEST))
            }),
        ),
        (
            "content type",
            Box::new(|request| {
                let odd = "application/\u{9b}31m\u{202e}";
                request.path.contains("/manifests/").then(|| reply(200, "{}").with("Content-Type", odd))
            }),
        ),
        (
            "warning",
            Box::new(|request| {
                let plain = request.path.contains("/tags/list");
                plain.then(|| reply(404, "").with("Warning", "299 - \"\u{9b}31m\u{202e}gone\""))
            }),
        ),
        (
            "realm",
            Box::new(|_| {
                let realm = "Bearer realm=\"http://127.0.0.1:1/\u{9b}\u{202e}\",service=\"\u{9b}\"";
                Some(reply(401, "").with("WWW-Authenticate", realm))
            }),
        ),
        (
            "location",
            Box::new(|request| {
                request.path.contains("/manifests/").then(|| reply(307, "").with("Location", "http://\u{202e}\u{9b}/x"))
            }),
        ),
    ];
    for (case, hook) in cases {
        let out = fresh("hostile");
        let shelf = Shelf::start(&[("a/b", "1", &image)], hook);
        let name = format!("{}/a/b:1", shelf.host());
        for more in [&["-v"][..], &["--json", "-v"], &["--dry-run"], &["--progress", "json", "-v"]] {
            let args =
                [&["export", &name, "-o", &out, "--sign", "k.pem", "--retries", "0", "--overwrite"], more].concat();
            let ended = command(&args).output().unwrap();
            let told = text(&ended.stderr) + &text(&ended.stdout);
            assert!(is_tame(&told), "{case} {more:?}: {told:?}");
            assert!(matches!(ended.status.code(), Some(0 | 15 | 20)), "{case} {more:?}: {told}");
        }
        if !finals(&out).is_empty() {
            for args in [&["verify", &out, "--key", "k.pub.pem"][..], &["inspect", &out], &["inspect", &out, "--json"]]
            {
                let ended = command(args).output().unwrap();
                let told = text(&ended.stderr) + &text(&ended.stdout);
                assert!(ended.status.success() && is_tame(&told), "{case} {args:?}: {told:?}");
            }
        }
    }
}

#[test]
fn m12_what_a_hostile_bundle_says_is_escaped() {
    let (out, image) = (fresh("hostile-bundle"), small(9));
    let shelf = Shelf::plain(&[("a/b", "1", &image)]);
    let name = format!("{}/a/b:1", shelf.host());
    let note = "note=\u{202e}txt.exe\u{2066}\u{feff}";
    packmule(&["export", &name, "-o", &out, "--sign", "k.pem", "--annotation", note], 0);
    for args in [&["inspect", &out][..], &["verify", &out, "--key", "k.pub.pem"]] {
        let told = text(&command(args).output().unwrap().stdout);
        assert!(is_tame(&told), "{told:?}");
    }
    // A single member of the manifest, and a whole manifest, made of nothing but attacks.
    let file = dir().join(format!("{out}.json"));
    let good = String::from_utf8(std::fs::read(&file).unwrap()).unwrap();
    for bad in [good.replace("packmule.bundle.v1", "\u{1b}[2J\u{202e}"), "\u{1b}[2J\u{202e}".to_owned()] {
        std::fs::write(&file, &bad).unwrap();
        for args in [&["inspect", &out][..], &["verify", &out, "--key", "k.pub.pem"], &["inspect", &out, "--json"]] {
            let ended = command(args).output().unwrap();
            let told = text(&ended.stderr) + &text(&ended.stdout);
            assert!(is_tame(&told) && matches!(ended.status.code(), Some(10 | 12)), "{args:?}: {told:?}");
        }
    }
}

#[test]
fn c1_of_two_exports_to_one_output_one_waits_for_nobody() {
    let (out, image) = (fresh("lock"), small(10));
    let (held, asking) = (Arc::new(Mutex::new(())), Arc::new(AtomicBool::new(false)));
    let (door, asked) = (Arc::clone(&held), Arc::clone(&asking));
    let hook: Hook = Box::new(move |request| {
        if request.method == "GET" && request.path.contains("/blobs/") {
            asked.store(true, Ordering::SeqCst);
            drop(door.lock());
        }
        None
    });
    let shelf = Shelf::start(&[("a/b", "1", &image)], hook);
    let name = format!("{}/a/b:1", shelf.host());
    let args = ["export", &name, "-o", &out, "--sign", "k.pem"];
    let closed = held.lock().unwrap();
    let mut first =
        command(&args).stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    while !asking.load(Ordering::SeqCst) && begin.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let manifests = || shelf.server.requests().iter().filter(|request| request.path.contains("/manifests/")).count();
    let asked = manifests();
    let told = refused(&args, 23);
    assert!(told.contains("another run is writing this bundle"), "{told}");
    let told = refused(&["export", &name, "-o", &out, "--sign", "k.pem", "--overwrite"], 23);
    assert!(told.contains(".lock"), "{told}");
    assert_eq!(manifests(), asked, "the second one asked the network");
    drop(closed);
    assert_eq!(first.wait().unwrap().code(), Some(0));
    packmule(&["verify", &out, "--key", "k.pub.pem"], 0);
}
