//! Records on a disk.

use std::os::unix::fs::MetadataExt as _;

use super::*;
use crate::oci::Digest;

fn store() -> (tempfile::TempDir, Runs) {
    let dir = tempfile::tempdir().unwrap();
    let runs = Store::new(dir.path().join("a/b"), "here".to_owned()).runs();
    (dir, runs)
}

fn at(second: i64) -> Moment {
    Moment::from_unix(1_800_000_000 + second).unwrap()
}

fn begin(runs: &Runs, pipeline: &str, second: i64) -> Held {
    runs.begin(&New { pipeline, kind: Kind::Import, again_of: None }, at(second)).unwrap()
}

#[test]
fn t8_a_run_is_recorded_from_its_start_to_its_end() {
    let (_dir, runs) = store();
    assert_eq!(runs.list(9).unwrap(), Listing::default());
    let mut held = begin(&runs, "dark", 0);
    let id = held.run().id.clone();
    assert_eq!(Id::parse(id.as_str()), Some(id.clone()));
    assert_eq!(runs.show(&id).unwrap().unwrap().state, State::Running);
    held.update(|run| {
        run.bundle = Some(Digest::sha256(b"x"));
        run.name = Some("apps-7".to_owned());
        run.counts.artifacts = 3;
        run.bytes = 99;
        // What names the run stays.
        run.pipeline = "other".to_owned();
        run.state = State::Done;
    })
    .unwrap();
    let seen = runs.show(&id).unwrap().unwrap();
    assert_eq!((seen.state, seen.pipeline.as_str(), seen.bytes), (State::Running, "dark", 99));
    let ended = held.end(State::Done, None, at(60)).unwrap();
    assert_eq!(runs.show(&id).unwrap(), Some(ended.clone()));
    assert_eq!((ended.state, ended.ended, ended.error), (State::Done, Some(at(60)), None));
    for entry in std::fs::read_dir(&runs.folder).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o077, 0);
    }
    assert_eq!(runs.folder.metadata().unwrap().mode() & 0o077, 0);
}

#[test]
fn t8_a_run_that_nobody_holds_was_killed_and_goes_on_under_its_id() {
    let (_dir, runs) = store();
    let held = begin(&runs, "dark", 0);
    let id = held.run().id.clone();
    assert_eq!(runs.resume(&id).unwrap_err().class, Class::Lock);
    assert_eq!(runs.delete(&id).unwrap_err().class, Class::Lock);
    drop(held);
    assert_eq!(runs.show(&id).unwrap().unwrap().state, State::Killed);
    assert_eq!(runs.list(1).unwrap().runs[0].state, State::Killed);
    let held = runs.resume(&id).unwrap();
    assert_eq!(runs.show(&id).unwrap().unwrap().state, State::Running);
    let waits = Fault::new(Class::Policy, "1 of 2 signatures");
    held.end(State::Waiting, Some(&waits), at(5)).unwrap();
    let waiting = runs.newest("dark", |run| run.state == State::Waiting).unwrap().unwrap();
    assert_eq!((waiting.id.clone(), waiting.ended), (id.clone(), None));
    assert_eq!(runs.newest("other", |_| true).unwrap(), None);
    runs.resume(&id).unwrap().end(State::Done, None, at(9)).unwrap();
    assert_eq!(runs.resume(&id).unwrap_err().class, Class::Usage);
}

#[test]
fn t8_runs_of_one_second_are_in_the_order_of_their_starts() {
    let (_dir, runs) = store();
    let ids: Vec<Id> = [7, 7, 7, 6, 7].map(|second| begin(&runs, "dark", second).run.id).to_vec();
    assert!(ids.is_sorted(), "{ids:?}");
    let listed: Vec<Id> = runs.list(usize::MAX).unwrap().runs.into_iter().map(|run| run.id).rev().collect();
    assert_eq!(listed, ids);
}

