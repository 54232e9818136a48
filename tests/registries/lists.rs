//! Lists: tags, repositories, referrers, the fallback tag; row R10.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use packmule::content::{Destination, Kind, Referrers};
use packmule::flow::Event;
use packmule::oci::{Digest, Repository, media_type};

use super::hosts::{Bytes, anonymous, manifest};
use super::server::{Server, reply};

fn repository(server: &Server) -> Repository {
    Repository::new(&server.host, "a/b").unwrap()
}

#[test]
fn lists_without_links_go_on_by_last() {
    let all: Vec<String> = (0..2500).map(|number| format!("r{number:04}")).collect();
    let server = Server::start(move |request, _| {
        let Some((path, query)) = request.path.split_once('?') else { return reply(200, "") };
        let last = query.split('&').find_map(|pair| pair.strip_prefix("last="));
        let from = last.map_or(0, |last| all.iter().position(|name| name == last).unwrap() + 1);
        let page = &all[from..(from + 1000).min(all.len())];
        match path {
            "/v2/_catalog" => reply(200, serde_json::json!({"repositories": page}).to_string()),
            _ => reply(200, serde_json::json!({"tags": page}).to_string()),
        }
    });
    let client = anonymous();
    assert_eq!(client.registries.repositories(&server.host).unwrap().len(), 2500);
    assert_eq!(packmule::content::TagList::tags(&client.registries, &repository(&server)).unwrap().len(), 2500);
}

#[test]
fn a_catalog_that_is_closed_is_no_empty_list() {
    for (status, kind) in [(404, Kind::Absent), (401, Kind::Denied), (405, Kind::Refused), (500, Kind::Failed)] {
        let server = Server::start(move |request, _| reply(if request.path == "/v2/" { 200 } else { status }, ""));
        let error = anonymous().registries.repositories(&server.host).unwrap_err();
        assert_eq!(error.class, kind, "{error}");
    }
    let odd = Server::start(|_, _| reply(200, r#"{"repositories":["good/one","../evil","A"]}"#));
    let client = anonymous();
    let found = client.registries.repositories(&odd.host).unwrap();
    assert_eq!(found.iter().map(Repository::path).collect::<Vec<_>>(), ["good/one"]);
    let heard = client.heard.0.lock().unwrap();
    assert_eq!(
        heard.iter().filter(|event| matches!(event, Event::Warning(text) if text.contains("not a repository"))).count(),
        2
    );
}

#[test]
fn a_lost_update_of_the_fallback_tag_is_repaired() {
    use std::collections::HashMap;
    // Another client writes the tag right after our first write, without our entry.
    let manifests: Mutex<HashMap<String, Vec<u8>>> = Mutex::default();
    let written = AtomicUsize::new(0);
    let server = Server::start(move |request, _| {
        let mut manifests = manifests.lock().unwrap();
        let name = request.path.rsplit('/').next().unwrap_or_default().to_owned();
        match request.method.as_str() {
            "PUT" => {
                let mut body = request.body.clone();
                if name.starts_with("sha256-") && written.fetch_add(1, Ordering::Relaxed) == 0 {
                    let other = Digest::sha256(b"other");
                    body = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{}","digest":"{other}","size":1}}]}}"#, media_type::OCI_INDEX, media_type::OCI_MANIFEST).into_bytes();
                }
                manifests.insert(name, body);
                reply(201, "")
            }
            _ => match manifests.get(&name) {
                Some(body) => reply(200, body.clone()).with("Content-Type", media_type::OCI_INDEX),
                None => reply(404, ""),
            },
        }
    });
    let config = Bytes(b"{}".to_vec()).descriptor();
    let subject = manifest(&config, &config, None);
    let referrer = manifest(&config, &config, Some(&subject.descriptor()));
    let client = anonymous();
    client.registries.put_manifest(&repository(&server), &referrer).unwrap();
    let found = Referrers::referrers(&client.registries, &repository(&server), subject.digest()).unwrap();
    let mut found: Vec<Digest> = found.iter().map(|entry| entry.digest).collect();
    found.sort();
    let mut expected = [Digest::sha256(b"other"), referrer.digest()];
    expected.sort();
    assert_eq!(found, expected, "both stand there");
}

#[test]
fn r10_an_error_at_the_referrers_is_never_an_empty_list() {
    for (status, kind) in
        [(403, Some(Kind::Denied)), (500, Some(Kind::Failed)), (404, None), (400, None), (401, None), (405, None)]
    {
        let server = Server::start(move |request, _| match request.path.as_str() {
            "/v2/" => reply(200, ""),
            path if path.contains("/referrers/") => reply(status, ""),
            _ => reply(404, ""),
        });
        let found = Referrers::referrers(&anonymous().registries, &repository(&server), Digest::sha256(b"s"));
        assert_eq!(found.err().map(|error| error.class), kind, "{status}");
    }
}

#[test]
fn r10_pages_of_referrers() {
    let subject = Digest::sha256(b"s");
    let entry = |text: &str| serde_json::json!({"mediaType": media_type::OCI_MANIFEST, "digest": Digest::sha256(text.as_bytes()), "size": 1});
    let page = move |names: &[&str]| {
        let list: Vec<_> = names.iter().map(|name| entry(name)).collect();
        let index = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": list});
        reply(200, index.to_string()).with("Content-Type", media_type::OCI_INDEX)
    };
    let server = Server::start(move |request, before| {
        let next = |to: &str| page(&["a"]).with("Link", format!("<{to}>; rel=\"next\""));
        match request.path.as_str() {
            "/v2/" => reply(200, ""),
            path if path.contains("/html/") => reply(200, "<html>").with("Content-Type", "text/html"),
            path if path.contains("/round/") => next(path),
            path if path.contains("/endless/") => next(&format!("/v2/endless/x/referrers/y?page={before}")),
            path if path.contains("/half/") && path.contains("page=2") => reply(404, ""),
            path if path.contains("page=2") => page(&["b", "a"]),
            path => next(&format!("{path}?page=2")),
        }
    });
    let client = anonymous();
    let list = |path: &str| {
        let repository = Repository::new(&server.host, path).unwrap();
        Referrers::referrers(&client.registries, &repository, subject).map(|list| list.len())
    };
    assert_eq!(list("good/x").unwrap(), 2);
    for (path, kind) in [
        ("html/x", Kind::Mismatch),
        ("round/x", Kind::Failed),
        ("endless/x", Kind::Failed),
        // A missing later page does not mean "no such API".
        ("half/x", Kind::Absent),
    ] {
        let error = list(path).unwrap_err();
        assert_eq!(error.class, kind, "{path}: {error}");
    }
}
