//! Row M17: content that bases delivered, at destinations that have it, have it elsewhere, or do
//! not have it.

use super::*;

fn base(digest: Digest, repository: Option<&str>) -> [Absent; 1] {
    [Absent { digest, reason: Reason::Base, repository: repository.map(super::repository), size: 10 }]
}

#[test]
fn m17_all_that_lacks_and_all_tags_in_the_way_are_one_list_before_the_first_push() {
    let (set, route, rooms) = (set(), registry_route(), Rooms::new());
    lock(&rooms.tags).insert("reg.site/m/y:v1".to_owned(), Digest::sha256(b"other"));
    let absent = base(set.shared, Some("a.example/base"));
    let wanted = Mutex::new(Vec::new());
    let request = Request { absent: &absent, wanted: Some(&wanted), ..request(&set, &rooms, &route) };
    let fault = run(&flow(4), &request).unwrap_err();
    let all: Vec<&str> = std::iter::once(&fault).chain(&fault.others).map(|fault| fault.what.as_str()).collect();
    assert_eq!(fault.class, Class::Policy);
    assert!(fault.others.iter().all(|other| other.others.is_empty()), "no fault is nested in another");
    assert_eq!(all.iter().filter(|what| what.starts_with("base blob")).count(), 3, "{all:?}");
    assert_eq!(all.iter().filter(|what| what.starts_with("tag exists")).count(), 1, "{all:?}");
    assert_eq!((rooms.count("put"), rooms.count("manifest"), rooms.count("tag")), (0, 0, 0));
    // The index and its child, in one repository, both need it; it is queried once.
    let artifacts: Vec<usize> = lock(&wanted).iter().map(|wanted| wanted.artifact).collect();
    assert_eq!(artifacts, [0, 1, 2, 3]);
    assert_eq!(rooms.count("head"), 3);
}

#[test]
fn m17_a_blob_that_went_elsewhere_is_mounted_from_any_repository_that_has_it() {
    let (set, route) = (set(), registry_route());
    for (stated, there) in [(Some("b.example:5000/z"), "z"), (None, "y"), (Some("a.example/gone"), "x")] {
        let rooms = Rooms::new();
        rooms.add(&repository(&format!("reg.site/m/{there}")), set.shared);
        let absent = base(set.shared, stated);
        let request = Request { absent: &absent, ..request(&set, &rooms, &route) };
        let outcome = run(&flow(4), &request).unwrap();
        assert!(outcome.is_good(), "{stated:?}");
        assert!(["x", "y", "z"].iter().all(|name| rooms.has(&repository(&format!("reg.site/m/{name}")), set.shared)));
    }
    // If nothing can be mounted, it is missing.
    let rooms = Rooms { mounts: false, ..Rooms::new() };
    rooms.add(&repository("reg.site/m/y"), set.shared);
    let absent = base(set.shared, Some("a.example/y"));
    let wanted = Mutex::new(Vec::new());
    let request = Request { absent: &absent, wanted: Some(&wanted), ..request(&set, &rooms, &route) };
    assert_eq!(run(&flow(4), &request).unwrap_err().class, Class::Policy);
    let mut lacking: Vec<String> = lock(&wanted).iter().map(|one| one.destination.to_string()).collect();
    lacking.dedup();
    assert_eq!(lacking, ["reg.site/m/x", "reg.site/m/z"]);
}

#[test]
fn m17_under_keep_going_the_other_artifacts_arrive() {
    let (set, route, rooms) = (set(), registry_route(), Rooms::new());
    let absent = base(Digest::sha256(b"three"), None);
    let wanted = Mutex::new(Vec::new());
    let request = Request { absent: &absent, keep_going: true, wanted: Some(&wanted), ..request(&set, &rooms, &route) };
    let outcome = run(&flow(4), &request).unwrap();
    assert_eq!(outcome.fault().unwrap().others.len(), 1);
    assert!(matches!(outcome.artifacts[2].landed, Landed::Failed(_)));
    assert_eq!((lock(&rooms.tags).len(), lock(&wanted).len()), (3, 1));
}

#[test]
fn m17_a_base_blob_that_goes_before_the_tags_keeps_them_away() {
    struct Sweep<'a>(&'a Rooms, Digest, &'a Flow);
    impl ImportCheck for Sweep<'_> {
        fn before_tags(&self) -> Result<(), Fault> {
            lock(&self.0.blobs).retain(|(_, digest)| *digest != self.1);
            self.2.clock().sleep(std::time::Duration::from_secs(300));
            Ok(())
        }
    }
    let (set, route, rooms) = (set(), registry_route(), Rooms::new());
    rooms.add(&repository("reg.site/m/y"), set.shared);
    let absent = base(set.shared, None);
    let request = Request { absent: &absent, ..request(&set, &rooms, &route) };
    let flow = flow(4);
    let fault = run(&flow, &Request { check: &Sweep(&rooms, set.shared, &flow), ..request }).unwrap_err();
    assert!(fault.class == Class::Destination && fault.what.contains("of a base"), "{fault}");
    assert_eq!(rooms.count("tag"), 0);
}
