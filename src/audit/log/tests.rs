//! Row U3: every edit, every cut and every partial line is found, and nothing is appended to a log
//! that is known to be wrong.

use std::io::Cursor;
use std::path::PathBuf;

use super::*;
use crate::audit::{Event, Report, StateId, check};

struct Desk {
    _folder: tempfile::TempDir,
    log: PathBuf,
    head: PathBuf,
}

fn desk() -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let (log, head) = (folder.path().join("log"), folder.path().join("state/audit/x.head"));
    Desk { _folder: folder, log, head }
}

fn entry(begin: Option<u64>) -> Entry {
    let outcome = begin.map(|_| "ok".to_owned());
    Entry { begin, outcome, command: "import".to_owned(), tool: "packmule 0.1.0".to_owned(), ..Entry::default() }
}

impl Desk {
    fn open(&self) -> Log {
        Log::open(&self.log, Some(&self.head)).unwrap()
    }

    fn append(&self, begin: Option<u64>) -> Result<Newest, Fault> {
        self.open().append(Moment::from_unix(0).unwrap(), entry(begin))
    }

    fn with(runs: u64) -> Self {
        let desk = desk();
        for run in 0..runs {
            assert_eq!(desk.append(None).unwrap().number, 2 * run + 1);
            desk.append(Some(2 * run + 1)).unwrap();
        }
        desk
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.log).unwrap()
    }

    /// Returns the state's knowledge of the log with these bytes.
    fn known(&self, bytes: &[u8]) -> Known {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        Head::look(&self.head, end.map(|end| Digest::sha256(&bytes[..=end]))).unwrap().unwrap()
    }

    fn held(&self) -> Held {
        self.known(&self.bytes()).held.unwrap()
    }

    fn check(&self, bytes: &[u8]) -> Report {
        check(Cursor::new(bytes), Some(&self.known(bytes))).unwrap()
    }

    fn faults(&self, bytes: &[u8]) -> usize {
        self.check(bytes).faults.len()
    }

    /// Creates another state with a head of the same log.
    fn other(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let head = folder.path().join("audit/x.head");
        Self { _folder: folder, log: self.log.clone(), head }
    }

    /// Appends lines as an attacker with write access can: chained, and each as if written by
    /// `state`.
    fn forge(&self, count: u64, state: Option<StateId>) {
        let mut bytes = self.bytes();
        for _ in 0..count {
            let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            let last = lines.last().map(|line| Newest::of(lines.len() as u64, line));
            bytes.extend(Line::after(last, state, Moment::from_unix(0).unwrap(), None, entry(None)).to_bytes());
        }
        std::fs::write(&self.log, bytes).unwrap();
    }
}

#[test]
fn lines_are_chained_and_canonical_and_the_head_knows_the_last() {
    let desk = Desk::with(3);
    let bytes = desk.bytes();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 6);
    for (at, bytes) in lines.iter().enumerate() {
        let line = Line::parse(bytes).unwrap();
        assert!(bytes.starts_with(super::super::line::BEGINS));
        let canonical = crate::oci::canonical::serialize(&line).unwrap();
        assert_eq!(canonical, bytes[..bytes.len() - 1], "members in order");
        assert_eq!(line.previous, at.checked_sub(1).map(|before| Digest::sha256(lines[before])));
        assert_eq!(line.event, if at % 2 == 0 { Event::Begin } else { Event::End });
    }
    assert_eq!(desk.held().newest, Newest::of(6, lines[5]));
    assert_eq!(desk.held().first, Digest::sha256(lines[0]));
    let report = desk.check(&bytes);
    assert!(report.faults.is_empty() && report.open.is_empty() && report.lines == 6, "{report:?}");
    let id = StateId::look(&desk.head.with_file_name("id")).unwrap();
    assert!(id.is_some() && lines.iter().all(|line| Line::parse(line).unwrap().state == id), "each names its state");
    desk.append(None).unwrap();
    let report = check(Cursor::new(desk.bytes()), None).unwrap();
    assert_eq!(report.open.keys().collect::<Vec<_>>(), [&7], "a run without an end shows");
}

