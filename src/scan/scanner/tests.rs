//! Scanners that are short scripts: every way to end, and how they may treat the pipes.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::flow::{Clock, Silent};

struct Still;

impl Clock for Still {
    fn unix(&self) -> i64 {
        0
    }
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
    fn sleep(&self, _: Duration) {}
}

pub(in crate::scan) fn flow(jobs: usize) -> Flow {
    Flow::new(Arc::new(Silent), Arc::new(Still), jobs, jobs)
}

/// Creates a scanner that is a shell script.
pub(in crate::scan) fn scanner(script: &str, options: Options, at_once: usize) -> Scanner {
    let env = std::env::vars_os().collect();
    let surroundings = Surroundings { env, dir: std::path::PathBuf::new() };
    Scanner::new(&format!("sh -c {}", shell_words::quote(script)), options, &surroundings, at_once).unwrap()
}

const OPTIONS: Options = Options { files: false, timeout: Duration::from_secs(20), fail_fast: false };

fn ask(script: &str, content: &[u8]) -> Answer {
    let scanner = scanner(script, OPTIONS, 1);
    let mut given = scanner.begin();
    given.feed(content, &flow(1)).unwrap();
    given.finish(&flow(1)).unwrap()
}

#[test]
fn u4_only_exit_status_0_is_clean() {
    assert_eq!(ask("test \"$(cat)\" = content", b"content"), Answer { problem: None, said: String::new() });
    assert_eq!(ask("test \"$(cat)\" = content", b"contenT").problem, Some(Problem::Exit(1)));
    assert_eq!(ask("cat >/dev/null; exit 2", b"x").problem, Some(Problem::Exit(2)));
    assert_eq!(ask("exit 255", b"").problem, Some(Problem::Exit(255)));
    assert_eq!(ask("test -z \"$(cat)\"", b"").problem, None);
}

#[test]
fn u4_killed_crashed_and_absent_are_not_clean() {
    assert_eq!(ask("kill -9 $$", b"x").problem, Some(Problem::Signal(9)));
    assert_eq!(ask("cat >/dev/null; kill -SEGV $$", b"x").problem, Some(Problem::Signal(11)));
    let absent = Scanner::new("no-such-scanner -", OPTIONS, &Surroundings::default(), 1).unwrap();
    assert_eq!(absent.version(&flow(1)).unwrap_err().class, Class::Policy);
    let given = absent.begin();
    assert_eq!(given.finish(&flow(1)).unwrap().problem, Some(Problem::Failed("not found".into())));
    // A file that is not executable.
    let plain = Scanner::new("/etc/passwd", OPTIONS, &Surroundings::default(), 1).unwrap();
    assert!(matches!(plain.begin().finish(&flow(1)).unwrap().problem, Some(Problem::Failed(_))));
}

