//! Two writers of one thing at a registry, in an order that the test decides; rows C2, D5.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use packmule::content::{Destination, Inventory, Referrers};
use packmule::network::settings::ClientSettings;
use packmule::oci::{Digest, Document, Repository, Tag, media_type};

use super::hosts::{Bytes, Client, anonymous, client, connecting, content, fresh, manifest};
use super::quirky::{Habits, Quirky};
use super::server::{Reply, Request, Server, reply};

fn named(agent: &str) -> Client {
    client(connecting(ClientSettings { user_agent: agent.to_owned(), ..ClientSettings::default() }))
}

fn is_by(request: &Request, agent: &str) -> bool {
    request.header("user-agent") == Some(agent)
}

/// Pushes an image with its own layer, by its digest.
fn pushed(client: &Client, repository: &Repository, seed: u64, subject: Option<&Document>) -> Document {
    let document = prepared(client, repository, seed, subject);
    client.registries.put_manifest(repository, &document).unwrap();
    document
}

/// Like `pushed`, except for the manifest itself.
fn prepared(client: &Client, repository: &Repository, seed: u64, subject: Option<&Document>) -> Document {
    let (config, layer) = (Bytes(b"{}".to_vec()), content(40, seed));
    for blob in [&config, &layer] {
        client.registries.put_blob(repository, &blob.descriptor(), blob).unwrap();
    }
    let subject = subject.map(Document::descriptor);
    manifest(&config.descriptor(), &layer.descriptor(), subject.as_ref())
}

fn listed(client: &Client, repository: &Repository, subject: &Document) -> Vec<Digest> {
    let list = Referrers::referrers(&client.registries, repository, subject.digest()).unwrap();
    let mut list: Vec<Digest> = list.into_iter().map(|entry| entry.digest).collect();
    list.sort();
    list
}

fn sorted(documents: &[&Document]) -> Vec<Digest> {
    let mut all: Vec<Digest> = documents.iter().map(|document| document.digest()).collect();
    all.sort();
    all
}

/// The test's action when a request of `agent` for which `is_it` holds comes for the first time.
type Chance = Arc<std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A registry where something else happens once, before the PUT of a name by `agent` is answered.
fn interrupted(habits: Habits, agent: &'static str, is_it: fn(&str) -> bool) -> (Quirky, Chance) {
    let chance = Chance::default();
    let own = Arc::clone(&chance);
    let registry = Quirky::start_telling(habits, move |request| {
        let name = request.path.rsplit('/').next().unwrap_or_default();
        if request.method == "PUT" && is_by(request, agent) && is_it(name) {
            let then = own.lock().unwrap().take();
            then.into_iter().for_each(|then| then());
        }
    });
    (registry, chance)
}

fn is_list(name: &str) -> bool {
    name.starts_with("sha256-")
}

#[test]
fn c2_a_list_overwritten_from_an_older_reading_is_whole_at_the_end_of_both() {
    for b_ends_first in [true, false] {
        let (registry, chance) = interrupted(Habits::PLAIN, "a", is_list);
        let (a, b) = (named("a"), Arc::new(named("b")));
        let repository = Repository::new(&registry.server.host, "a/b").unwrap();
        let subject = pushed(&a, &repository, 1, None);
        let (of_a, of_b) = (prepared(&a, &repository, 2, Some(&subject)), prepared(&a, &repository, 3, Some(&subject)));
        let (other, at, document) = (Arc::clone(&b), repository.clone(), of_b.clone());
        *chance.lock().unwrap() = Some(Box::new(move || other.registries.put_manifest(&at, &document).unwrap()));
        a.registries.put_manifest(&repository, &of_a).unwrap();
        // Each has seen its own entry, and one is lost: no lock of ours can prevent that.
        assert_eq!(listed(&a, &repository, &subject), sorted(&[&of_a]));
        let ends = if b_ends_first { [&*b, &a] } else { [&a, &b] };
        ends.iter().for_each(|client| client.registries.finish().unwrap());
        assert_eq!(listed(&a, &repository, &subject), sorted(&[&of_a, &of_b]));
        assert!(b.clock.slept().as_secs() >= 4, "it waits after its mending as after its writing");
        // Nothing is left to check.
        let asked = registry.server.requests().len();
        b.registries.finish().unwrap();
        assert_eq!(registry.server.requests().len(), asked);
    }
}

