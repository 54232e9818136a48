//! Lists: tags, repositories, referrers, the fallback tag; row R10.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use packmule::base::fault::Class;
use packmule::content::{Destination, Kind, Referrers, TagList};
use packmule::decide::expand::expand;
use packmule::decide::selector::Selector;
use packmule::flow::Event;
use packmule::oci::{Digest, Repository, Tag, media_type};

use super::hosts::{Bytes, address, anonymous, fresh, manifest};
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
    assert_eq!(TagList::tags(&client.registries, &repository(&server)).unwrap().len(), 2500);
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

#[test]
fn a_long_list_of_tags_is_given_up_where_that_is_wanted_and_else_read_to_its_end() {
    let server = Server::start(move |request, _| {
        let Some((path, query)) = request.path.split_once('?') else { return reply(200, "") };
        let page: usize = query.split_once("page=").map_or(0, |(_, page)| page.parse().unwrap());
        let tags = serde_json::json!({"tags": [format!("t{page}")]}).to_string();
        match page {
            1199 => reply(200, tags),
            _ => reply(200, tags).with("Link", format!("<{path}?page={}>; rel=\"next\"", page + 1)),
        }
    });
    let client = anonymous();
    let within = |pages| {
        let before = server.requests().len();
        let found = TagList::tags_within(&client.registries, &repository(&server), pages).unwrap();
        (found.map(|tags| tags.len()), server.requests().len() - before)
    };
    assert_eq!(within(3), (None, 3));
    assert_eq!(within(1199), (None, 1199));
    assert_eq!(within(1200), (Some(1200), 1200));
    assert_eq!(TagList::tags(&client.registries, &repository(&server)).unwrap().len(), 1200);
}

#[test]
fn the_referrers_api_is_asked_once_for_each_document_and_side_by_side() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let server = Server::start(move |request, _| {
        if !request.path.contains("/referrers/") {
            return reply(if request.path == "/v2/" { 200 } else { 404 }, "");
        }
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(100));
        now.fetch_sub(1, Ordering::SeqCst);
        let index = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []});
        reply(200, index.to_string()).with("Content-Type", media_type::OCI_INDEX)
    });
    let (client, repository) = (anonymous(), repository(&server));
    let subjects: Vec<Digest> = (0..4_u8).map(|number| Digest::sha256(&[number])).collect();
    // Whoever asked whether there is an API has its answer already.
    assert!(!client.registries.only_tags(&repository, subjects[0]).unwrap());
    packmule::flow::each(&client.flow, &subjects, |subject| {
        assert!(client.registries.referrers_without_tag(&repository, *subject).unwrap().is_empty());
    })
    .unwrap();
    let mut asked: Vec<String> = server.requests().into_iter().map(|request| request.path).collect();
    asked.sort();
    asked.dedup();
    assert_eq!((asked.len(), server.requests().len()), (4, 4));
    assert!(seen.load(Ordering::SeqCst) > 1, "one after the other");
}

#[test]
fn selectors_of_tags_and_namespaces_over_distribution() {
    let Some(host) = address("PACKMULE_TEST_DISTRIBUTION") else { return };
    let client = anonymous();
    let first = fresh(&host, "app");
    let namespace = first.path().split('/').next().unwrap().to_owned();
    let second = Repository::new(&host, &format!("{namespace}/deep/web")).unwrap();
    let blob = Bytes(b"{}".to_vec());
    for (repository, tags) in [(&first, "1.0.0 1.2.0 1.10.0 2.0.0 2.1.0-rc1 latest"), (&second, "v1.5 edge")] {
        client.registries.put_blob(repository, &blob.descriptor(), &blob).unwrap();
        let image = manifest(&blob.descriptor(), &blob.descriptor(), None);
        client.registries.put_manifest(repository, &image).unwrap();
        // Signatures and the list of referrers are tags, too.
        let hex = image.digest().hex();
        let hidden = [format!("sha256-{hex}"), format!("sha256-{hex}.sig")];
        for tag in tags.split(' ').chain(hidden.iter().map(String::as_str)) {
            client.registries.set_tag(repository, &Tag::new(tag).unwrap(), &image).unwrap();
        }
    }
    let taken = |selector: &str| -> Vec<String> {
        let selector = Selector::parse(&format!("{host}/{selector}")).unwrap();
        let found = expand(&client.flow, &client.registries, &selector).unwrap();
        let mut tags: Vec<String> = found.iter().map(|one| one.tag.as_ref().unwrap().to_string()).collect();
        tags.sort();
        tags
    };
    let app = first.path();
    assert_eq!(taken(&format!("{app}:*")), ["1.0.0", "1.10.0", "1.2.0", "2.0.0", "2.1.0-rc1", "latest"]);
    assert_eq!(taken(&format!("{app}:1.*,latest=2")), ["1.10.0", "1.2.0"]);
    assert_eq!(taken(&format!("{app},semver=^1.1 || >=2.1.0-rc0")), ["1.10.0", "1.2.0", "2.1.0-rc1"]);
    assert_eq!(taken(&format!("{namespace}/*,semver=1.x,exclude=*.0.0")), ["1.10.0", "1.2.0", "v1.5"]);
    assert_eq!(taken(&format!("{namespace}/*:e*")), ["edge"]);
    for wrong in [format!("{app}:9*"), format!("{app}:latest*,latest=1"), format!("{namespace}/none-*")] {
        let selector = Selector::parse(&format!("{host}/{wrong}")).unwrap();
        let fault = expand(&client.flow, &client.registries, &selector).unwrap_err();
        assert!(fault.class == Class::Source && fault.what.contains(&wrong) && fault.help.is_some(), "{fault:?}");
    }
}

#[test]
fn a_hundred_thousand_tags_are_listed_and_filtered() {
    let all: Vec<String> = (0..100_000).map(|number| format!("1.{}.{}", number / 1000, number % 1000)).collect();
    let server = Server::start(move |request, _| {
        let Some((_, query)) = request.path.split_once('?') else { return reply(200, "") };
        let last = query.split('&').find_map(|pair| pair.strip_prefix("last="));
        let from = last.map_or(0, |last| {
            let (minor, patch) = last.strip_prefix("1.").unwrap().split_once('.').unwrap();
            minor.parse::<usize>().unwrap() * 1000 + patch.parse::<usize>().unwrap() + 1
        });
        reply(200, serde_json::json!({"tags": &all[from..(from + 1000).min(all.len())]}).to_string())
    });
    let client = anonymous();
    let selector = Selector::parse(&format!("{}/a/b,semver=^1.98,latest=3", server.host)).unwrap();
    let found = expand(&client.flow, &client.registries, &selector).unwrap();
    let tags: Vec<&str> = found.iter().map(|one| one.tag.as_ref().unwrap().as_str()).collect();
    assert_eq!(tags, ["1.99.997", "1.99.998", "1.99.999"]);
    let heard = client.heard.0.lock().unwrap();
    assert!(heard.iter().filter(|event| matches!(event, Event::Detail(_))).count() >= 100, "progress");
}
