//! Whole imports: arrivals, failures, and their order.

use super::*;

#[test]
fn everything_arrives_once_and_tags_come_after_the_gate() {
    for jobs in [1, 8] {
        for mounts in [true, false] {
            let (set, route) = (set(), registry_route());
            let rooms = Rooms { mounts, ..Rooms::new() };
            let request = request(&set, &rooms, &route);
            let outcome = run(&flow(jobs), &Request { check: &Looks(&rooms, true), ..request }).unwrap();
            assert!(outcome.is_good());
            assert!(outcome.artifacts.iter().all(|done| done.landed == Landed::Pushed));
            assert_eq!(lock(&rooms.tags).len(), 4);
            // 7 blobs; "base layer" in three repositories, "two" and its config in two.
            assert_eq!(outcome.pushed + outcome.mounted, 11);
            assert_eq!(outcome.mounted, if mounts { 4 } else { 0 });

            let calls = lock(&rooms.calls).len();
            let again = run(&flow(jobs), &request).unwrap();
            assert!(again.artifacts.iter().all(|done| done.landed == Landed::Present));
            assert_eq!((again.pushed, again.mounted, again.bytes), (0, 0, 0));
            assert_eq!(lock(&rooms.calls).len(), calls, "only manifests and tags are queried");
        }
    }
}

#[test]
fn d7_every_repository_that_may_not_be_written_is_told_before_anything_is_sent() {
    let (set, route) = (set(), registry_route());
    let closed: Vec<Repository> = ["reg.site/m/x", "reg.site/m/z"].iter().map(|text| repository(text)).collect();
    let rooms = Rooms { closed: closed.clone(), ..Rooms::new() };
    let fault = run(&flow(4), &request(&set, &rooms, &route)).unwrap_err();
    assert_eq!((fault.class, fault.others.len()), (Class::Destination, 1), "{fault:?}");
    let told: Vec<&str> = std::iter::once(&fault).chain(&fault.others).map(|fault| fault.what.as_str()).collect();
    assert_eq!(told, ["push to reg.site/m/x: not permitted", "push to reg.site/m/z: not permitted"]);
    assert_eq!((rooms.count("rights"), rooms.count("put"), rooms.count("manifest")), (3, 0, 0));
    // A dry run writes nothing, not even to ask; with `keep_going` the others arrive.
    let dry = Request { dry_run: true, ..request(&set, &rooms, &route) };
    run(&flow(4), &dry).unwrap();
    assert_eq!(rooms.count("rights"), 3);
    let others = Request { keep_going: true, ..request(&set, &rooms, &route) };
    let outcome = run(&flow(4), &others).unwrap();
    assert!(!outcome.is_good() && rooms.count("tag") > 0);
    assert!(lock(&rooms.blobs).iter().all(|(repository, _)| !closed.contains(repository)));
}

#[test]
fn a_closed_gate_keeps_every_tag_away() {
    let (set, route, rooms) = (set(), registry_route(), Rooms::new());
    let fault = run(&flow(4), &Request { check: &Looks(&rooms, false), ..request(&set, &rooms, &route) }).unwrap_err();
    assert_eq!(fault.class, Class::Integrity);
    assert_eq!((rooms.count("gate"), rooms.count("tag")), (1, 0));
}

#[test]
fn d12_what_the_source_does_wrong_ends_the_run_without_a_tag() {
    let route = registry_route();
    for keep_going in [false, true] {
        for jobs in [1, 8] {
            for (lie, class) in [(Lie::Flip, Class::Integrity), (Lie::Short, Class::Integrity), (Lie::Break, Class::Io)]
            {
                let (set, rooms) = (set(), Rooms::new());
                let liar = Liar { inner: &set.source, about: set.shared, lie };
                let request = Request { keep_going, ..request(&set, &rooms, &route) };
                let fault = run(&flow(jobs), &Request { source: &liar, ..request }).unwrap_err();
                assert_eq!(fault.class, class, "{fault}");
                assert_eq!(rooms.count("tag") + rooms.count("manifest"), 0);
            }
        }
    }
    let (set, rooms) = (set(), Rooms::new());
    let liar = Liar { inner: &set.source, about: set.shared, lie: Lie::BreakOnce(AtomicBool::new(false)) };
    assert!(run(&flow(2), &Request { source: &liar, ..request(&set, &rooms, &route) }).unwrap().is_good());
}