#[test]
fn c2_a_mending_that_is_overwritten_is_mended() {
    let (registry, chance) = interrupted(Habits::PLAIN, "a", is_list);
    let (a, b) = (named("a"), Arc::new(named("b")));
    let repository = Repository::new(&registry.server.host, "a/b").unwrap();
    let subject = pushed(&a, &repository, 1, None);
    let make = |seed| prepared(&a, &repository, seed, Some(&subject));
    let (of_a, one, two) = (make(2), make(3), make(4));
    let put = |document: &Document| -> Box<dyn FnOnce() + Send> {
        let (other, at, document) = (Arc::clone(&b), repository.clone(), document.clone());
        Box::new(move || other.registries.put_manifest(&at, &document).unwrap())
    };
    *chance.lock().unwrap() = Some(put(&one));
    a.registries.put_manifest(&repository, &of_a).unwrap();
    // While the other one repairs, A writes again from a read before the repair.
    *chance.lock().unwrap() = Some({
        let (b, two) = (Arc::clone(&b), put(&two));
        Box::new(move || {
            b.registries.finish().unwrap();
            two();
        })
    });
    let of_a_too = make(5);
    a.registries.put_manifest(&repository, &of_a_too).unwrap();
    b.registries.finish().unwrap();
    a.registries.finish().unwrap();
    assert_eq!(listed(&a, &repository, &subject), sorted(&[&of_a, &of_a_too, &one, &two]));
}

#[test]
fn c2_a_registry_that_knows_conditions_loses_nothing_at_any_time() {
    for (conditions, all) in [(Some(true), true), (Some(false), false)] {
        let (registry, chance) = interrupted(Habits { conditions, ..Habits::PLAIN }, "a", is_list);
        let (a, b) = (named("a"), Arc::new(named("b")));
        let repository = Repository::new(&registry.server.host, "a/b").unwrap();
        let subject = pushed(&a, &repository, 1, None);
        let (of_a, of_b) = (prepared(&a, &repository, 2, Some(&subject)), prepared(&a, &repository, 3, Some(&subject)));
        let (other, at, document) = (Arc::clone(&b), repository.clone(), of_b.clone());
        *chance.lock().unwrap() = Some(Box::new(move || other.registries.put_manifest(&at, &document).unwrap()));
        a.registries.put_manifest(&repository, &of_a).unwrap();
        assert_eq!(listed(&a, &repository, &subject).len(), 2, "{conditions:?}");
        let refused = registry.server.requests().iter().filter(|request| request.header("if-match").is_some()).count();
        assert!(refused > 0 || !all, "the second writing is bound to what it read");
    }
}

#[test]
fn c2_what_others_lose_by_an_older_reading_is_put_back_while_its_manifest_is_there() {
    let registry = Quirky::start(Habits::PLAIN);
    let (a, b) = (named("a"), named("b"));
    let repository = Repository::new(&registry.server.host, "a/b").unwrap();
    let subject = pushed(&a, &repository, 1, None);
    let theirs = pushed(&b, &repository, 2, Some(&subject));
    let tag = Tag::referrers_fallback(subject.digest());
    let write = |entries: &[(Digest, u64)]| {
        let entries: Vec<_> = entries
            .iter()
            .map(|(digest, size)| serde_json::json!({"mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": size}))
            .collect();
        let index = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries});
        let path = format!("/v2/a/b/manifests/{tag}");
        let index = index.to_string();
        assert_eq!(raw_put(&registry.server.host, &path, media_type::OCI_INDEX, index.as_bytes()), 201);
    };
    // An entry whose manifest disappears: this registry accepts it in the list, and then no longer
    // has it.
    let ghost = pushed(&b, &repository, 9, None);
    write(&[(theirs.digest(), theirs.size()), (ghost.digest(), ghost.size())]);
    let ours = pushed(&a, &repository, 3, Some(&subject));
    registry.forget("a/b", &ghost.digest().to_string());
    write(&[(subject.digest(), subject.size())]);
    a.registries.finish().unwrap();
    assert_eq!(listed(&a, &repository, &subject), sorted(&[&theirs, &ours]));
}

