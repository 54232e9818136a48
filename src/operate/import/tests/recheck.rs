//! Row C7: content that disappears between its push and the tags.

use super::*;

/// A check during which the registry collects garbage: all blobs that `goes` names.
struct Sweep<'a>(&'a Rooms, fn(&(Repository, Digest)) -> bool);

impl ImportCheck for Sweep<'_> {
    fn before_tags(&self) -> Result<(), Fault> {
        lock(&self.0.blobs).retain(|own| !(self.1)(own));
        Ok(())
    }
}

#[test]
fn c7_what_a_registry_collected_is_sent_again_before_the_tags() {
    let route = registry_route();
    let all: fn(&(Repository, Digest)) -> bool = |_| true;
    let one: fn(&(Repository, Digest)) -> bool = |(_, digest)| *digest == Digest::sha256(b"base layer");
    for goes in [all, one] {
        for keep_going in [false, true] {
            let (set, rooms) = (set(), Rooms::new());
            let request = Request { keep_going, ..request(&set, &rooms, &route) };
            let outcome = run(&flow(4), &Request { check: &Sweep(&rooms, goes), ..request }).unwrap();
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
