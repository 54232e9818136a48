//! Records on a disk.

use std::os::unix::fs::MetadataExt as _;

use super::*;

fn at(epoch: u64, sequence: u64) -> Position {
    Position { epoch, sequence, id: Digest::sha256(&sequence.to_le_bytes()) }
}

/// A bundle of the channel that no state contains.
fn bundle() -> Candidate<'static> {
    Candidate { channel: "apps", position: at(9, 99), previous: None }
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().join("a/b"), "here".to_owned());
    (dir, store)
}

fn file_of(store: &Store) -> PathBuf {
    let folder = store.folder("apps");
    let mut json = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    json.find(|path| path.extension().is_some_and(|end| end == "json")).unwrap()
}

#[test]
fn what_is_held_is_found_again_for_its_owner_alone() {
    let (_dir, store) = store();
    assert_eq!(store.look("apps", "x"), Found::Nothing);
    assert_eq!(store.highest(&bundle()), Found::Nothing);
    let seat = store.take("apps", "x").unwrap();
    assert_eq!(seat.found(), Found::Nothing);
    seat.hold(&at(0, 7), 0).unwrap();
    assert_eq!(seat.found(), Found::Held(at(0, 7)));
    assert_eq!(store.look("apps", "x"), Found::Held(at(0, 7)));
    assert_eq!(store.look("apps", "y"), Found::Nothing);
    assert_eq!(store.look("other", "x"), Found::Nothing);
    for path in [file_of(&store), store.folder("apps"), store.dir().to_owned()] {
        assert_eq!(path.metadata().unwrap().mode() & 0o077, 0, "{}", path.display());
    }
    store.take("apps", "y").unwrap().hold(&at(1, 2), 0).unwrap();
    assert_eq!(store.highest(&bundle()), Found::Held(at(1, 2)));
}

#[test]
fn s15_of_two_ids_in_one_place_the_one_that_speaks_against_the_bundle_counts() {
    let (_dir, store) = store();
    let position = |id: &str| Position { epoch: 0, sequence: 7, id: Digest::sha256(id.as_bytes()) };
    for (destination, id) in [("x", "one"), ("y", "two"), ("z", "one")] {
        store.take("apps", destination).unwrap().hold(&position(id), 0).unwrap();
    }
    for (own, other) in [("one", "two"), ("two", "one")] {
        let same = Candidate { position: position(own), ..bundle() };
        assert_eq!(store.highest(&same), Found::Held(position(other)));
        let next = Candidate { previous: Some(position(own).id), ..bundle() };
        assert_eq!(store.highest(&next), Found::Held(position(other)));
    }
    // A record under another name than its destination's does not count, and unwritable names are
    // refused.
    let stray = store.folder("apps").join("backup.json");
    std::fs::rename(file_of(&store), stray).unwrap();
    assert!(matches!(store.highest(&bundle()), Found::Held(_)));
    assert_eq!(store.take("apps", "oci:/a\nb").unwrap_err().class, Class::Usage);
}

#[test]
fn a_seat_is_taken_once() {
    let (_dir, store) = store();
    let seat = store.take("apps", "x").unwrap();
    assert_eq!(store.take("apps", "x").unwrap_err().class, Class::Lock);
    assert!(store.take("apps", "y").is_ok() && store.take("other", "x").is_ok());
    drop(seat);
    assert!(store.take("apps", "x").is_ok());
    let series = store.series("apps").unwrap();
    assert_eq!(store.series("apps").unwrap_err().class, Class::Lock);
    drop(series);
    assert!(store.series("apps").is_ok());
}

#[test]
fn s16_what_is_no_state_is_never_a_low_one() {
    let (_dir, store) = store();
    let seat = store.take("apps", "x").unwrap();
    seat.hold(&at(0, 7), 0).unwrap();
    let path = file_of(&store);
    let good = std::fs::read(&path).unwrap();
    for end in 0..good.len() {
        std::fs::write(&path, &good[..end]).unwrap();
        assert!(matches!(seat.found(), Found::Damaged(_)), "{end}");
    }
    let text = String::from_utf8(good.clone()).unwrap();
    for (from, to) in [
        ("\"x\"", "\"y\""),
        ("apps", "opps"),
        ("\"sequence\":7", "\"sequence\":-7"),
        ("\"sequence\":7", "\"sequence\":07"),
        ("\"sequence\":7", "\"sequence\":9007199254740992"),
        ("state.v1", "state.v2"),
        ("}", "}\n"),
        ("}", ",\"more\":1}"),
    ] {
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        assert!(matches!(seat.found(), Found::Damaged(_)), "{to}");
    }
    std::fs::write(&path, vec![b' '; 1 << 17]).unwrap();
    assert!(matches!(seat.found(), Found::Damaged(_)));
    std::fs::write(&path, &good).unwrap();
    let mode = |mode| std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    mode(0o660);
    assert!(matches!(seat.found(), Found::Damaged(_)));
    mode(0o600);
    let elsewhere = path.with_extension("moved");
    std::fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(matches!(seat.found(), Found::Damaged(_)));
    // A state replaces the file and does not write through a link.
    seat.hold(&at(0, 9), 0).unwrap();
    assert!(path.symlink_metadata().unwrap().is_file());
    assert_eq!(std::fs::read(&elsewhere).unwrap(), good);
    drop(seat);
    let other = Store::new(store.dir().to_owned(), "there".to_owned());
    assert_eq!(other.look("apps", "x"), Found::Foreign(at(0, 9)));
}

