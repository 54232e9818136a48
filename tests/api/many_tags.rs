//! Very many tags in one layout: the work is linear in their number, and a signal ends the program.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use packmule::bundle::write::Input;
use packmule::decide::route::{Place, Route};
use packmule::decide::select::{Referrers, Selection, Wanted};
use packmule::layout::Layout;
use packmule::oci::{Artifact, Repository, Tag};
use packmule::operate::import::{self, Ledger, Sides, TagConflict};

use crate::alone::{ALONE, told_by};
use crate::key;
use crate::store::{Memory, SIGN_1, artifact, flow};

/// A source, and an input of one artifact with half of `count` tags and as many artifacts with one
/// tag each.
fn crowd(count: usize) -> (Memory, Input) {
    let (mut memory, input) = artifact("b", vec![(b"{}".to_vec(), false, "a/config")], u64::MAX);
    let document = input.blobs[0].document.as_ref().unwrap();
    memory.blobs.insert(document.digest(), document.raw().to_vec());
    let one = input.artifacts[0].clone();
    let tags = (0..count / 2).map(|number| Tag::new(&format!("t{number:07}")).unwrap()).collect();
    let mut artifacts = vec![Artifact { tags, ..one.clone() }];
    artifacts.extend((0..count / 2).map(|number| {
        let repository = Repository::exact(&format!("localhost/c{number:07}")).unwrap();
        Artifact { repository, ..one.clone() }
    }));
    (memory, Input { artifacts, ..input })
}

/// Returns the processor time of this process so far, in ticks.
fn ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let numbers: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    numbers[11].parse::<u64>().unwrap() + numbers[12].parse::<u64>().unwrap()
}

#[test]
fn g4_four_times_as_many_tags_take_no_more_than_eight_times_the_work() {
    let work = |count: usize| {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("count"), count.to_string()).unwrap();
        told_by("many_tags::the_import_and_plan_of_its_own_process", dir.path(), "ticks:")
    };
    let (few, many) = (work(3000), work(12_000));
    // Too few ticks are not meaningful.
    assert!(many > 20, "{few} and {many} ticks");
    assert!(many <= 8 * few.max(5), "{few} ticks for 3,000 tags, {many} for 12,000");
}

/// Runs only as a child of the test above: an import with a receipt, the same again, and the plan
/// of an export of everything.
#[test]
fn the_import_and_plan_of_its_own_process() {
    let Some(dir) = std::env::var_os(ALONE) else { return };
    let dir = Path::new(&dir);
    let count: usize = fs::read_to_string(dir.join("count")).unwrap().parse().unwrap();
    let (memory, input) = crowd(count);
    let before = ticks();
    let route = Route::new(Place::Layout, false, Vec::new());
    for _ in 0..2 {
        let (layout, account) = (Layout::create(&dir.join("site")).unwrap(), Mutex::new(Ledger::default()));
        let request = import::Request {
            source: &memory,
            destination: &layout,
            check: &import::NoCheck,
            artifacts: &input.artifacts,
            absent: &[],
            route: &route,
            tag_book: None,
            select: &[],
            tag_conflict: TagConflict::Fail,
            keep_going: false,
            dry_run: false,
            sides: Sides::PLACES,
            goal: import::Goal::Whole,
            referrers: &Referrers::All,
            siblings: None,
            wanted: None,
            ledger: Some(&account),
        };
        let outcome = import::run(&flow(2), &request).unwrap();
        assert!(outcome.is_good());
        assert_eq!(account.into_inner().unwrap().artifacts.len(), input.artifacts.len());
    }
    let layout = Layout::open(&dir.join("site")).unwrap();
    let wanted: Vec<Wanted> =
        layout.entries().iter().flat_map(|entry| entry.names.iter().cloned().map(Wanted::new)).collect();
    assert_eq!(wanted.len(), count / 2 * 2);
    let plan = packmule::decide::plan::make(&flow(2), &layout, &Selection { wanted, ..Selection::default() }).unwrap();
    assert_eq!(plan.artifacts.len(), input.artifacts.len());
    println!("\nticks: {}", ticks() - before);
}

/// Sends the program TERM at several times during an import of many tags: it ends soon, no name has
/// been set, and the same import succeeds afterwards. The ten seconds only keep the test from
/// hanging.
#[test]
fn g6_term_ends_an_import_of_many_tags_and_the_same_import_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let (memory, input) = crowd(3000);
    let output = packmule::bundle::Output::open(dir.path(), &input.name, false).unwrap();
    let options = packmule::bundle::write::Options { sign: SIGN_1, read_back: None, leave_out: false };
    packmule::bundle::write::write(&flow(2), &memory, &output, &input, options).unwrap();
    drop(output);
    fs::write(dir.path().join("k.pem"), key(1).public().to_pem()).unwrap();
    let start = |to: &str| {
        Command::new(env!("CARGO_BIN_EXE_packmule"))
            .args([
                "import",
                "b",
                "--key",
                "k.pem",
                "--receipt",
                &format!("{to}.receipt.json"),
                "--to",
                &format!("oci:{to}"),
            ])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let begin = Instant::now();
    assert_eq!(start("calm").wait().unwrap().code(), Some(0));
    let whole = begin.elapsed();
    let mut caught = 0;
    for part in 1..=4 {
        let to = format!("site{part}");
        let mut child = start(&to);
        std::thread::sleep(whole * part / 5);
        let sent = Instant::now();
        if child.try_wait().unwrap().is_none() {
            let id = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        }
        let ended = loop {
            if let Some(ended) = child.try_wait().unwrap() {
                break ended;
            }
            if sent.elapsed() > Duration::from_secs(10) {
                child.kill().unwrap();
                panic!("{part}: still there ten seconds after TERM");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let receipt = dir.path().join(format!("{to}.receipt.json"));
        if receipt.exists() {
            fs::remove_file(receipt).unwrap();
        }
        let is_done = dir.path().join(&to).join("index.json").exists();
        match ended.code() {
            Some(0) => assert!(is_done, "{part}"),
            // The signal may have come between the names and the end.
            Some(143) => caught += 1,
            // Before the handler was installed.
            other => assert!(other.is_none() && !is_done, "{part}: {ended:?}"),
        }
        assert_eq!(start(&to).wait().unwrap().code(), Some(0), "{part}: the same import again");
        assert!(Layout::open(&dir.path().join(&to)).unwrap().entries().len() == 3000, "{part}");
    }
    assert!(caught >= 2, "{caught} of 4 came in time");
}
