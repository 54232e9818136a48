//! Referrers: written and read through the fallback tag, and through the API if a registry has it.

use packmule::content::{Destination, Inventory, Kind, Referrers};
use packmule::flow::Event;
use packmule::oci::{Descriptor, Digest, Document, Repository, Tag, media_type};

use super::hosts::{Bytes, Client, address, anonymous, content, fresh, manifest};
use super::server::{Server, reply};

/// A subject and `count` referrers, pushed from as many threads.
fn push(client: &Client, repository: &Repository, count: u64) -> (Document, Vec<Document>) {
    let config = Bytes(b"{}".to_vec());
    let registries = &client.registries;
    registries.put_blob(repository, &config.descriptor(), &config).unwrap();
    let subject = manifest(&config.descriptor(), &config.descriptor(), None);
    let make = |seed| {
        let layer = content(50, seed);
        registries.put_blob(repository, &layer.descriptor(), &layer).unwrap();
        manifest(&config.descriptor(), &layer.descriptor(), Some(&subject.descriptor()))
    };
    let referrers: Vec<Document> = (0..count).map(make).collect();
    registries.put_manifest(repository, &subject).unwrap();
    std::thread::scope(|scope| {
        for document in &referrers {
            scope.spawn(move || registries.put_manifest(repository, document).unwrap());
        }
    });
    (subject, referrers)
}

fn listed(client: &Client, repository: &Repository, subject: Digest) -> Vec<Descriptor> {
    let mut list = Referrers::referrers(&client.registries, repository, subject).unwrap();
    list.sort_by_key(|entry| entry.digest);
    list
}

fn check(host: &str) -> (Client, Repository, Document) {
    let client = anonymous();
    let repository = fresh(host, "referred");
    let (subject, mut referrers) = push(&client, &repository, 6);
    referrers.sort_by_key(Document::digest);
    let list = listed(&client, &repository, subject.digest());
    assert_eq!(
        list.iter().map(|entry| entry.digest).collect::<Vec<_>>(),
        referrers.iter().map(Document::digest).collect::<Vec<_>>()
    );
    for (entry, document) in list.iter().zip(&referrers) {
        assert_eq!(entry.size, document.size());
        assert!(entry.artifact_type.is_some());
    }
    // Pushed again, each is there once.
    client.registries.put_manifest(&repository, &referrers[0]).unwrap();
    assert_eq!(listed(&client, &repository, subject.digest()).len(), referrers.len());
    assert!(listed(&client, &repository, referrers[0].digest()).is_empty());
    (client, repository, subject)
}

#[test]
fn over_the_fallback_tag() {
    for name in ["PACKMULE_TEST_DISTRIBUTION", "PACKMULE_TEST_DOCKER_REGISTRY"] {
        let Some(host) = address(name) else { continue };
        let (client, repository, subject) = check(&host);
        let tag = Tag::referrers_fallback(subject.digest());
        assert!(client.registries.tag(&repository, &tag).unwrap().is_some());
        // We write the list, so we also decide its contents.
        for entry in listed(&client, &repository, subject.digest()) {
            assert_eq!(entry.artifact_type.as_deref(), Some("application/vnd.test"));
            assert_eq!(entry.annotation("who"), Some("test"));
        }
    }
}

#[test]
fn over_the_api() {
    let Some(host) = address("PACKMULE_TEST_REFERRERS") else { return };
    let (client, repository, subject) = check(&host);
    let tag = Tag::referrers_fallback(subject.digest());
    assert_eq!(client.registries.tag(&repository, &tag).unwrap(), None, "the registry lists them itself");
}

