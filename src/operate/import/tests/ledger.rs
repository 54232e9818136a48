//! The record of an import: only what was read back, and everything, however it ended.

use super::*;
use crate::receipt::{How, Outcome as Came, State};

fn carried(rooms: &Rooms, set: &Set, keep_going: bool, passes: bool) -> (Result<Imported, Fault>, Ledger) {
    let route = registry_route();
    let ledger = Mutex::default();
    let request = Request { ledger: Some(&ledger), keep_going, ..request(set, rooms, &route) };
    let done = run(&flow(4), &Request { check: &Looks(rooms, passes), ..request });
    (done, ledger.into_inner().unwrap())
}

fn outcomes(ledger: &Ledger) -> Vec<Came> {
    ledger.artifacts.iter().map(|one| one.outcome).collect()
}

#[test]
fn what_arrived_is_read_back_and_its_leaves_are_known() {
    let (set, rooms) = (set(), Rooms::new());
    let (done, ledger) = carried(&rooms, &set, false, true);
    done.unwrap();
    assert_eq!(outcomes(&ledger), [Came::Pushed; 4]);
    assert_eq!(rooms.count("read"), 8, "four manifests, four tags");
    for (arrival, artifact) in ledger.artifacts.iter().zip(&set.artifacts) {
        assert_eq!((arrival.read_back, arrival.digest), (Some(artifact.digest), artifact.digest));
        assert!(arrival.tags.iter().all(|tag| tag.outcome == State::Set && tag.read_back == Some(artifact.digest)));
    }
    assert_eq!(ledger.blobs.len(), 7);
    assert!(ledger.blobs.iter().all(|leaf| matches!(leaf.how, How::Sent | How::Mounted)), "{ledger:?}");
    assert!(ledger.blobs.is_sorted_by_key(|leaf| leaf.digest));
    assert_eq!((ledger.counts.sent, ledger.counts.mounted), (7, 4));

    // Again: nothing is transferred, and everything is read again.
    let again = Rooms { calls: Mutex::default(), ..rooms };
    let (done, ledger) = carried(&again, &set, false, true);
    done.unwrap();
    assert_eq!(outcomes(&ledger), [Came::Present; 4]);
    assert_eq!(again.count("read"), 8);
    assert!(ledger.blobs.len() == 7 && ledger.blobs.iter().all(|leaf| leaf.how == How::Implied));
    assert_eq!(ledger.counts, crate::receipt::Counts::default());
}

#[test]
fn d12_a_run_that_ends_early_claims_nothing() {
    let (set, rooms) = (set(), Rooms::new());
    let (done, ledger) = carried(&rooms, &set, false, false);
    assert_eq!(done.unwrap_err().class, Class::Integrity);
    assert_eq!(outcomes(&ledger), [Came::Failed; 4]);
    assert!(ledger.artifacts.iter().all(|one| one.reason.as_ref().unwrap().contains("incomplete")));
    assert!(ledger.artifacts.iter().all(|one| one.tags.iter().all(|tag| tag.outcome == State::Failed)));
    assert!(ledger.blobs.is_empty() && ledger.counts.sent == 7, "what was moved is recorded: {ledger:?}");
    assert_eq!(rooms.count("read"), 0, "what was not done is not read back");
}

#[test]
fn what_failed_alone_is_told_alone() {
    let set = set();
    let denied = repository("reg.site/m/y");
    let rooms = Rooms { deny: Some(denied), mounts: false, ..Rooms::new() };
    let (done, ledger) = carried(&rooms, &set, true, true);
    assert!(!done.unwrap().is_good());
    assert_eq!(outcomes(&ledger), [Came::Pushed, Came::Pushed, Came::Failed, Came::Pushed]);
    assert!(ledger.artifacts[2].reason.as_ref().unwrap().contains("denied"));
    assert!(!ledger.blobs.iter().any(|leaf| leaf.digest == Digest::sha256(b"three")));
}

#[test]
fn what_is_gone_when_it_is_read_back_did_not_arrive() {
    for keep_going in [false, true] {
        let set = set();
        let lost = set.artifacts[2].digest;
        let rooms = Rooms { loses: Some(lost), ..Rooms::new() };
        let (done, ledger) = carried(&rooms, &set, keep_going, true);
        match done {
            Ok(done) => assert!(keep_going && !done.is_good()),
            Err(fault) => assert!(!keep_going && fault.class == Class::Destination, "{fault:?}"),
        }
        assert_eq!(outcomes(&ledger), [Came::Pushed, Came::Pushed, Came::Failed, Came::Pushed]);
        let reason = ledger.artifacts[2].reason.as_ref().unwrap();
        assert!(reason.contains("read back") && reason.contains("found nothing"), "{reason}");
    }
}

#[test]
fn a_layout_is_read_back_from_its_files() {
    let (set, route) = (set(), Route::new(Place::Layout, false, Vec::new()));
    let folder = TempDir::new().unwrap();
    let ledger = Mutex::default();
    let layout = Layout::create(folder.path()).unwrap();
    let request = Request { ledger: Some(&ledger), ..request(&set, &layout, &route) };
    run(&flow(2), &request).unwrap();
    assert_eq!(outcomes(&ledger.into_inner().unwrap()), [Came::Pushed; 4]);
    // A name that is not in the file yet does not exist, whatever the writer knows.
    let tag = Tag::new("new").unwrap();
    let (name, document) = (repository("x.example/n"), image(&set.source, &["base layer", "one"]));
    layout.set_tag(&name, &tag, &document).unwrap();
    assert_eq!(layout.tag(&name, &tag).unwrap(), Some(document.digest()));
    assert_eq!(layout.read_back(&name, Some(&tag), document.digest()).unwrap(), None);
    layout.finish().unwrap();
    assert_eq!(layout.read_back(&name, Some(&tag), document.digest()).unwrap(), Some(document.digest()));
    let path = folder.path().join("blobs/sha256").join(document.digest().hex());
    std::fs::write(path, b"other").unwrap();
    let found = layout.read_back(&name, Some(&tag), document.digest()).unwrap();
    assert_eq!(found, Some(Digest::sha256(b"other")));
}