fn is_there(pid: &str) -> bool {
    // A process that has ended and waits for its parent counts as gone.
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Whether a process that was ended is gone soon.
fn goes(pid: &str) -> bool {
    (0..100).any(|_| {
        let is_gone = !is_there(pid);
        if !is_gone {
            std::thread::sleep(Duration::from_millis(20));
        }
        is_gone
    })
}

#[test]
fn u4_a_timeout_ends_the_scanner_and_all_that_it_started() {
    let options = Options { timeout: Duration::from_secs(1), ..OPTIONS };
    for content in [vec![], vec![7; 1 << 20]] {
        let scanner = scanner("sleep 300 & echo $!; wait; exit 0", options, 1);
        let mut given = scanner.begin();
        // More than the pipe holds, and nothing reads it.
        given.feed(&content, &flow(1)).unwrap();
        let answer = given.finish(&flow(1)).unwrap();
        assert_eq!(answer.problem, Some(Problem::Timeout(1)));
        assert!(answer.said.parse::<u32>().is_ok() && goes(&answer.said), "{answer:?}");
    }
}

#[test]
fn u4_what_a_scanner_leaves_behind_holds_nobody_up() {
    // In its process group: ended with it. In a session of its own: it keeps the pipes, but is not
    // waited for.
    let answer = ask("sleep 300 & echo $!", b"x");
    assert_eq!(answer.problem, None);
    assert!(answer.said.parse::<u32>().is_ok() && goes(&answer.said), "{answer:?}");
    let large = vec![7; 1 << 20];
    assert_eq!(ask("setsid sleep 3 & exit 3", &large).problem, Some(Problem::Exit(3)));
}

#[test]
fn u4_a_scanner_need_not_read_to_the_end() {
    let large = vec![7; 4 << 20];
    assert_eq!(ask("exec <&-; sleep 0.1", &large).problem, None);
    assert_eq!(ask("head -c 10 >/dev/null; exit 1", &large).problem, Some(Problem::Exit(1)));
    assert_eq!(ask("exit 0", &large).problem, None);
}

#[test]
fn u4_output_without_end_is_read_and_not_kept() {
    let large = vec![7; 4 << 20];
    let answer = ask("head -c 3000000 /dev/zero | tr '\\0' x; cat >/dev/null; echo more >&2; exit 1", &large);
    assert_eq!(answer.problem, Some(Problem::Exit(1)));
    assert_eq!(answer.said.chars().count(), SAID + 1);
    assert!(answer.said.starts_with("xxx") && answer.said.ends_with('…'));
    let both = ask("echo out; echo error >&2; exit 1", b"");
    assert_eq!(both.said, "out\nerror");
}

#[test]
fn u4_the_version_is_one_line_and_escaped() {
    let version = |script: &str| scanner(script, OPTIONS, 1).version(&flow(1)).unwrap();
    let said = version("test \"$0\" = --version && printf '\\n \\033[1mScan 1/27000/today \\nmore\\n'");
    assert_eq!(said.unwrap(), "\\u{1b}[1mScan 1/27000/today");
    assert_eq!(version("cat"), None);
    assert_eq!(version("echo wrong; exit 2"), None);
    let long = version("head -c 5000 /dev/zero | tr '\\0' x").unwrap();
    assert_eq!(long.chars().count(), VERSION);
}

#[test]
fn u4_words_are_parted_without_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("my scanner");
    std::fs::write(&script, "#!/bin/sh\necho \"$#:$1:$2:$3\"\nexit 1\n").unwrap();
    std::process::Command::new("chmod").arg("755").arg(&script).status().unwrap();
    let env = std::env::vars_os().collect();
    let surroundings = Surroundings { env, dir: folder.path().to_owned() };
    let scanner = Scanner::new("'./my scanner' '$HOME; *' \"a b\" c\\ d", OPTIONS, &surroundings, 1).unwrap();
    let answer = scanner.begin().finish(&flow(1)).unwrap();
    assert_eq!((answer.said.as_str(), answer.problem), ("3:$HOME; *:a b:c d", Some(Problem::Exit(1))));
    for wrong in ["", "   ", "'open", "''"] {
        assert_eq!(Scanner::new(wrong, OPTIONS, &surroundings, 1).unwrap_err().class, Class::Usage, "{wrong:?}");
    }
}

#[test]
fn u4_never_more_at_once_than_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let script = format!("touch {place}/$$.run; ls {place} | grep -c run >>{place}/log; sleep 0.1; rm {place}/$$.run");
    let scanner = scanner(&script, OPTIONS, 2);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(scanner.begin().finish(&flow(1)).unwrap().problem, None));
        }
    });
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let counts: Vec<u32> = log.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(counts.len(), 8);
    assert!(counts.contains(&2) && counts.iter().all(|&count| count <= 2), "{counts:?}");
}

#[test]
fn u4_a_run_that_is_cancelled_leaves_no_scanner() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("pid");
    let scanner = scanner(&format!("echo $$ >{0}.new; mv {0}.new {0}; sleep 300", place.display()), OPTIONS, 1);
    let flow = flow(1);
    let given = scanner.begin();
    while !place.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    flow.cancel_flag().store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(given.finish(&flow), Err(Cancelled));
    assert!(!is_there(std::fs::read_to_string(&place).unwrap().trim()));
}