#[test]
fn c2_a_referrer_without_its_entry_is_listed_when_it_is_met_again() {
    let registry = Quirky::start(Habits::PLAIN);
    let client = anonymous();
    let repository = Repository::new(&registry.server.host, "a/b").unwrap();
    let subject = pushed(&client, &repository, 1, None);
    // As left by a run that was killed after the manifest.
    let left = prepared(&client, &repository, 2, Some(&subject));
    let path = format!("/v2/a/b/manifests/{}", left.digest());
    assert_eq!(raw_put(&registry.server.host, &path, left.media_type(), left.raw()), 201);
    assert_eq!(listed(&client, &repository, &subject), []);
    let lists = client.registries.lists().unwrap();
    lists.list_present(&repository, &left).unwrap();
    assert_eq!(listed(&client, &repository, &subject), sorted(&[&left]));
    let asked = registry.server.requests().len();
    lists.list_present(&repository, &left).unwrap();
    assert_eq!(registry.server.requests().len(), asked, "it is known");
    let other = anonymous();
    other.registries.lists().unwrap().list_present(&repository, &left).unwrap();
    other.registries.finish().unwrap();
    assert_eq!(registry.count("PUT"), 6, "three blobs, two manifests, one list");
}

#[test]
fn d5_a_tag_that_came_before_it_is_set_stays() {
    for conditions in [None, Some(true)] {
        let registry = Quirky::start(Habits { conditions, ..Habits::PLAIN });
        let client = anonymous();
        let repository = Repository::new(&registry.server.host, "a/b").unwrap();
        let (ours, theirs) = (pushed(&client, &repository, 1, None), pushed(&client, &repository, 2, None));
        let tag = Tag::new("v1").unwrap();
        assert_eq!(client.registries.set_new_tag(&repository, &tag, &theirs).unwrap(), None);
        assert_eq!(
            client.registries.set_new_tag(&repository, &tag, &theirs).unwrap(),
            None,
            "the same again is nothing"
        );
        let puts = registry.count("PUT");
        assert_eq!(client.registries.set_new_tag(&repository, &tag, &ours).unwrap(), Some(theirs.digest()));
        assert_eq!(registry.count("PUT"), puts);
        assert_eq!(client.registries.tag(&repository, &tag).unwrap(), Some(theirs.digest()));
    }
}

#[test]
fn d5_a_tag_that_comes_between_looking_and_setting_stays_where_conditions_are_known() {
    let (registry, chance) = interrupted(Habits { conditions: Some(true), ..Habits::PLAIN }, "a", |name| name == "v1");
    let (a, b) = (named("a"), Arc::new(named("b")));
    let repository = Repository::new(&registry.server.host, "a/b").unwrap();
    let (ours, theirs) = (pushed(&a, &repository, 1, None), pushed(&a, &repository, 2, None));
    let tag = Tag::new("v1").unwrap();
    let (other, at, name, document) = (Arc::clone(&b), repository.clone(), tag.clone(), theirs.clone());
    *chance.lock().unwrap() = Some(Box::new(move || other.registries.set_tag(&at, &name, &document).unwrap()));
    assert_eq!(a.registries.set_new_tag(&repository, &tag, &ours).unwrap(), Some(theirs.digest()));
    assert_eq!(b.registries.tag(&repository, &tag).unwrap(), Some(theirs.digest()));
}

