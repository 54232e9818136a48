//! Sparse indexes: originals that travel next to a cut index may be left, all others must be taken.

use super::*;
use crate::receipt::{Arrival, Outcome};

/// A cut index of two images, its original of three, and referrers of the original and of the cut one.
struct Kept {
    set: Set,
    absent: Vec<Absent>,
    original: Digest,
    signature: Digest,
}

fn kept(tag_of_original: &[&str]) -> Kept {
    let folder = TempDir::new().unwrap();
    let source = Layout::create(folder.path()).unwrap();
    let (one, two) = (image(&source, &["one"]), image(&source, &["two"]));
    let three = Document::parse(OCI_MANIFEST, image(&source, &["three"]).raw().to_vec()).unwrap();
    let (original, cut) = (index(&source, &[&one, &two, &three]), index(&source, &[&one, &two]));
    let refer = |subject: &Document, text: &str| {
        let (config, layer) = (put(&source, "x/empty", b"{}"), put(&source, "x/text", text.as_bytes()));
        let subject = subject.descriptor();
        document(&source, OCI_MANIFEST, json!({ "config": config, "layers": [layer], "subject": subject }))
    };
    let signature = refer(&original, "signature of the original");
    let about = refer(&signature, "about that signature");
    let of_cut = refer(&cut, "signature of the cut index");
    source.finish().unwrap();
    let name = "a.example/x";
    let artifacts = vec![
        artifact(name, &[], &about),
        artifact(name, &[], &signature),
        artifact(name, tag_of_original, &original),
        Artifact { original: Some(original.digest()), ..artifact(name, &["v1"], &cut) },
        artifact(name, &[], &of_cut),
    ];
    let absent =
        vec![Absent { digest: three.digest(), reason: Reason::Platform, repository: None, size: three.size() }];
    let (original, signature) = (original.digest(), signature.digest());
    Kept { set: Set { _folder: folder, source, artifacts, shared: original }, absent, original, signature }
}

fn landed(outcome: &Imported) -> Vec<&'static str> {
    let word = |done: &Done| match done.landed {
        Landed::Pushed => "pushed",
        Landed::Present => "present",
        Landed::Left(_) => "left",
        Landed::LeftOut => "left out",
        Landed::Unread(_) => "unread",
        Landed::Failed(_) => "failed",
    };
    outcome.artifacts.iter().map(word).collect()
}

#[test]
fn m6_an_original_that_is_not_taken_is_left_with_what_refers_to_it() {
    for keep_going in [false, true] {
        let (Kept { set, absent, original, signature }, route) = (kept(&[]), registry_route());
        let (rooms, ledger) = (Rooms { sparse: Some(false), ..Rooms::new() }, Mutex::default());
        let request = Request { absent: &absent, keep_going, ledger: Some(&ledger), ..request(&set, &rooms, &route) };
        let outcome = run(&flow(1), &request).unwrap();
        assert!(outcome.is_good());
        assert_eq!(landed(&outcome), ["left", "left", "left", "pushed", "pushed"]);
        let there = repository("reg.site/m/x");
        assert!(!rooms.has(&there, original) && !rooms.has(&there, signature), "nothing refers to what is not there");
        let arrivals: Vec<Arrival> = lock(&ledger).artifacts.clone();
        let left = arrivals.iter().filter(|one| one.outcome == Outcome::Left).collect::<Vec<_>>();
        assert_eq!(left.len(), 3);
        assert!(left.iter().all(|one| one.reason.is_some() && one.read_back.is_none() && one.tags.is_empty()));
        // A second run finds the rest there and tries the original again.
        assert_eq!(landed(&run(&flow(1), &request).unwrap()), ["left", "left", "left", "present", "present"]);
    }
}

#[test]
fn m6_an_original_that_is_taken_arrives_before_what_refers_to_it() {
    let (Kept { set, absent, original, signature }, route) = (kept(&[]), registry_route());
    let rooms = Rooms { sparse: Some(true), ..Rooms::new() };
    let request = Request { absent: &absent, ..request(&set, &rooms, &route) };
    let outcome = run(&flow(1), &request).unwrap();
    assert_eq!(landed(&outcome), ["pushed"; 5]);
    let there = repository("reg.site/m/x");
    assert!(rooms.has(&there, original) && rooms.has(&there, signature));
}

#[test]
fn m6_a_sparse_index_under_its_own_tag_must_be_taken() {
    let (Kept { set, absent, .. }, route) = (kept(&["old"]), registry_route());
    let rooms = Rooms { sparse: Some(false), ..Rooms::new() };
    let request = Request { absent: &absent, ..request(&set, &rooms, &route) };
    let fault = run(&flow(1), &request).unwrap_err();
    assert!(fault.class == Class::Policy && fault.what.contains("not accepted"), "{fault:?}");
    assert_eq!(rooms.count("tag"), 0);
    let rooms = Rooms { sparse: Some(false), ..Rooms::new() };
    let outcome = run(&flow(1), &Request { destination: &rooms, keep_going: true, ..request }).unwrap();
    assert_eq!(landed(&outcome), ["pushed", "pushed", "failed", "pushed", "pushed"]);
}

#[test]
fn an_original_that_a_destination_does_not_take_for_another_reason_is_a_failure() {
    let (Kept { set, absent, .. }, route) = (kept(&[]), registry_route());
    let rooms = Rooms { sparse: Some(true), deny: Some(repository("reg.site/m/x")), ..Rooms::new() };
    let request = Request { absent: &absent, ..request(&set, &rooms, &route) };
    assert_eq!(run(&flow(1), &request).unwrap_err().class, Class::Destination);
}