#[test]
fn a_fallback_tag_that_is_no_list_lists_nothing_and_is_kept() {
    let Some(host) = address("PACKMULE_TEST_DISTRIBUTION") else { return };
    let client = anonymous();
    let repository = fresh(&host, "taken");
    let (subject, _) = push(&client, &repository, 0);
    let layer = content(60, 60);
    client.registries.put_blob(&repository, &layer.descriptor(), &layer).unwrap();
    let config = Bytes(b"{}".to_vec()).descriptor();
    let other = manifest(&config, &layer.descriptor(), None);
    let tag = Tag::referrers_fallback(subject.digest());
    client.registries.set_tag(&repository, &tag, &other).unwrap();
    assert!(listed(&client, &repository, subject.digest()).is_empty());
    assert!(warnings(&client).iter().any(|text| text.contains(tag.as_str())));
    let referrer = manifest(&config, &layer.descriptor(), Some(&subject.descriptor()));
    assert_eq!(client.registries.put_manifest(&repository, &referrer).unwrap_err().class, Kind::Refused);
    assert_eq!(client.registries.tag(&repository, &tag).unwrap(), Some(other.digest()));
}

fn warnings(client: &Client) -> Vec<String> {
    let heard = client.heard.0.lock().unwrap();
    heard.iter().filter_map(|event| if let Event::Warning(text) = event { Some(text.clone()) } else { None }).collect()
}

#[test]
fn a_401_with_a_challenge_is_a_missing_login_and_not_a_missing_api() {
    for basic in [true, false] {
        let host = std::sync::Arc::new(std::sync::OnceLock::new());
        let own = std::sync::Arc::clone(&host);
        let server = Server::start(move |request, _| match request.path.as_str() {
            "/v2/" => reply(200, ""),
            path if path.starts_with("/token") => reply(200, r#"{"token":"good"}"#),
            path if path.contains("/referrers/") => {
                let host: &String = own.get().unwrap();
                let bearer = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
                reply(401, "").with("WWW-Authenticate", if basic { "Basic realm=\"x\"".to_owned() } else { bearer })
            }
            _ => reply(404, ""),
        });
        host.set(server.host.clone()).unwrap();
        let repository = Repository::new(&server.host, "a/b").unwrap();
        let error = Referrers::referrers(&anonymous().registries, &repository, Digest::sha256(b"s")).unwrap_err();
        assert_eq!(error.class, Kind::Denied, "basic {basic}: {error}");
        assert!(error.help.unwrap().contains("--referrers none"));
    }
}

#[test]
fn an_entry_that_is_no_descriptor_costs_only_itself() {
    let subject = Digest::sha256(b"s");
    let good = serde_json::json!({"mediaType": "x/unknown", "digest": Digest::sha256(b"good"), "size": 1});
    let odd = serde_json::json!({"mediaType": media_type::OCI_MANIFEST, "digest": "md5:00", "size": 1});
    for api in [true, false] {
        let list =
            serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [odd, good]});
        let server = Server::start(move |request, _| match request.path.as_str() {
            "/v2/" => reply(200, ""),
            path if path.contains("/referrers/") != api => reply(404, ""),
            _ => reply(200, list.to_string()).with("Content-Type", media_type::OCI_INDEX),
        });
        let (client, repository) = (anonymous(), Repository::new(&server.host, "a/b").unwrap());
        let found = listed(&client, &repository, subject);
        assert_eq!(found.iter().map(|one| one.digest).collect::<Vec<_>>(), [Digest::sha256(b"good")]);
        assert_eq!(warnings(&client).len(), 1, "{:?}", warnings(&client));
    }
}

#[test]
fn a_fallback_tag_of_another_type_is_warned_of_and_lists_nothing() {
    let other = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media_type::DOCKER_INDEX);
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/v2/" => reply(200, ""),
        path if path.contains("/referrers/") => reply(404, ""),
        _ => reply(200, other.clone()).with("Content-Type", media_type::DOCKER_INDEX),
    });
    let (client, repository) = (anonymous(), Repository::new(&server.host, "a/b").unwrap());
    assert!(listed(&client, &repository, Digest::sha256(b"s")).is_empty());
    let told = warnings(&client);
    let tag = Tag::referrers_fallback(Digest::sha256(b"s"));
    assert!(told.len() == 1 && told[0].contains(tag.as_str()) && told[0].contains("manifest.list"), "{told:?}");
}
