//! Row C7: content that disappears between its push and the tags.

use std::time::Duration;

use super::*;

/// A check of some time during which the registry collects garbage: all blobs that `goes` names.
struct Sweep<'a>(&'a Rooms, fn(&(Repository, Digest)) -> bool, &'a Flow, u64);

impl ImportCheck for Sweep<'_> {
    fn before_tags(&self) -> Result<(), Fault> {
        lock(&self.0.blobs).retain(|own| !(self.1)(own));
        self.2.clock().sleep(Duration::from_secs(self.3));
        Ok(())
    }
}

#[test]
fn c7_what_a_registry_collected_is_sent_again_before_the_tags() {
    let route = registry_route();
    let all: fn(&(Repository, Digest)) -> bool = |_| true;
    let one: fn(&(Repository, Digest)) -> bool = |(_, digest)| *digest == Digest::sha256(b"base layer");
    // After a short run, the registry's refusal of a tag shows it.
    for (goes, time) in [(all, 300), (one, 300), (all, 0)] {
        for keep_going in [false, true] {
            let (set, rooms) = (set(), Rooms::new());
            let request = Request { keep_going, ..request(&set, &rooms, &route) };
            let flow = flow(4);
            let check = Sweep(&rooms, goes, &flow, time);
            let outcome = run(&flow, &Request { check: &check, ..request }).unwrap();
            assert!(outcome.is_good() && rooms.has(&repository("reg.site/m/y"), set.shared));
            assert_eq!(lock(&rooms.tags).len(), 4);
            for artifact in &set.artifacts {
                let place = request.route.destination(&artifact.repository).unwrap();
                assert!(rooms.has(&place, artifact.digest), "{place}");
            }
        }
    }
}

#[test]
fn d2_a_destination_that_does_not_keep_what_it_takes_gets_no_tag() {
    let (set, route) = (set(), registry_route());
    for keep_going in [false, true] {
        let rooms = Rooms { loses: Some(set.shared), ..Rooms::new() };
        let request = Request { keep_going, ..request(&set, &rooms, &route) };
        match run(&flow(2), &request) {
            Err(fault) => {
                assert!(!keep_going && fault.class == Class::Destination && fault.help.is_some(), "{fault}");
                assert!(fault.what.contains(&set.shared.to_string()), "{fault}");
            }
            Ok(outcome) => {
                assert!(keep_going && outcome.fault().unwrap().class == Class::Partial);
                assert!(outcome.artifacts.iter().all(|done| matches!(done.landed, Landed::Failed(_))));
            }
        }
        assert_eq!(rooms.count("tag"), 0);
    }
}

#[test]
fn a_short_run_relies_on_what_the_registry_checks() {
    let (set, route, rooms) = (set(), registry_route(), Rooms { names: true, ..Rooms::new() });
    let request = request(&set, &rooms, &route);
    run(&flow(1), &request).unwrap();
    assert_eq!((rooms.count("head"), rooms.count("ask")), (0, 0), "nothing is asked in new repositories");
    assert_eq!((rooms.count("put"), rooms.count("mount"), rooms.count("manifest")), (7, 4, 5));
    assert_eq!(rooms.count("name"), 3, "one question a repository");
    // Again: its tag says that an artifact is there, whatever it is made of.
    lock(&rooms.calls).clear();
    let outcome = run(&flow(4), &request).unwrap();
    assert!(outcome.artifacts.iter().all(|done| done.landed == Landed::Present));
    assert_eq!(outcome.plan.sum.implied, 2, "the two images of the index");
    assert_eq!(*lock(&rooms.calls), ["ask"], "for the artifact without a tag");
}
