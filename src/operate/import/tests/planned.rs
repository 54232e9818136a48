//! The plan, parts, what a killed run left, and forms that a destination does not take.

use super::*;
use crate::decide::part::Pick;

fn put_whole(set: &Set, rooms: &Rooms, artifacts: &[Artifact]) {
    let route = registry_route();
    run(&flow(2), &Request { artifacts, ..request(set, rooms, &route) }).unwrap();
    lock(&rooms.calls).clear();
}

#[test]
fn a_plan_says_for_each_artifact_what_is_sent_mounted_and_skipped() {
    let (set, route, rooms) = (set(), registry_route(), Rooms::new());
    put_whole(&set, &rooms, &set.artifacts[2..3]);
    let dry = Request { dry_run: true, ..request(&set, &rooms, &route) };
    let done = run(&flow(1), &dry).unwrap();
    let plans: Vec<_> = done.artifacts.iter().map(|one| &one.plan).collect();
    // The layer that all share is in the repository of the third, which is there.
    assert_eq!((plans[0].sent, plans[0].mounted, plans[0].manifests, plans[0].tags.len()), (4, 1, 3, 2));
    assert_eq!((plans[2].sent, plans[2].mounted, plans[2].manifests, plans[2].tags.len()), (0, 0, 0, 0));
    assert_eq!((plans[3].sent, plans[3].mounted, plans[3].manifests), (0, 3, 1));
    let sum = done.plan.sum;
    assert_eq!((sum.sent, sum.mounted, sum.manifests, sum.tags), (4, 4, 4, 3));
    assert_eq!(sum.requests, 2 * 4 + 4 + 4 + 3 * 3 + 2);
    assert_eq!(sum.bytes, done.bytes);
    // What is then done is that.
    let done = run(&flow(1), &Request { dry_run: false, ..dry }).unwrap();
    assert_eq!((done.pushed, done.mounted, done.bytes), (sum.sent, sum.mounted, sum.bytes));
}

#[test]
fn no_blob_is_sent_to_a_registry_that_has_it_in_a_repository_of_the_run() {
    let (set, route) = (set(), registry_route());
    let rooms = Rooms::new();
    // A killed run left a layer in the first repository, and nothing else.
    rooms.add(&repository("reg.site/m/x"), set.shared);
    let done = run(&flow(1), &request(&set, &rooms, &route)).unwrap();
    assert_eq!((done.pushed, done.mounted, done.present), (6, 4, 1));
    // The next month's artifact shares that layer with what is there under other names.
    let other = Artifact { repository: repository("c.example/new"), ..set.artifacts[2].clone() };
    let all = [set.artifacts.clone(), vec![other]].concat();
    lock(&rooms.calls).clear();
    let done = run(&flow(1), &Request { artifacts: &all, ..request(&set, &rooms, &route) }).unwrap();
    assert_eq!((done.pushed, done.mounted, rooms.count("head")), (0, 3, 0));
}

#[test]
fn everything_in_the_way_is_one_list_with_names_that_collide() {
    let (set, route, rooms) = (set(), registry_route(), Rooms::new());
    lock(&rooms.tags).insert("reg.site/m/y:v1".to_owned(), Digest::sha256(b"other"));
    let twice = Artifact { repository: repository("b.example/x"), ..set.artifacts[2].clone() };
    let all = [set.artifacts.clone(), vec![twice]].concat();
    let fault = run(&flow(2), &Request { artifacts: &all, ..request(&set, &rooms, &route) }).unwrap_err();
    let told: Vec<&str> = std::iter::once(&fault).chain(&fault.others).map(|one| one.what.as_str()).collect();
    assert_eq!((fault.class, told.len()), (Class::Policy, 2), "{told:?}");
    assert!(told[0].contains("one source") && told[1].starts_with("tag exists"), "{told:?}");
    assert_eq!(rooms.count("put") + rooms.count("manifest"), 0);
}

#[test]
fn a_part_takes_its_referrers_and_only_the_tags_that_it_names() {
    let (set, route, rooms) = (set(), registry_route(), Rooms::new());
    let picks = [Pick::parse("a.example/x:v1").unwrap()];
    let done = run(&flow(2), &Request { select: &picks, ..request(&set, &rooms, &route) }).unwrap();
    assert_eq!(done.artifacts.len(), 1);
    let tags: Vec<String> = lock(&rooms.tags).keys().cloned().collect();
    assert_eq!(tags, ["reg.site/m/x:v1"]);
    let none = [Pick::parse("a.example/x:v9").unwrap()];
    let fault = run(&flow(2), &Request { select: &none, ..request(&set, &rooms, &route) }).unwrap_err();
    assert_eq!(fault.class, Class::Source);
    assert!(fault.what.contains("a.example/x:v1, a.example/x:latest"), "{fault}");
    let globbed = [Pick::parse("a.example/*:v1").unwrap()];
    let done = run(&flow(2), &Request { select: &globbed, ..request(&set, &rooms, &route) }).unwrap();
    assert_eq!(done.artifacts.len(), 2);
}

#[test]
fn a_form_that_is_not_taken_is_found_before_everything_else_is_sent() {
    let (set, route) = (set(), registry_route());
    let large = "large ".repeat(1000);
    let foreign = {
        let config = put(&set.source, "x/other-config", b"{}");
        let layer = put(&set.source, "x/layer", large.as_bytes());
        document(&set.source, OCI_MANIFEST, json!({"config": config, "layers": [layer]}))
    };
    let small = {
        let config = put(&set.source, "x/other-config", b"{\"a\":1}");
        document(&set.source, OCI_MANIFEST, json!({"config": config, "layers": []}))
    };
    set.source.finish().unwrap();
    let mut all = set.artifacts.clone();
    all.push(artifact("a.example/large", &["v1"], &foreign));
    all.push(artifact("a.example/small", &["v1"], &small));
    for keep_going in [false, true] {
        let rooms = Rooms { refuses: Some("x/other-config"), ..Rooms::new() };
        let request = Request { artifacts: &all, keep_going, ..request(&set, &rooms, &route) };
        let is_sent = |rooms: &Rooms| rooms.has(&repository("reg.site/m/large"), Digest::sha256(large.as_bytes()));
        match run(&flow(1), &request) {
            Err(fault) => {
                assert!(!keep_going && fault.class == Class::Destination, "{fault}");
                assert!(fault.what.contains(OCI_MANIFEST) && fault.help.unwrap().contains("--keep-going"));
                assert_eq!(rooms.count("tag"), 0);
            }
            Ok(done) => {
                let failed = done.artifacts.iter().filter(|one| matches!(one.landed, Landed::Failed(_)));
                assert_eq!((keep_going, failed.count()), (true, 2));
                assert_eq!(lock(&rooms.tags).len(), 4, "the others arrive");
            }
        }
        assert!(!is_sent(&rooms), "{keep_going}");
    }
}