#[test]
fn a_cancelled_run_ends_as_cancelled() {
    let route = registry_route();
    for jobs in [1, 8] {
        let (set, rooms, flow) = (set(), Rooms::new(), flow(jobs));
        let liar = Liar { inner: &set.source, about: set.shared, lie: Lie::Cancel(flow.cancel_flag()) };
        let request = Request { keep_going: true, ..request(&set, &rooms, &route) };
        let fault = run(&flow, &Request { source: &liar, ..request }).unwrap_err();
        assert_eq!((fault.class, rooms.count("tag")), (Class::Cancelled, 0), "{fault}");
    }
}

#[test]
fn the_destinations_failures_are_recorded_under_keep_going() {
    let (set, route) = (set(), registry_route());
    for jobs in [1, 8] {
        let deny = Some(repository("reg.site/m/y"));
        let rooms = Rooms { mounts: false, deny, ..Rooms::new() };
        let plain = request(&set, &rooms, &route);
        let fault = run(&flow(jobs), &plain).unwrap_err();
        assert_eq!((fault.class, rooms.count("tag")), (Class::Destination, 0));

        let going = Request { keep_going: true, ..plain };
        let outcome = run(&flow(jobs), &going).unwrap();
        let fault = outcome.fault().unwrap();
        assert_eq!((fault.class, fault.others.len()), (Class::Partial, 1));
        let failed: Vec<_> = outcome.artifacts.iter().filter(|done| matches!(done.landed, Landed::Failed(_))).collect();
        assert_eq!((failed.len(), failed[0].repository.to_string().as_str()), (1, "a.example/y"));
        assert!(failed[0].tags.is_empty());
        assert_eq!(lock(&rooms.tags).len(), 3);
    }
}

#[test]
fn tags_that_exist_fail_stay_or_move() {
    let (set, route) = (set(), registry_route());
    let other = Digest::sha256(b"other");
    for conflict in [TagConflict::Fail, TagConflict::Keep, TagConflict::Move] {
        let rooms = Rooms::new();
        for name in ["x:v1", "x:latest", "y:v1"] {
            lock(&rooms.tags).insert(format!("reg.site/m/{name}"), other);
        }
        let request = Request { tag_conflict: conflict, ..request(&set, &rooms, &route) };
        let result = run(&flow(2), &request);
        let now = lock(&rooms.tags).get("reg.site/m/x:v1").copied();
        match conflict {
            TagConflict::Advance => unreachable!("see advance.rs"),
            TagConflict::Fail => {
                let fault = result.unwrap_err();
                assert_eq!((fault.class, fault.others.len()), (Class::Policy, 2));
                assert!(fault.what.starts_with("tag exists: reg.site/m/x:"), "{fault}");
                assert_eq!((rooms.count("put"), rooms.count("tag")), (0, 0));
            }
            TagConflict::Keep => {
                let outcome = result.unwrap();
                assert_eq!((now, outcome.artifacts[0].kept.len(), outcome.is_good()), (Some(other), 2, true));
                assert!(outcome.artifacts[0].tags.is_empty());
            }
            TagConflict::Move => {
                assert_eq!(now, Some(set.artifacts[0].digest));
                assert!(result.unwrap().artifacts[0].kept.is_empty());
            }
        }
    }
}