#[test]
fn u3_every_changed_byte_is_found() {
    let desk = Desk::with(2);
    let bytes = desk.bytes();
    assert_eq!(desk.faults(&bytes), 0);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert_ne!(desk.faults(&changed), 0, "byte {at} bit {bit}");
        }
        let without = [&bytes[..at], &bytes[at + 1..]].concat();
        assert_ne!(desk.faults(&without), 0, "byte {at} gone");
    }
}

#[test]
fn u3_every_line_that_is_cut_moved_or_repeated_is_found() {
    let desk = Desk::with(3);
    let bytes = desk.bytes();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for at in 0..lines.len() {
        let mut gone = lines.clone();
        gone.remove(at);
        assert_ne!(desk.faults(&gone.concat()), 0, "line {at} gone");
        let mut twice = lines.clone();
        twice.insert(at, lines[at]);
        assert_ne!(desk.faults(&twice.concat()), 0, "line {at} twice");
        for other in at + 1..lines.len() {
            let mut moved = lines.clone();
            moved.swap(at, other);
            assert_ne!(desk.faults(&moved.concat()), 0, "lines {at} and {other}");
        }
        // A clean cut leaves a valid chain, and only the head reveals it.
        let cut = lines[..at].concat();
        assert_ne!(desk.faults(&cut), 0, "cut at {at}");
        assert!(check(Cursor::new(&cut), None).unwrap().faults.is_empty(), "cut at {at}");
    }
    // The whole log, rewritten as a chain of its own.
    let other = desk_of_another_day();
    assert_ne!(desk.faults(&other.bytes()), 0);
}

fn desk_of_another_day() -> Desk {
    let desk = desk();
    for _ in 0..8 {
        desk.open().append(Moment::from_unix(86_400).unwrap(), entry(None)).unwrap();
    }
    desk
}

#[test]
fn u3_who_appends_covers_nothing_up() {
    for harm in ["cut", "torn", "emptied", "changed", "gone"] {
        let desk = Desk::with(2);
        let bytes = desk.bytes();
        let last = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        match harm {
            "cut" => std::fs::write(&desk.log, &bytes[..last]).unwrap(),
            "torn" => std::fs::write(&desk.log, &bytes[..bytes.len() - 1]).unwrap(),
            "emptied" => std::fs::write(&desk.log, b"").unwrap(),
            "changed" => {
                let text = String::from_utf8(bytes.clone()).unwrap();
                std::fs::write(&desk.log, text.replace("\"outcome\":\"ok\"", "\"outcome\":\"no\"")).unwrap();
            }
            _ => std::fs::remove_file(&desk.log).unwrap(),
        }
        let before = std::fs::read(&desk.log).unwrap_or_default();
        let fault = desk.append(None).unwrap_err();
        assert!(fault.class == Class::Io && fault.what.contains("as its head says"), "{harm}: {fault:?}");
        assert_eq!(desk.bytes(), before, "{harm}: nothing was written");
        assert_ne!(desk.faults(&before), 0, "{harm}");
    }
}

#[test]
fn u3_what_a_killed_run_left_is_taken_away_and_told() {
    let desk = Desk::with(1);
    let whole = desk.bytes();
    std::fs::write(&desk.log, [&whole[..], b"{\"at\":\"2026"].concat()).unwrap();
    assert_ne!(desk.faults(&desk.bytes()), 0, "as long as it is there");
    desk.append(None).unwrap();
    let bytes = desk.bytes();
    let line = Line::parse(&bytes[whole.len()..]).unwrap();
    assert_eq!((line.number, line.mended), (3, Some(11)));
    assert_eq!(desk.faults(&bytes), 0);
}