#[test]
fn p2_what_a_killed_run_left_is_no_state() {
    let (_dir, store) = store();
    let seat = store.take("apps", "x").unwrap();
    seat.hold(&at(0, 7), 0).unwrap();
    let path = file_of(&store);
    std::fs::write(path.with_extension("json.new"), b"{\"half").unwrap();
    assert_eq!(seat.found(), Found::Held(at(0, 7)));
    assert_eq!(store.highest(&bundle()), Found::Held(at(0, 7)));
    seat.hold(&at(0, 8), 0).unwrap();
    assert_eq!(seat.found(), Found::Held(at(0, 8)));
    assert!(!path.with_extension("json.new").exists());
}

#[test]
fn s16_a_place_that_cannot_be_written_is_said_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    for place in [file.clone(), file.join("below")] {
        let store = Store::new(place, String::new());
        assert_eq!(store.take("apps", "x").unwrap_err().class, Class::Io);
        assert_eq!(store.series("apps").unwrap_err().class, Class::Io);
        assert!(!matches!(store.highest(&bundle()), Found::Held(_)));
    }
}

#[test]
fn s15_the_version_of_a_policy_is_held_beside_the_position() {
    let (_dir, store) = store();
    assert_eq!((store.policy("apps", Some("x")), store.policy("apps", None)), (0, 0));
    store.take("apps", "x").unwrap().hold(&at(0, 7), 3).unwrap();
    store.take("apps", "y").unwrap().hold(&at(0, 8), 0).unwrap();
    assert_eq!((store.policy("apps", Some("x")), store.policy("apps", Some("y"))), (3, 0));
    assert_eq!((store.policy("apps", None), store.policy("other", None)), (3, 0));
    // Another machine's record counts only for a run that takes it over.
    let other = Store::new(store.dir().to_owned(), "there".to_owned());
    assert_eq!((other.policy("apps", Some("x")), other.policy("apps", None)), (3, 0));
    let without = std::fs::read_to_string(store.folder("apps").join(format!("{}.json", stem("y")))).unwrap();
    assert!(!without.contains("policy"), "{without}");
}

#[test]
fn s15_a_record_under_another_spelling_is_found() {
    let (_dir, store) = store();
    let own = "registry:localhost:5000/mirror";
    store.take("apps", "registry:127.0.0.1:5000/mirror").unwrap().hold(&at(0, 7), 2).unwrap();
    store.take("apps", "registry:[::1]:5000/mirror/").unwrap().hold(&at(0, 8), 1).unwrap();
    assert_eq!((store.look("apps", own), store.policy("apps", Some(own))), (Found::Held(at(0, 8)), 2));
    let seat = store.take("apps", own).unwrap();
    assert_eq!(seat.found(), Found::Held(at(0, 8)));
    seat.hold(&at(0, 9), 2).unwrap();
    assert_eq!((seat.found(), store.look("apps", own)), (Found::Held(at(0, 9)), Found::Held(at(0, 9))));
    // Other prefixes of the same registry, under their own names.
    store.take("apps", "registry:127.0.0.1:5000/other").unwrap().hold(&at(0, 4), 0).unwrap();
    store.take("apps", "registry:localhost:5001/other").unwrap().hold(&at(0, 5), 0).unwrap();
    assert_eq!(store.beside("apps", own), [("registry:127.0.0.1:5000/other".to_owned(), at(0, 4))]);
    assert!(store.beside("apps", "oci:/srv").is_empty() && store.beside("other", own).is_empty());
}

#[test]
fn tags_are_held_next_to_the_record_and_are_no_record() {
    let (_dir, store) = store();
    let seat = store.take("apps", "x").unwrap();
    let latest = crate::oci::Tag::new("latest").unwrap();
    let digest = Digest::sha256(b"may");
    assert_eq!(seat.tags(false), (Tags::default(), None));
    seat.hold(&at(0, 7), 0).unwrap();
    let mut tags = Tags::default();
    tags.set("team/app", &latest, digest);
    assert_eq!(seat.hold_tags(tags.clone(), []).unwrap(), 0);
    assert_eq!((seat.tags(false), store.tags("apps", "x", false)), ((tags.clone(), None), (tags.clone(), None)));
    assert_eq!(store.highest(&bundle()), Found::Held(at(0, 7)), "a file of tags is no damaged record");
    assert_eq!(store.tags("apps", "y", false).0, Tags::default());
    let path = file_of(&store).with_extension("tags");
    assert_eq!(path.metadata().unwrap().mode() & 0o077, 0);
    // Another machine's count only where they are taken over, damaged ones never.
    let other = Store::new(store.dir().to_owned(), "there".to_owned());
    let (none, why) = other.tags("apps", "x", false);
    assert!(none == Tags::default() && why.unwrap().contains("another machine"));
    assert_eq!(other.tags("apps", "x", true), (tags, None));
    let good = std::fs::read(&path).unwrap();
    for end in 0..good.len() {
        std::fs::write(&path, &good[..end]).unwrap();
        let (none, why) = seat.tags(true);
        assert!(none == Tags::default() && why.is_some(), "{end}");
    }
    // What a killed run left next to it does not count.
    std::fs::write(path.with_extension("tags.new"), &good[..9]).unwrap();
    std::fs::write(&path, &good).unwrap();
    assert_eq!(seat.tags(false).1, None);
}

#[test]
fn tags_under_another_spelling_are_found() {
    let (_dir, store) = store();
    let latest = crate::oci::Tag::new("latest").unwrap();
    let mut tags = Tags::default();
    tags.set("mirror/app", &latest, Digest::sha256(b"may"));
    let old = store.take("apps", "registry:127.0.0.1:5000/mirror").unwrap();
    old.hold(&at(0, 7), 0).unwrap();
    old.hold_tags(tags.clone(), []).unwrap();
    assert_eq!(store.tags("apps", "registry:localhost:5000/mirror", false), (tags, None));
}
