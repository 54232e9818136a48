//! The server in this process: pull, parts, lists, referrers, names, logins, the page. Layouts and
//! bundles answer the same.

use base64ct::{Base64, Encoding as _};
use packmule::base::fault::Class;
use packmule::layout::Layout;
use packmule::oci::Digest;
use packmule::operate::serve::Offered;
use packmule::serve::{Htpasswd, Settings};

use super::hosts::content;
use super::served::{LARGE, Running, Site, of_bundle, of_layout, put, route, serve, serve_as};

/// The site, served from its layout and from its bundle.
fn both(test: impl Fn(&Site, &Running, &str)) {
    let site = Site::new();
    test(&site, &serve(vec![of_layout(&site.layout())]), "layout");
    let bundle = site.bundle("b", &["--volume-size", "32MiB"]);
    test(&site, &serve(vec![of_bundle(&bundle, &site.policy())]), "bundle");
    let flat = site.bundle("f", &["--flat"]);
    test(&site, &serve(vec![of_bundle(&flat, &site.policy())]), "flat bundle");
}

fn blob_of(site: &Site) -> String {
    format!("/v2/org/app/blobs/{}", site.layer.descriptor().digest)
}

#[test]
fn manifests_by_tag_and_digest_with_their_heads() {
    both(|site, server, place| {
        assert_eq!(server.get("/v2/").json(), serde_json::json!({}), "{place}");
        let digest = site.app.digest().to_string();
        for reference in ["v1", "v2", &digest, &digest.replace(':', "%3A")] {
            let target = format!("/v2/org/app/manifests/{reference}");
            let got = server.get(&target);
            assert_eq!((got.status, &got.body[..]), (200, site.app.raw()), "{place} {target}");
            assert_eq!(got.header("content-type"), Some(site.app.media_type()));
            assert_eq!(got.header("docker-content-digest"), Some(&*digest));
            let head = server.ask("HEAD", &target, &[]);
            let length = site.app.size().to_string();
            assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some(&*length), 0));
            let etag = got.header("etag").unwrap().to_owned();
            for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".into()] {
                let same = server.ask("GET", &target, &[&format!("If-None-Match: {known}")]);
                assert_eq!((same.status, same.body.len()), (304, 0), "{known}");
            }
            assert_eq!(server.ask("GET", &target, &["If-None-Match: \"x\""]).status, 200);
        }
        // A manifest that only another manifest or nobody names, and content that is none.
        assert_eq!(server.get(&format!("/v2/org/app/manifests/{}", site.sbom.digest())).body, site.sbom.raw());
        let layer = server.get(&format!("/v2/org/app/manifests/{}", site.layer.descriptor().digest));
        assert_eq!((layer.status, &*layer.code()), (404, "MANIFEST_UNKNOWN"));
        let nothing = Digest::sha256(b"nothing");
        for (target, code) in [
            ("/v2/org/app/manifests/v3".to_owned(), "MANIFEST_UNKNOWN"),
            (format!("/v2/org/app/manifests/{nothing}"), "MANIFEST_UNKNOWN"),
            (format!("/v2/org/app/blobs/{nothing}"), "BLOB_UNKNOWN"),
            ("/v2/org/other/manifests/v1".to_owned(), "NAME_UNKNOWN"),
            ("/v2/org/other/tags/list".to_owned(), "NAME_UNKNOWN"),
            (format!("/v2/org/other/referrers/{nothing}"), "NAME_UNKNOWN"),
        ] {
            let got = server.get(&target);
            assert_eq!((got.status, &*got.code()), (404, code), "{place} {target}");
        }
    });
}

