//! Common to every command: help, usage errors, `--json`, options from the environment, broken
//! stdout, signals, panics.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use packmule::cli::{self, world::World};

use super::{command, packmule, refused};

#[test]
fn help_and_version_are_results() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&[][..], &["--help"], &["key", "--help"], &["key", "new", "--help"], &["--version"]] {
        let ended = packmule(dir.path(), args);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{args:?}");
        assert!(ended.stdout.contains("packmule"), "{}", ended.stdout);
    }
}

#[test]
fn usage_errors_are_one_line_and_one_advice() {
    let dir = tempfile::tempdir().unwrap();
    for (args, said) in [
        (&["--quiet"][..], "expected a command"),
        (&["key"], "expected a command"),
        (&["nonsense"], "nonsense"),
        (&["key", "new"], "--output"),
        (&["key", "new", "-o"], "--output"),
        (&["key", "id", "a", "--nonsense"], "--nonsense"),
        (&["key", "id", "a", "--jobs", "0"], "0"),
        (&["key", "id", "a", "b\u{202e}c"], "\\u{202e}"),
        (&["key", "new", "-o", "k.pem", "--no-passphrase", "--passphrase-file", "p"], "cannot be used with"),
    ] {
        let stderr = refused(dir.path(), args, 2);
        assert!(stderr.contains(said) && !stderr.contains('\u{202e}'), "{args:?}: {stderr}");
    }
}

#[test]
fn g8_json_is_one_document_in_every_outcome() {
    let dir = tempfile::tempdir().unwrap();
    for (args, code, schema) in [
        (&["key", "new", "-o", "k.pem", "--no-passphrase", "--json"][..], 0, "packmule.key-new.v1"),
        (&["--json", "key", "check", "k.pem"], 0, "packmule.key-check.v1"),
        (&["--json", "key", "check", "absent.pem"], 2, "packmule.key-check.v1"),
        (&["key", "--json", "--nonsense"], 2, "packmule.key.v1"),
        (&["--json", "nonsense"], 2, "packmule.error.v1"),
        (&["--json"], 2, "packmule.error.v1"),
    ] {
        let ended = packmule(dir.path(), args);
        assert_eq!((ended.code, ended.stderr.as_str()), (code, ""), "{args:?}");
        let document: serde_json::Value = serde_json::from_str(&ended.stdout).expect("one document");
        assert_eq!(document["exit"], code);
        assert_eq!(document["ok"], code == 0);
        assert_eq!(document["schema"], schema, "{args:?}");
        assert_eq!(document.get("error").is_some(), code != 0);
        assert_eq!(document.get("result").is_some(), code == 0);
    }
}

#[test]
fn options_come_from_the_environment_but_trust_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str], name: &str, value: &str| command(dir.path(), args).env(name, value).output().unwrap();
    let ended = run(&["key", "new", "--no-passphrase"], "PACKMULE_OUTPUT", "k.pem");
    assert_eq!(ended.status.code(), Some(0));
    assert!(dir.path().join("k.pub.pem").exists());
    let ended = run(&["key", "id", "k.pub.pem"], "PACKMULE_JSON", "1");
    assert!(ended.stdout.starts_with(b"{"));
    for (name, value) in [("PACKMULE_JSON", "maybe"), ("PACKMULE_JOBS", "many"), ("PACKMULE_PROGRESS", "x")] {
        assert_eq!(run(&["key", "id", "k.pub.pem"], name, value).status.code(), Some(2), "{name}");
    }
    assert_eq!(run(&["key", "id", "k.pub.pem"], "PACKMULE_KEY", "absent.pem").status.code(), Some(0));
}

#[test]
fn a_stdout_that_breaks_is_never_success() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(packmule(dir.path(), &["key", "new", "-o", "k.pem", "--no-passphrase"]).code, 0);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let ended = command(dir.path(), &["key", "id", "k.pub.pem"]).stdout(full).output().unwrap();
    assert_eq!(ended.status.code(), Some(22));
    assert!(ended.stderr.starts_with(b"error: standard output"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = command(dir.path(), &["key", "id", "k.pub.pem"]).stdout(writer).output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(22), &b""[..]));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = command(dir.path(), &["key", "id", "absent", "--json"]).stdout(writer).output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
}

/// Waits for data from a FIFO.
const WAITS: [&str; 6] = ["key", "new", "-o", "k.pem", "--passphrase-file", "fifo"];

/// A FIFO without data holds the run; the first signal is noted, the second ends it at once.
#[test]
fn the_second_signal_ends_a_run_at_once() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Command::new("mkfifo").arg(dir.path().join("fifo")).status().unwrap().success());
    for (signal, code) in [("HUP", 129), ("INT", 130), ("TERM", 143)] {
        let mut child = command(dir.path(), &WAITS).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        let begin = Instant::now();
        let handles = || {
            let text = std::fs::read_to_string(&status).unwrap();
            let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim().to_owned();
            // HUP is bit 0, INT bit 1, TERM bit 14.
            u64::from_str_radix(&caught, 16).unwrap() & 0x4003 == 0x4003
        };
        while !handles() && begin.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
        while child.try_wait().unwrap().is_none() && begin.elapsed() < Duration::from_secs(40) {
            let _ = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
        // Has no effect on a run that has ended; a run that has not ended gets no code and fails
        // the test.
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal}");
    }
}

/// `nohup` and a shell's background jobs: a signal that was ignored when the process started stays
/// ignored.
#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Command::new("mkfifo").arg(dir.path().join("fifo")).status().unwrap().success());
    let mut child = Command::new("sh")
        .args([
            "-c",
            "trap '' HUP; exec \"$0\" key new -o k.pem --passphrase-file fifo",
            env!("CARGO_BIN_EXE_packmule"),
        ])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let kill = |signal: &str, id: u32| drop(Command::new("kill").args(["-s", signal, &id.to_string()]).output());
    let begin = Instant::now();
    // Until it handles TERM (bit 14), which happens after it decided about HUP.
    let handles = |id: u32| {
        let text = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim().to_owned();
        u64::from_str_radix(&caught, 16).unwrap() & 0x4000 != 0
    };
    while !handles(child.id()) && begin.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..3 {
        kill("HUP", child.id());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(child.try_wait().unwrap(), None);
    while child.try_wait().unwrap().is_none() && begin.elapsed() < Duration::from_secs(40) {
        kill("TERM", child.id());
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn p5_a_panic_is_an_internal_error() {
    let dir = tempfile::tempdir().unwrap();
    let (world, stdout, stderr) = World::for_test(&["key", "new", "-o", "k.pem"], dir.path());
    let mut world = world.with_prompt(|_| panic!("canary"));
    assert_eq!(cli::run(&mut world), 1);
    assert_eq!(stdout.text(), "");
    let stderr = stderr.text();
    assert!(stderr.starts_with("error: internal error") && !stderr.contains("canary"), "{stderr}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
