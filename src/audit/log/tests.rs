//! Row U3: every edit, every cut and every torn line is found; who appends is stopped by what is known to be wrong.

use std::io::Cursor;
use std::path::PathBuf;

use super::*;
use crate::audit::{Event, check};

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

    fn held(&self) -> Held {
        Head::look(&self.head).unwrap().unwrap()
    }

    fn faults(&self, bytes: &[u8]) -> usize {
        let held = self.held();
        let report = check(Cursor::new(bytes), Some(&held)).unwrap();
        report.faults.len()
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
    let report = check(Cursor::new(&bytes), Some(&desk.held())).unwrap();
    assert!(report.faults.is_empty() && report.open.is_empty() && report.lines == 6, "{report:?}");
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
        // A clean cut leaves a chain without a fault: the head alone knows.
        let cut = lines[..at].concat();
        assert_ne!(desk.faults(&cut), 0, "cut at {at}");
        assert!(check(Cursor::new(&cut), None).unwrap().faults.is_empty(), "cut at {at}");
    }
    // All of it written anew, in a chain of its own.
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
    for _ in 0..3 {
        desk.append(None).unwrap();
    }
    std::fs::write(&desk.head, &head).unwrap();
    assert_eq!(desk.faults(&desk.bytes()), 0);
    let file = File::open(&desk.log).unwrap();
    let seen =
        Snapshot::take(&file, &desk.log, |first| Ok(Head::find(desk.head.parent().unwrap(), first.unwrap()))).unwrap();
    assert_eq!((seen.length, seen.held), (desk.bytes().len() as u64, Some(desk.held())));
    assert_eq!(desk.append(None).unwrap().number, 8);
    assert_eq!(desk.held().newest.number, 8);
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
    let report = check(Cursor::new(desk.bytes()), Some(&desk.held())).unwrap();
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
    assert!(Head::look(&desk.head).is_err());
}