#[test]
fn blobs_whole_and_in_parts() {
    both(|site, server, place| {
        let (target, bytes) = (blob_of(site), &site.layer.0);
        let head = server.ask("HEAD", &target, &["Range: bytes=0-1"]);
        assert_eq!((head.status, head.header("content-length")), (200, Some(&*LARGE.to_string())));
        let last = LARGE - 1;
        for (range, from, to) in [
            ("0-0", 0, 1),
            ("0-", 0, LARGE),
            ("131071-131072", 131_071, 131_073),
            ("5-700000", 5, LARGE),
            ("-9", LARGE - 9, LARGE),
            ("-99999999", 0, LARGE),
            ("700000-9999999", last, LARGE),
            ("262144-524287", 262_144, 524_288),
        ] {
            // Twice: the second time the blob is known to be right.
            for _ in 0..2 {
                let got = server.ask("GET", &target, &[&format!("Range: bytes={range}")]);
                assert!(
                    got.status == 206 && got.is_whole && got.body == bytes[from..to],
                    "{place} {range}: {}",
                    got.status
                );
                let said = format!("bytes {from}-{}/{LARGE}", to - 1);
                assert_eq!(got.header("content-range"), Some(&*said));
            }
        }
        for range in ["700001-", "9999999-", "-0"] {
            let got = server.ask("GET", &target, &[&format!("Range: bytes={range}")]);
            assert_eq!((got.status, got.header("content-range")), (416, Some(&*format!("bytes */{LARGE}"))), "{range}");
        }
        // Other units, overlaps and nonsense are ignored.
        for range in ["items=0-1", "bytes=0-5,3-9", "bytes=x", "bytes=9-1"] {
            let got = server.ask("GET", &target, &[&format!("Range: {range}")]);
            assert!(got.status == 200 && got.is_whole && got.body == *bytes, "{place} {range}");
        }
        let etag = format!("\"{}\"", site.layer.descriptor().digest);
        for (condition, status) in [(&*etag, 206), ("\"other\"", 200), ("Tue, 01 Dec 2026 00:00:00 GMT", 200)] {
            let got = server.ask("GET", &target, &["Range: bytes=0-1", &format!("If-Range: {condition}")]);
            assert_eq!(got.status, status, "{condition}");
        }
        let whole = server.get(&target);
        assert!(whole.is_whole && whole.body == *bytes, "{place}");
    });
}

#[test]
fn several_ranges_are_parts_of_one_answer() {
    both(|site, server, place| {
        let got = server.ask("GET", &blob_of(site), &["Range: bytes=10-19,-5,0-0"]);
        let kind = got.header("content-type").unwrap();
        let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap().to_owned();
        assert!(got.status == 206 && got.is_whole, "{place}");
        let mut expected = Vec::new();
        for (from, to) in [(10, 20), (LARGE - 5, LARGE), (0, 1)] {
            expected.extend_from_slice(
                format!(
                    "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {from}-{}/{LARGE}\r\n\r\n",
                    to - 1
                )
                .as_bytes(),
            );
            expected.extend_from_slice(&site.layer.0[from..to]);
        }
        expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert!(got.body == expected, "{place}");
    });
}

#[test]
fn lists_come_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path()).unwrap();
    let tags: Vec<String> = ["a", "b", "c", "Z", "_x"].map(ToOwned::to_owned).into();
    put(&layout, "h.example/a/b", &tags.iter().map(String::as_str).collect::<Vec<_>>(), b"{}", &content(9, 1));
    put(&layout, "h.example/a", &["1"], b"{}", &content(9, 1));
    put(&layout, "h.example/c", &["1"], b"{}", &content(9, 1));
    packmule::content::Destination::finish(&layout).unwrap();
    drop(layout);
    let server = serve(vec![of_layout(dir.path())]);
    let walk = |first: &str, key: &str| {
        let (mut found, mut target, mut pages) = (Vec::new(), first.to_owned(), 0);
        loop {
            let page = server.get(&target);
            let list = page.json()[key].as_array().unwrap().clone();
            found.extend(list.iter().map(|one| one.as_str().unwrap().to_owned()));
            pages += 1;
            let Some(link) = page.header("link") else { return (found, pages) };
            target = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        }
    };
    let sorted: Vec<String> = ["Z", "_x", "a", "b", "c"].map(ToOwned::to_owned).into();
    assert_eq!(walk("/v2/a/b/tags/list", "tags"), (sorted.clone(), 1));
    assert_eq!(walk("/v2/a/b/tags/list?n=2", "tags"), (sorted.clone(), 3));
    assert_eq!(walk("/v2/a/b/tags/list?n=5", "tags"), (sorted, 1), "no link to an empty page");
    assert_eq!(walk("/v2/a/b/tags/list?last=a&n=9", "tags").0, ["b", "c"]);
    assert_eq!(walk("/v2/a/b/tags/list?last=aa", "tags").0, ["b", "c"], "last need not exist");
    assert_eq!(walk("/v2/a/b/tags/list?n=0", "tags").0, [""; 0]);
    assert_eq!(walk("/v2/_catalog?n=1", "repositories"), (vec!["a".into(), "a/b".into(), "c".into()], 3));
    assert_eq!(walk("/v2/_catalog?last=a", "repositories").0, ["a/b", "c"]);
    assert_eq!(server.get("/v2/a/b/tags/list").json()["name"], "a/b");
    for wrong in ["n=x", "n=-1", "last=%zz"] {
        assert_eq!(server.get(&format!("/v2/a/b/tags/list?{wrong}")).status, 400, "{wrong}");
    }
}

