//! Referrers: written and read through the fallback tag, and through the API if a registry has it.

use packmule::content::{Destination, Inventory, Kind, Referrers};
use packmule::oci::{Descriptor, Digest, Document, Repository, Tag};

use super::hosts::{Bytes, Client, address, anonymous, content, fresh, manifest};

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
fn a_fallback_tag_that_is_no_list_is_refused_and_kept() {
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
    let error = Referrers::referrers(&client.registries, &repository, subject.digest()).unwrap_err();
    assert_eq!(error.class, Kind::Refused, "{error}");
    let referrer = manifest(&config, &layer.descriptor(), Some(&subject.descriptor()));
    assert_eq!(client.registries.put_manifest(&repository, &referrer).unwrap_err().class, Kind::Refused);
    assert_eq!(client.registries.tag(&repository, &tag).unwrap(), Some(other.digest()));
}
