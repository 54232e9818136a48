//! Imports that send blobs alone, in parts, and the import after them.

use super::*;
use crate::base::shard::Shard;

/// The leaves of the set.
fn leaves() -> Vec<Digest> {
    ["base layer", "one", "two", "three", "base layerone", "base layertwo", "base layerthree"]
        .map(|text| Digest::sha256(text.as_bytes()))
        .to_vec()
}

fn only<'a>(request: Request<'a>, own: Option<&'a HashSet<Digest>>) -> Request<'a> {
    Request { goal: Goal::Blobs(own), ..request }
}

/// Asserts that no document and no tag is there.
fn nothing_else(set: &Set, rooms: &Rooms) {
    assert_eq!((rooms.count("tag"), lock(&rooms.tags).len()), (0, 0));
    for artifact in &set.artifacts {
        assert!(lock(&rooms.blobs).iter().all(|(_, digest)| *digest != artifact.digest), "{}", artifact.digest);
    }
}

#[test]
fn shards_send_every_blob_once_and_the_import_after_them_sends_none() {
    for count in [1, 2, 3, 10] {
        let (set, rooms, route) = (set(), Rooms::new(), registry_route());
        let all = leaves();
        let mut total = 0;
        for index in 1..=count {
            let own = Shard::new(index, count).unwrap().of(&vec![1; all.len()]);
            let own: HashSet<Digest> = all[own].iter().copied().collect();
            let done = run(&flow(2), &only(request(&set, &rooms, &route), Some(&own))).unwrap();
            assert!(done.is_good());
            assert_eq!(done.pushed, own.len() as u64, "shard {index} of {count}");
            total += done.pushed;
            nothing_else(&set, &rooms);
        }
        assert_eq!(total, all.len() as u64);
        let done = run(&flow(2), &request(&set, &rooms, &route)).unwrap();
        assert!(done.is_good());
        assert_eq!((done.pushed, lock(&rooms.tags).len()), (0, 4));
    }
}

#[test]
fn what_is_collected_between_them_is_sent_again() {
    let (set, rooms, route) = (set(), Rooms::new(), registry_route());
    assert_eq!(run(&flow(2), &only(request(&set, &rooms, &route), None)).unwrap().pushed, 7);
    lock(&rooms.blobs).retain(|(_, digest)| *digest != set.shared);
    let done = run(&flow(2), &request(&set, &rooms, &route)).unwrap();
    assert!(done.is_good() && rooms.has(&repository("reg.site/m/y"), set.shared));
    assert_eq!((done.pushed, lock(&rooms.tags).len()), (1, 4));
}

#[test]
fn obstacles_and_wrong_content_end_it_as_always() {
    let (set, rooms, route) = (set(), Rooms::new(), registry_route());
    let other = Digest::sha256(b"other");
    lock(&rooms.tags).insert("reg.site/m/y:v1".to_owned(), other);
    let fault = run(&flow(2), &only(request(&set, &rooms, &route), None)).unwrap_err();
    assert!(fault.class == Class::Policy && fault.what.contains("tag exists"), "{fault}");
    assert!(lock(&rooms.blobs).is_empty(), "nothing is sent before");
    let rooms = Rooms::new();
    let check = Looks(&rooms, false);
    let request = Request { check: &check, ..request(&set, &rooms, &route) };
    assert_eq!(run(&flow(2), &only(request, None)).unwrap_err().class, Class::Integrity);
    let dry = Request { dry_run: true, ..only(request, None) };
    assert_eq!(run(&flow(2), &dry).unwrap().pushed, 0, "the blobs are there by now");
    assert_eq!(rooms.count("gate"), 1, "a dry run reads nothing");
}