#[test]
fn d5_an_immutable_tag_that_came_between_is_named() {
    let habits = Habits { fixed: Some((400, "TAG_IMMUTABLE")), ..Habits::PLAIN };
    let (registry, chance) = interrupted(habits, "a", |name| name == "v1");
    let (a, b) = (named("a"), Arc::new(named("b")));
    let repository = Repository::new(&registry.server.host, "a/b").unwrap();
    let (ours, theirs) = (pushed(&a, &repository, 1, None), pushed(&a, &repository, 2, None));
    let tag = Tag::new("v1").unwrap();
    let (other, at, name, document) = (Arc::clone(&b), repository.clone(), tag.clone(), theirs.clone());
    *chance.lock().unwrap() = Some(Box::new(move || other.registries.set_tag(&at, &name, &document).unwrap()));
    assert_eq!(a.registries.set_new_tag(&repository, &tag, &ours).unwrap(), Some(theirs.digest()));
}

#[test]
fn d5_conditions_that_are_misread_do_not_keep_a_tag_from_being_set() {
    let registry = Quirky::start(Habits { conditions: Some(false), ..Habits::PLAIN });
    let client = anonymous();
    let repository = Repository::new(&registry.server.host, "a/b").unwrap();
    let ours = pushed(&client, &repository, 1, None);
    let tag = Tag::new("v1").unwrap();
    assert_eq!(client.registries.set_new_tag(&repository, &tag, &ours).unwrap(), None);
    assert_eq!(client.registries.tag(&repository, &tag).unwrap(), Some(ours.digest()));
}

#[test]
fn d5_an_answer_that_is_lost_after_a_tag_was_set_is_no_conflict() {
    // The first PUT is stored and its answer cut; the second finds its own tag.
    let (stored, puts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let config = Bytes(b"{}".to_vec()).descriptor();
    let document = manifest(&config, &config, None);
    let (raw, is_stored, count) = (document.raw().to_vec(), Arc::clone(&stored), Arc::clone(&puts));
    let server = Server::start(move |request, _| match request.method.as_str() {
        "PUT" => {
            count.fetch_add(1, Ordering::Relaxed);
            is_stored.store(true, Ordering::Relaxed);
            Reply { cut: Some(0), ..reply(201, "x").with("Content-Length", "junk") }
        }
        _ if request.path == "/v2/" => reply(200, ""),
        _ if is_stored.load(Ordering::Relaxed) => {
            reply(200, raw.clone()).with("Content-Type", media_type::OCI_MANIFEST)
        }
        _ => reply(404, ""),
    });
    let client = anonymous();
    let repository = Repository::new(&server.host, "a/b").unwrap();
    assert_eq!(client.registries.set_new_tag(&repository, &Tag::new("v1").unwrap(), &document).unwrap(), None);
    assert_eq!(puts.load(Ordering::Relaxed), 1);
}

/// Many at once, in no order, at real registries: each with its own client, as on separate hosts.
#[test]
fn c2_many_clients_write_one_list_at_real_registries() {
    let hosts = ["PACKMULE_TEST_DISTRIBUTION", "PACKMULE_TEST_DOCKER_REGISTRY"].map(super::hosts::address);
    // Mostly waits, so both at once.
    std::thread::scope(|scope| {
        for host in hosts.iter().flatten() {
            scope.spawn(move || (0..5).for_each(|_| many_write_one_list(host)));
        }
    });
}

fn many_write_one_list(host: &str) {
    let repository = fresh(host, "raced");
    let first = anonymous();
    let subject = pushed(&first, &repository, 1, None);
    let documents: Vec<Document> = (2..8).map(|seed| prepared(&first, &repository, seed, Some(&subject))).collect();
    std::thread::scope(|scope| {
        for document in &documents {
            let repository = &repository;
            scope.spawn(move || {
                let client = super::hosts::waiting();
                client.registries.put_manifest(repository, document).unwrap();
                client.registries.finish().unwrap();
            });
        }
    });
    let all: Vec<&Document> = documents.iter().collect();
    assert_eq!(listed(&first, &repository, &subject), sorted(&all), "{host}");
}

/// A PUT that is not the client's.
fn raw_put(host: &str, path: &str, media_type: &str, body: &[u8]) -> u16 {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    std::str::from_utf8(&status[9..]).unwrap().parse().unwrap()
}