#[test]
fn u3_a_line_that_its_head_does_not_know_yet_is_no_harm() {
    let desk = Desk::with(2);
    let head = std::fs::read(&desk.head).unwrap();
    desk.append(None).unwrap();
    std::fs::write(&desk.head, &head).unwrap();
    let report = desk.check(&desk.bytes());
    assert!(report.faults.is_empty() && report.unheld == 1, "{report:?}");
    let file = File::open(&desk.log).unwrap();
    let seen = Snapshot::take(&file, &desk.log, |first| Head::look(&desk.head, first)).unwrap();
    assert_eq!((seen.length, seen.known.unwrap().held), (desk.bytes().len() as u64, Some(desk.held())));
    assert_eq!(desk.append(None).unwrap().number, 6);
    assert_eq!(desk.held().newest.number, 6);
    assert_eq!(desk.faults(&desk.bytes()), 0);
    // The first run that a state recorded in a log was also killed like this.
    let first = Desk::with(0);
    first.append(None).unwrap();
    std::fs::write(&first.head, b"").unwrap();
    assert_eq!(first.faults(&first.bytes()), 0);
    assert_eq!(first.append(None).unwrap().number, 2);
}

#[test]
fn u3_lines_that_were_put_on_are_found_and_none_is_adopted() {
    for (count, is_bad) in [(1, false), (2, true), (5, true)] {
        let desk = Desk::with(2);
        desk.forge(count, Some(desk.held().state));
        let before = desk.bytes();
        let report = desk.check(&before);
        assert_eq!((report.faults.len() == 1, report.unheld), (is_bad, count), "{report:?}");
        if !is_bad {
            assert_eq!(desk.append(None).unwrap().number, 6);
            continue;
        }
        assert!(report.faults[0].contains("were added"), "{report:?}");
        for _ in 0..2 {
            let fault = desk.append(None).unwrap_err();
            assert!(fault.class == Class::Io && fault.what.contains("past line 4, as its head says"), "{fault:?}");
            assert!(desk.open().newest().is_err(), "a receipt names no line of these");
            assert_eq!((desk.bytes(), desk.held().newest.number), (before.clone(), 4), "nothing was written");
        }
    }
    // If the state's head of this log is lost, its own lines are still recognized.
    let desk = Desk::with(2);
    std::fs::remove_file(&desk.head).unwrap();
    assert_eq!((desk.faults(&desk.bytes()), desk.append(None).unwrap_err().class), (1, Class::Io));
}

#[test]
fn u3_a_head_judges_the_lines_of_its_own_state() {
    let guard = Desk::with(2);
    let import = guard.other();
    for number in 5..8 {
        assert_eq!(import.append(None).unwrap().number, number);
    }
    assert_ne!(guard.held().state, import.held().state);
    // The guard wrote none of the three.
    let report = guard.check(&guard.bytes());
    assert!(report.faults.is_empty() && report.unheld == 0, "{report:?}");
    assert_eq!(guard.append(None).unwrap().number, 8);
    // A run without a state did not write them either.
    Log::open(&guard.log, None).unwrap().append(Moment::from_unix(0).unwrap(), entry(None)).unwrap();
    let bytes = guard.bytes();
    let last = bytes.split_inclusive(|byte| *byte == b'\n').next_back().unwrap();
    assert_eq!(Line::parse(last).unwrap().state, None);
    for desk in [&guard, &import] {
        assert_eq!(desk.faults(&desk.bytes()), 0);
        desk.append(None).unwrap();
    }
    // The other state cannot tell lines forged in the name of one from real ones.
    guard.forge(2, Some(import.held().state));
    assert_eq!((guard.faults(&guard.bytes()), import.faults(&guard.bytes())), (0, 1));
    assert_eq!(import.append(None).unwrap_err().class, Class::Io);
    // The other state must not cover up a broken chain either.
    let whole = guard.bytes();
    let text = String::from_utf8(whole.clone()).unwrap();
    let last = text.lines().last().unwrap();
    std::fs::write(&guard.log, [&text[..], &last.replace("\"number\":14", "\"number\":15"), "\n"].concat()).unwrap();
    let fault = guard.append(None).unwrap_err();
    assert!(fault.class == Class::Io && fault.what.contains("follow the one before"), "{fault:?}");
}