#[test]
fn base_content_is_proved_or_all_that_lacks_is_listed() {
    let (set, route) = (set(), registry_route());
    let absent =
        [Absent { digest: set.shared, reason: Reason::Base, repository: Some(repository("a.example/base")), size: 10 }];
    let rooms = Rooms::new();
    let wanted = Mutex::new(Vec::new());
    let request = Request { absent: &absent, wanted: Some(&wanted), ..request(&set, &rooms, &route) };
    let fault = run(&flow(4), &request).unwrap_err();
    assert_eq!((fault.class, rooms.count("put")), (Class::Policy, 0));
    let lacking: HashSet<Repository> = lock(&wanted).iter().map(|wanted| wanted.destination.clone()).collect();
    assert_eq!(lacking.len(), 3);

    rooms.add(&repository("reg.site/m/base"), set.shared);
    let dry = Request { dry_run: true, wanted: None, ..request };
    assert!(run(&flow(4), &dry).unwrap().is_good());
    assert!(!rooms.has(&repository("reg.site/m/x"), set.shared));
    let outcome = run(&flow(4), &Request { dry_run: false, ..dry }).unwrap();
    assert!(outcome.is_good());
    assert!(rooms.has(&repository("reg.site/m/x"), set.shared));
}

#[test]
fn what_was_missing_at_export_fails_its_artifact_alone() {
    let (set, route, rooms) = (set(), registry_route(), Rooms::new());
    let absent = [Absent { digest: Digest::sha256(b"three"), reason: Reason::Missing, repository: None, size: 5 }];
    let request = Request { absent: &absent, ..request(&set, &rooms, &route) };
    let outcome = run(&flow(4), &request).unwrap();
    assert_eq!(outcome.fault().unwrap().others.len(), 1);
    assert!(matches!(outcome.artifacts[2].landed, Landed::Failed(_)));
    assert_eq!(lock(&rooms.tags).len(), 3);
}

#[test]
fn a_dry_run_changes_nothing() {
    let (set, route, rooms) = (set(), registry_route(), Rooms::new());
    let request = Request { dry_run: true, ..request(&set, &rooms, &route) };
    let outcome = run(&flow(2), &Request { check: &Looks(&rooms, false), ..request }).unwrap();
    assert_eq!((outcome.pushed, outcome.mounted, outcome.artifacts.len()), (7, 4, 4));
    assert!(lock(&rooms.calls).iter().all(|call| *call == "head"), "it only asks");
}

#[test]
fn unpack_gives_every_name_and_can_be_repeated() {
    let set = set();
    let folder = TempDir::new().unwrap();
    let directory = folder.path().join("new");
    let read = || -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(directory.join("index.json")).unwrap()).unwrap()
    };
    let request = unpack::Request {
        source: &set.source,
        directory: &directory,
        check: &NoCheck,
        artifacts: &set.artifacts,
        absent: &[],
    };
    let outcome = unpack::run(&flow(4), &request).unwrap();
    assert!(outcome.is_good());
    let first = read();
    let names = |key: &str| -> Vec<&str> {
        let entries = first["manifests"].as_array().unwrap().iter();
        entries.map(|entry| entry["annotations"][key].as_str().unwrap_or("-")).collect()
    };
    let full = ["-", "a.example/x:latest", "a.example/x:v1", "a.example/y:v1", "b.example:5000/z:v1"];
    assert_eq!(names("io.containerd.image.name"), full);
    assert_eq!(names("org.opencontainers.image.ref.name"), [&["-", "latest"][..], &full[2..]].concat());
    assert_eq!(first["manifests"][0]["digest"], json!(set.artifacts[1].digest));
    assert!(first["manifests"][0].get("annotations").is_none());
    let again = unpack::run(&flow(1), &request).unwrap();
    assert_eq!((again.pushed, again.bytes), (0, 0));
    assert_eq!(read(), first);

    let other = TempDir::new().unwrap();
    let liar = Liar { inner: &set.source, about: set.shared, lie: Lie::Flip };
    let fault =
        unpack::run(&flow(4), &unpack::Request { source: &liar, directory: other.path(), ..request }).unwrap_err();
    assert_eq!(fault.class, Class::Integrity);
    assert!(!other.path().join("index.json").exists());
    assert!(!other.path().join("blobs/sha256").join(set.shared.hex()).exists());
}