#[test]
fn referrers_say_what_their_manifests_say() {
    both(|site, server, place| {
        let target = format!("/v2/org/app/referrers/{}", site.app.digest());
        let all = server.get(&target);
        assert_eq!(all.header("content-type"), Some("application/vnd.oci.image.index.v1+json"));
        assert_eq!(all.header("oci-filters-applied"), None);
        let entry = serde_json::json!({
            "mediaType": site.sbom.media_type(), "digest": site.sbom.digest(), "size": site.sbom.size(),
            "artifactType": "application/spdx+json", "annotations": { "by": "a test" },
        });
        assert_eq!(all.json()["manifests"], serde_json::json!([entry]), "{place}");
        assert_eq!(all.json()["schemaVersion"], 2);
        for (filter, count) in
            [("application/spdx%2Bjson", 1), ("a/b", 0), ("a/b&artifactType=application/spdx%2Bjson", 1)]
        {
            let some = server.get(&format!("{target}?artifactType={filter}"));
            assert_eq!(some.header("oci-filters-applied"), Some("artifactType"));
            assert_eq!(some.json()["manifests"].as_array().unwrap().len(), count, "{place} {filter}");
        }
        let none = server.get(&format!("/v2/org/app/referrers/{}", Digest::sha256(b"nothing")));
        assert_eq!((none.status, none.json()["manifests"].as_array().unwrap().len()), (200, 0));
        // It is no repository of its own.
        assert_eq!(server.get("/v2/_catalog").json()["repositories"], serde_json::json!(["library/base", "org/app"]));
    });
}

#[test]
fn writes_are_refused() {
    let site = Site::new();
    let server = serve(vec![of_layout(&site.layout())]);
    let digest = site.app.digest();
    for (method, target) in [
        ("POST", "/v2/org/app/blobs/uploads/".to_owned()),
        ("PATCH", "/v2/org/app/blobs/uploads/1".to_owned()),
        ("PUT", format!("/v2/org/app/blobs/uploads/1?digest={digest}")),
        ("PUT", "/v2/org/app/manifests/v1".to_owned()),
        ("DELETE", format!("/v2/org/app/manifests/{digest}")),
        ("DELETE", format!("/v2/org/app/blobs/{digest}")),
        ("GET", "/v2/org/app/blobs/uploads/1".to_owned()),
        ("BREW", "/v2/".to_owned()),
    ] {
        let got = server.ask(method, &target, &["Content-Length: 0"]);
        assert_eq!(
            (got.status, &*got.code(), got.header("allow")),
            (405, "UNSUPPORTED", Some("GET, HEAD")),
            "{method}"
        );
    }
}