#[test]
fn u3_one_log_under_two_names_has_two_heads_that_vouch_for_it() {
    let desk = Desk::with(1);
    // The medium that holds the log has another name now. The state is unchanged.
    let renamed =
        Desk { _folder: tempfile::tempdir().unwrap(), log: desk.log.clone(), head: desk.head.with_file_name("y.head") };
    for number in [3, 4, 5] {
        assert_eq!(renamed.append(None).unwrap().number, number);
    }
    assert_eq!((desk.faults(&desk.bytes()), renamed.faults(&desk.bytes())), (0, 0));
    assert_eq!(desk.append(None).unwrap().number, 6);
    let whole = desk.bytes();
    desk.forge(2, Some(desk.held().state));
    assert_eq!((desk.faults(&desk.bytes()), renamed.faults(&desk.bytes())), (1, 1));
    // A third name: the lines that the other heads record must exist.
    std::fs::write(&desk.log, &whole[..whole.len() / 2]).unwrap();
    let third = Desk { head: desk.head.with_file_name("z.head"), ..renamed };
    let fault = third.append(None).unwrap_err();
    assert!(fault.what.contains("tail was cut off"), "{fault:?}");
}

#[test]
fn u3_a_head_that_was_half_written_leaves_the_one_before() {
    let desk = Desk::with(2);
    let before = std::fs::read(&desk.head).unwrap();
    assert_eq!(before.len(), 1024);
    desk.append(None).unwrap();
    let after = std::fs::read(&desk.head).unwrap();
    let differs = (0..1024).filter(|at| before[*at] != after[*at]).collect::<Vec<_>>();
    assert!(differs.iter().all(|at| at / 512 == differs[0] / 512), "one slot");
    for cut in differs {
        let torn = [&after[..=cut], &before[cut + 1..]].concat();
        std::fs::write(&desk.head, &torn).unwrap();
        let number = desk.held().newest.number;
        assert!(number == 4 || torn == after, "{cut}: {number}");
    }
    std::fs::write(&desk.head, b"something else").unwrap();
    assert_eq!(desk.append(None).unwrap_err().class, Class::Io);
}

#[test]
fn many_write_at_once() {
    let desk = desk();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let begin = desk.append(None).unwrap().number;
                    desk.append(Some(begin)).unwrap();
                }
            });
        }
    });
    let report = desk.check(&desk.bytes());
    assert!(report.faults.is_empty() && report.lines == 80 && report.open.is_empty(), "{report:?}");
}

#[test]
fn what_cannot_be_a_log_is_refused() {
    let desk = desk();
    std::fs::create_dir(&desk.log).unwrap();
    assert_eq!(Log::open(&desk.log, None).unwrap_err().class, Class::Io);
    let link = desk.log.with_file_name("link");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    assert_eq!(Log::open(&link, None).unwrap_err().class, Class::Io);
    assert_eq!(Log::open(Path::new("/dev/full"), None).unwrap_err().class, Class::Io);
    let text = desk.log.with_file_name("text");
    std::fs::write(&text, "a diary\n").unwrap();
    let log = Log::open(&text, None).unwrap();
    assert_eq!(log.append(Moment::from_unix(0).unwrap(), entry(None)).unwrap_err().class, Class::Io);
    assert_eq!(std::fs::read(&text).unwrap(), b"a diary\n");
}

#[test]
fn a_head_that_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::with(1);
    std::fs::set_permissions(&desk.head, std::fs::Permissions::from_mode(0o622)).unwrap();
    assert_eq!(Log::open(&desk.log, Some(&desk.head)).unwrap_err().class, Class::Io);
    assert!(Head::look(&desk.head, None).is_err());
}
