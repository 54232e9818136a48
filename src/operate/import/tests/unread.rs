//! A destination that takes everything and gives nobody some of it.

use super::*;
use crate::base::fault::Reason as FaultReason;
use crate::receipt::{Outcome as Came, State};

#[test]
fn what_is_taken_and_not_given_is_tagged_and_unread() {
    for keep_going in [false, true] {
        let (set, route) = (set(), registry_route());
        let hidden = set.artifacts[2].digest;
        let rooms = Rooms { hides: Some(hidden), ..Rooms::new() };
        let ledger = Mutex::default();
        let request = Request { ledger: Some(&ledger), keep_going, ..request(&set, &rooms, &route) };
        let done = run(&flow(4), &request).unwrap();
        let fault = done.fault().unwrap();
        assert!(fault.class == Class::Partial && fault.what.contains("1 of 4"), "{fault:?}");
        assert!(fault.others[0].what.contains("quarantine"), "{fault:?}");
        assert!(matches!(&done.artifacts[2].landed, Landed::Unread(words) if words.contains("quarantine")));
        assert_eq!(lock(&rooms.tags).len(), 4, "it has its tag");
        let ledger = ledger.into_inner().unwrap();
        let outcomes: Vec<Came> = ledger.artifacts.iter().map(|one| one.outcome).collect();
        assert_eq!(outcomes, [Came::Pushed, Came::Pushed, Came::Unread, Came::Pushed]);
        let unread = &ledger.artifacts[2];
        assert!(unread.read_back.is_none() && unread.reason.as_ref().unwrap().contains("quarantine"));
        assert_eq!((unread.tags[0].outcome, unread.tags[0].read_back), (State::Unread, None));
        // Its own leaf is nothing to build on; one that another artifact shares is.
        assert!(!ledger.blobs.iter().any(|leaf| leaf.digest == Digest::sha256(b"three")));
        assert!(ledger.blobs.iter().any(|leaf| leaf.digest == set.shared));
    }
}

#[test]
fn without_a_receipt_it_is_told_too() {
    let (set, route) = (set(), registry_route());
    let closed = vec![repository("reg.site/other")];
    let rooms = Rooms { hides: Some(set.artifacts[2].digest), closed, ..Rooms::new() };
    let done = run(&flow(2), &request(&set, &rooms, &route)).unwrap();
    assert_eq!(done.fault().unwrap().class, Class::Partial);
    // The next run may move what nobody may read: it puts it once more and says it again.
    let before = rooms.count("manifest");
    let again = Request { tag_conflict: TagConflict::Move, ..request(&set, &rooms, &route) };
    let done = run(&flow(2), &again).unwrap();
    assert_eq!(done.fault().unwrap().class, Class::Partial);
    assert_eq!(rooms.count("manifest"), before + 1);
}

#[test]
fn an_artifact_with_a_part_that_nobody_may_read_is_unread() {
    let (set, route) = (set(), registry_route());
    // The second image of the index, which is an artifact elsewhere.
    let rooms = Rooms { hides: Some(set.artifacts[3].digest), ..Rooms::new() };
    // After some time everything is looked at once more; before, only what has a tag.
    let flow = flow(2);
    let done = run(&flow, &Request { check: &Slow(&flow), ..request(&set, &rooms, &route) }).unwrap();
    let unread: Vec<bool> = done.artifacts.iter().map(|one| matches!(one.landed, Landed::Unread(_))).collect();
    assert_eq!(unread, [true, false, false, true]);
}

/// Returns the error of the registry client for a manifest that it put and may not read.
pub(super) fn hidden() -> Error {
    Error::new(Kind::Refused, "refused, status 412 (in quarantine)").reason(FaultReason::Unreadable)
}

/// A check that takes some time.
struct Slow<'a>(&'a Flow);

impl ImportCheck for Slow<'_> {
    fn before_tags(&self) -> Result<(), Fault> {
        self.0.clock().sleep(std::time::Duration::from_secs(300));
        Ok(())
    }
}