#[test]
fn names_are_those_of_an_import_and_clashes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let make = |name: &str, repository: &str, tags: &[&str], seed| {
        let layout = Layout::create(&dir.path().join(name)).unwrap();
        let document = put(&layout, repository, tags, b"{}", &content(9, seed));
        packmule::content::Destination::finish(&layout).unwrap();
        document
    };
    let ours = make("one", "one.example/x/y", &["1"], 1);
    let theirs = make("two", "two.example:5000/x/y", &["1", "2"], 2);
    let offered = || -> Vec<Offered> { ["one", "two"].map(|name| of_layout(&dir.path().join(name))).into() };
    let Err(fault) = serve_as(offered(), Settings::default(), route(&[], false)) else {
        panic!("one name, two digests")
    };
    assert_eq!(fault.class, Class::Policy);
    for part in ["x/y:1", "one.example/x/y@", "two.example:5000/x/y@", "/one and", "/two"] {
        assert!(fault.what.contains(part), "{part}: {fault}");
    }
    let kept = serve_as(offered(), Settings::default(), route(&[], true)).unwrap();
    assert_eq!(kept.get("/v2/one.example/x/y/manifests/1").body, ours.raw());
    assert_eq!(kept.get("/v2/two.example-5000/x/y/manifests/1").body, theirs.raw());
    let mapped = serve_as(offered(), Settings::default(), route(&["two.example:5000/*=two/*"], false)).unwrap();
    assert_eq!(mapped.get("/v2/two/x/y/manifests/1").body, theirs.raw());
    assert_eq!(mapped.get("/v2/x/y/manifests/2").status, 404);
    // containerd asks a mirror under the source's own name and says whose mirror it means.
    for server in [&kept, &mapped] {
        assert_eq!(server.get("/v2/x/y/manifests/1?ns=one.example").body, ours.raw());
        assert_eq!(server.get("/v2/x/y/manifests/1?ns=two.example:5000").body, theirs.raw());
        assert_eq!(server.get("/v2/x/y/manifests/2?ns=one.example").status, 404);
        assert_eq!(server.get("/v2/x/y/manifests/1?ns=three.example").code(), "NAME_UNKNOWN");
        let layer = content(9, 2).descriptor().digest;
        assert_eq!(server.get(&format!("/v2/x/y/blobs/{layer}?ns=two.example:5000")).status, 200);
        assert_eq!(server.get(&format!("/v2/x/y/blobs/{layer}?ns=one.example")).status, 404, "the other's content");
    }
    let own = format!("/v2/two/x/y/manifests/1?ns={}", mapped.address);
    assert_eq!(mapped.get(&own).body, theirs.raw(), "its own name picks nothing");
    // Two places with the same artifact are one repository.
    let twice = vec![of_layout(&dir.path().join("one")), of_layout(&dir.path().join("one"))];
    assert_eq!(serve(twice).get("/v2/x/y/tags/list").json()["tags"], serde_json::json!(["1"]));
}

#[test]
fn logins_are_asked_for_and_never_shown() {
    let site = Site::new();
    let line = format!("mule:{}", bcrypt::hash("canary-oats", 4).unwrap());
    let users = Some(Htpasswd::parse(&line).unwrap());
    let server =
        serve_as(vec![of_layout(&site.layout())], Settings { users, ..Settings::default() }, route(&[], false))
            .unwrap();
    let login = |password: &str| {
        format!("Authorization: Basic {}", Base64::encode_string(format!("mule:{password}").as_bytes()))
    };
    let blob = blob_of(&site);
    for target in ["/", "/metrics", "/v2/", "/v2/_catalog", "/v2/org/app/manifests/v1", &blob, "/nothing"] {
        for headers in [vec![], vec![login("hay")], vec!["Authorization: Bearer x".to_owned()]] {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            let got = server.ask("GET", target, &headers);
            assert_eq!((got.status, &*got.code()), (401, "UNAUTHORIZED"), "{target}");
            assert!(got.header("www-authenticate").unwrap().starts_with("Basic realm="));
        }
        let status = server.ask("GET", target, &[&login("canary-oats")]).status;
        assert_eq!(status, if target == "/nothing" { 404 } else { 200 }, "{target}");
    }
    assert_eq!(server.ask("PUT", "/v2/org/app/manifests/v1", &["Content-Length: 0"]).status, 401);
    assert_eq!(server.get("/healthz").status, 200);
    let requests = server.heard.requests.lock().unwrap();
    assert!(requests.iter().any(|one| one.user.as_deref() == Some("mule") && one.status == 200));
    assert!(requests.iter().all(|one| (one.status == 401) == (one.user.is_none() && one.path != "/healthz")));
    assert!(!format!("{requests:?}").contains("canary"), "{requests:?}");
}