#[test]
fn t8_records_are_listed_newest_first_and_deleted_alone_or_all_that_failed() {
    let (_dir, runs) = store();
    let fault = Fault::new(Class::Destination, "refused: https://u:canary@r.example/");
    for (second, state) in [(1, State::Failed), (2, State::Failed), (3, State::Done)] {
        begin(&runs, "dark", second).end(state, (state == State::Failed).then_some(&fault), at(second)).unwrap();
    }
    let killed = begin(&runs, "dark", 4).run.id;
    let working = begin(&runs, "dark", 5);
    let listing = runs.list(usize::MAX).unwrap();
    let seconds: Vec<i64> = listing.runs.iter().map(|run| run.started.unix() - 1_800_000_000).collect();
    assert_eq!(seconds, [5, 4, 3, 2, 1]);
    assert_eq!(runs.list(2).unwrap().runs, listing.runs[..2]);
    assert!(!listing.runs[4].error.as_ref().unwrap().text.contains("canary"));
    let named = runs.clean(true).unwrap();
    assert_eq!(
        named.iter().map(|run| &run.id).collect::<Vec<_>>(),
        [&killed, &listing.runs[3].id, &listing.runs[4].id]
    );
    assert_eq!(runs.list(usize::MAX).unwrap(), listing);
    assert_eq!(runs.clean(false).unwrap(), named);
    assert_eq!(runs.list(usize::MAX).unwrap().runs.len(), 2);
    runs.delete(&listing.runs[2].id).unwrap();
    assert_eq!(runs.delete(&listing.runs[2].id).unwrap_err().class, Class::Usage);
    assert_eq!(runs.list(usize::MAX).unwrap().runs[0].id, working.run().id);
    // Neither a record nor its lock is left.
    assert_eq!(std::fs::read_dir(&runs.folder).unwrap().count(), 2);
}

#[test]
fn t8_a_damaged_record_is_named_and_can_be_deleted() {
    let (_dir, runs) = store();
    let run = begin(&runs, "dark", 1).end(State::Done, None, at(1)).unwrap();
    let path = runs.record(&run.id);
    let good = std::fs::read(&path).unwrap();
    let other = Id::parse("20270115-080000-00000000").unwrap();
    for wrong in [
        b"{}".to_vec(),
        [&good[..], b"\n"].concat(),
        String::from_utf8(good.clone()).unwrap().replace("done", "killed").into_bytes(),
        String::from_utf8(good.clone()).unwrap().replace(run.id.as_str(), other.as_str()).into_bytes(),
        vec![b' '; 70_000],
    ] {
        std::fs::write(&path, &wrong).unwrap();
        let listing = runs.list(9).unwrap();
        assert_eq!((listing.runs.len(), listing.damaged.len()), (0, 1));
        assert_eq!(runs.show(&run.id).unwrap_err().class, Class::Io);
    }
    runs.delete(&run.id).unwrap();
    assert_eq!(runs.list(9).unwrap(), Listing::default());
    std::fs::write(runs.folder.join("notes.json"), "x").unwrap();
    assert_eq!(runs.list(9).unwrap(), Listing::default());
    assert_eq!((Id::parse("../../etc/passwd"), Id::parse("20270115-080000-0000000G")), (None, None));
}

#[test]
fn t8_records_and_their_number_are_bounded() {
    let (_dir, mut runs) = store();
    runs.kept = 3;
    let waiting = begin(&runs, "dark", 0).end(State::Waiting, None, at(0)).unwrap();
    for second in 1..6 {
        begin(&runs, "dark", second).end(State::Done, None, at(second)).unwrap();
    }
    let left: Vec<i64> = runs.list(9).unwrap().runs.iter().map(|run| run.started.unix() - 1_800_000_000).collect();
    assert_eq!(left, [5, 4, 3, 0]);
    assert_eq!(runs.show(&waiting.id).unwrap().unwrap().state, State::Waiting);
    let mut huge = Fault::new(Class::Io, "\u{1}".repeat(100_000));
    huge.others = vec![Fault::new(Class::Io, "\u{1}".repeat(100_000)); 99];
    let mut held = begin(&runs, &"\u{1}".repeat(100_000), 9);
    held.update(|run| {
        (run.name, run.receipt, run.sign) =
            (Some("\u{1}".repeat(9999)), Some("é".repeat(9999)), Some("\u{1}".repeat(9999)));
        run.warnings = vec!["\u{1}".repeat(9999); 99];
    })
    .unwrap();
    let run = held.end(State::Failed, Some(&huge), at(9)).unwrap();
    assert!(runs.show(&run.id).unwrap().is_some());
    assert!(runs.record(&run.id).metadata().unwrap().len() <= MAX_RECORD);
}