#[test]
fn the_page_shows_what_is_served() {
    let site = Site::new();
    let bundle = site.bundle("channel-1", &["--channel", "tide", "--init-state", "--expires", "35d"]);
    let server = serve(vec![of_bundle(&bundle, &site.policy())]);
    let page = server.get("/");
    let text = String::from_utf8(page.body.clone()).unwrap();
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    let id = packmule::bundle::open(&bundle).unwrap().id().hex();
    for group in (0..16).map(|number| &id[number * 4..number * 4 + 4]) {
        assert!(text.contains(&format!("<b>{group}</b>")), "{group}");
    }
    let address = server.address;
    for part in [
        "Channel<dd>tide, epoch 0, number 1".to_owned(),
        "valid, counts".to_owned(),
        "Expires<dd>2026-02-05".to_owned(),
        "org/app</h3>".to_owned(),
        "<b>v1, v2</b>".to_owned(),
        site.app.digest().to_string(),
        format!("<li>SBOM <code>{}", site.sbom.digest()),
        format!("Size<dd>{}", packmule::base::size::show(LARGE as u64 + 2 + site.app.size())),
        format!("oras pull --plain-http {address}/library/base:1<"),
        format!("oras pull --plain-http {address}/org/app:v1<"),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
    assert!(!text.contains("<script"));
    // The lines name the server as the client does, unless that is no name of a host.
    let raw = |host: &str| {
        String::from_utf8(server.raw(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()))
            .unwrap()
    };
    assert!(raw("Registry.Site:5000").contains("oras pull --plain-http registry.site:5000/library/base:1<"));
    for evil in ["<script>", "a b", "x\";rm -rf /", "evil.example/x"] {
        let page = raw(evil);
        assert!(page.contains(&format!("oras pull --plain-http {address}/")) && !page.contains(evil), "{evil}");
    }
}

#[test]
fn what_happened_is_counted_and_logged_without_queries() {
    let site = Site::new();
    let server = serve(vec![of_layout(&site.layout())]);
    server.get("/v2/org/app/manifests/v1?token=canary");
    server.get(&blob_of(&site));
    server.get("/v2/org/app/manifests/nothing");
    let text = String::from_utf8(server.get("/metrics").body).unwrap();
    let sent = LARGE as u64 + site.app.size();
    assert!(
        text.contains("packmule_requests_total{status=\"2xx\"} 2\n") && text.contains("{status=\"4xx\"} 1\n"),
        "{text}"
    );
    let line = text.lines().find_map(|line| line.strip_prefix("packmule_sent_bytes_total ")).unwrap();
    assert!((sent..sent + 200).contains(&line.parse().unwrap()), "{line}");
    let requests = server.heard.requests.lock().unwrap();
    assert!(!format!("{requests:?}").contains("canary"));
    let blob = requests.iter().find(|one| one.path.contains("/blobs/")).unwrap();
    assert_eq!((blob.bytes, blob.is_complete, blob.status, &*blob.method), (LARGE as u64, true, 200, "GET"));
}

/// Reads an answer as HTTP/2 without TLS.
#[test]
fn http2_with_prior_knowledge() {
    let site = Site::new();
    let server = serve(vec![of_layout(&site.layout())]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let url = format!("http://{}{}", server.address, blob_of(&site));
    runtime.block_on(async {
        let all = (0..20).map(|_| async {
            let got = client.get(&url).send().await.unwrap();
            assert_eq!((got.version(), got.status().as_u16()), (reqwest::Version::HTTP_2, 200));
            assert!(got.bytes().await.unwrap() == site.layer.0);
        });
        futures_util::future::join_all(all).await;
    });
}
