//! Streams through real pipes: `cat | verify -`, `cat | import -`, a broken one, a stalled one.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use super::{Ended, command, packmule};

/// Makes `b` in `usb` as `demo` does: a layout of one image, a key, an export.
fn make(dir: &Path) {
    make_of(dir, 7);
}

/// Like `make`, from a layer of these bytes.
fn make_of(dir: &Path, byte: u8) {
    let blobs = dir.join("source/blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir(dir.join("usb")).unwrap();
    fs::write(dir.join("source/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let put = |kind: &str, bytes: &[u8]| {
        let digest = packmule::oci::Digest::sha256(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{}}}"#, bytes.len())
    };
    let config = put("application/vnd.oci.image.config.v1+json", b"{}");
    let layer = put("application/vnd.oci.image.layer.v1.tar+gzip", &vec![byte; 3 << 20]);
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let image = format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[{layer}]}}"#);
    let image = put(kind, image.as_bytes());
    let image = image.replacen('{', r#"{"annotations":{"org.opencontainers.image.ref.name":"1"},"#, 1);
    fs::write(dir.join("source/index.json"), format!(r#"{{"schemaVersion":2,"manifests":[{image}]}}"#)).unwrap();
    for args in [
        &["key", "new", "-o", "k.pem", "--no-passphrase"][..],
        &["export", "oci:source", "-o", "usb/b", "--sign", "k.pem"],
    ] {
        let ended = packmule(dir, args);
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.stderr);
    }
}

fn cat(dir: &Path) -> Child {
    command(dir, &["cat", "usb/b"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn piped(dir: &Path, args: &[&str]) -> Ended {
    let mut source = cat(dir);
    let ended = command(dir, args).stdin(source.stdout.take().unwrap()).output().unwrap().into();
    source.wait().unwrap();
    ended
}

#[test]
fn what_cat_writes_is_verified_shown_and_imported_from_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    let verified = piped(dir.path(), &["verify", "-", "--key", "k.pub.pem"]);
    assert!(verified.code == 0 && verified.stdout.starts_with("PASS  b\n"), "{}", verified.stderr);
    let shown = piped(dir.path(), &["inspect", "-"]);
    assert!(shown.code == 0 && shown.stdout.contains("not authenticated"), "{}", shown.stderr);
    let imported = piped(dir.path(), &["import", "-", "--key", "k.pub.pem", "--to", "oci:site"]);
    assert_eq!(imported.code, 0, "{}", imported.stderr);
    // Without trust, the key ids are named.
    let untrusted = piped(dir.path(), &["verify", "-"]);
    assert!(untrusted.code == 2 && untrusted.stderr.contains("signed under key"), "{}", untrusted.stderr);
    // tar can read it too.
    let stream = cat(dir.path()).wait_with_output().unwrap();
    assert!(stream.status.success() && stream.stdout.len() > 3 << 20);
    fs::write(dir.path().join("b.tar"), &stream.stdout).unwrap();
    let listed = std::process::Command::new("tar").args(["tf", "b.tar"]).current_dir(dir.path()).output().unwrap();
    assert_eq!(listed.stdout, b"b.sig.json\nb.json\nb.0001.tar.zst\n");
}

#[test]
fn a_pipe_that_ends_early_or_goes_on_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    let stream = cat(dir.path()).wait_with_output().unwrap().stdout;
    let half = &stream[..stream.len() / 2];
    let longer = [&stream[..], b"x"].concat();
    for (what, bytes, code) in [("empty", &b""[..], 10), ("half", half, 11), ("longer", &longer[..], 10)] {
        for args in
            [&["verify", "-", "--key", "k.pub.pem"][..], &["import", "-", "--key", "k.pub.pem", "--to", "oci:site"]]
        {
            let mut child = command(dir.path(), args)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            // It may have ended before it read everything.
            let _ = child.stdin.take().unwrap().write_all(bytes);
            let ended: Ended = child.wait_with_output().unwrap().into();
            assert_eq!(ended.code, code, "{what} {args:?}: {}", ended.stderr);
            assert!(!ended.stdout.contains("PASS"), "{what}: {}", ended.stdout);
        }
    }
}

#[test]
fn cat_has_no_other_output() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    for args in [&["cat", "usb/b", "--json"][..], &["cat", "usb/b", "--frames", "9"], &["cat", "-"]] {
        assert_eq!(packmule(dir.path(), args).code, 2, "{args:?}");
    }
    // Its reader ends first: an error, not a hang.
    let mut source = cat(dir.path());
    drop(source.stdout.take());
    assert_eq!(source.wait().unwrap().code(), Some(22));
}

/// Waits for a child that must end soon; kills it if it does not.
fn ends(mut child: Child, what: &str) -> Ended {
    for _ in 0..400 {
        if child.try_wait().unwrap().is_some() {
            return child.wait_with_output().unwrap().into();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    panic!("{what}: it goes on: {:?}", child.wait_with_output().unwrap());
}

/// Waits until a child handles INT.
fn catches(child: &mut Child) {
    for _ in 0..400 {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).map(str::trim);
        if caught.and_then(|caught| u64::from_str_radix(caught, 16).ok()).is_some_and(|caught| caught & 2 != 0) {
            return;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it has no handler");
}

fn interrupt(child: &Child) {
    let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
}

/// Starts a run that has read all of its standard input or FIFO so far, and waits for more.
fn waiting(dir: &Path, args: &[&str], bytes: &[u8]) -> (Child, Box<dyn std::io::Write>) {
    let mut command = command(dir, args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut writer: Box<dyn std::io::Write> = match child.stdin.take() {
        Some(stdin) if args.contains(&"-") => Box::new(stdin),
        _ => Box::new(fs::OpenOptions::new().write(true).open(dir.join("fifo")).unwrap()),
    };
    catches(&mut child);
    // More than a pipe holds, so that it must have read when this is done; it may end by itself.
    let _ = writer.write_all(bytes);
    (child, writer)
}

#[test]
fn c1_an_interrupt_ends_a_run_whose_stream_stands_still() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    mknodat(CWD, dir.path().join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let stream = cat(dir.path()).wait_with_output().unwrap().stdout;
    for from in ["-", "fifo"] {
        for args in [
            &["verify", from, "--key", "k.pub.pem"][..],
            &["inspect", from, "--check"],
            &["import", from, "--key", "k.pub.pem", "--to", "oci:site"],
        ] {
            // After nothing, its head, half of it, all but its end.
            for length in [0, 600, stream.len() / 2, stream.len()] {
                let what = format!("{args:?} after {length} bytes");
                let (child, writer) = waiting(dir.path(), args, &stream[..length]);
                interrupt(&child);
                let ended = ends(child, &what);
                drop(writer);
                assert_eq!(ended.code, 130, "{what}: {}", ended.stderr);
                assert!(!ended.stdout.contains("PASS"), "{what}: {}", ended.stdout);
            }
        }
    }
    // A FIFO that nobody has opened for writing.
    let mut command = command(dir.path(), &["verify", "fifo", "--key", "k.pub.pem"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    catches(&mut child);
    interrupt(&child);
    let ended = ends(child, "no writer");
    assert_eq!(ended.code, 130, "{}", ended.stderr);
}

#[test]
fn what_stands_in_the_way_is_told_while_the_stream_stands_still() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make(dir.path());
    make_of(other.path(), 9);
    let into = |from| ["import", from, "--key", "k.pub.pem", "--to", "oci:site"];
    assert_eq!(packmule(other.path(), &into("usb/b")).code, 0);
    fs::rename(other.path().join("site"), dir.path().join("site")).unwrap();
    mknodat(CWD, dir.path().join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let stream = cat(dir.path()).wait_with_output().unwrap().stdout;
    for from in ["-", "fifo"] {
        for length in [stream.len() / 2, stream.len()] {
            let (child, writer) = waiting(dir.path(), &into(from), &stream[..length]);
            let ended = ends(child, "a tag that exists");
            drop(writer);
            assert!(ended.code == 15 && ended.stderr.contains("tag exists"), "{}: {}", ended.code, ended.stderr);
        }
    }
}

#[test]
fn a_fault_is_told_at_once_to_whoever_asks_for_the_first_alone() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    let mut stream = cat(dir.path()).wait_with_output().unwrap().stdout;
    let half = stream.len() / 2;
    // In the header of the first volume's member or its first frame, long before the end.
    let at = stream.windows(4).position(|four| four == [0x28, 0xb5, 0x2f, 0xfd]).unwrap() + 20;
    stream[at] ^= 1;
    let args = ["verify", "-", "--key", "k.pub.pem", "--fail-fast"];
    let (child, writer) = waiting(dir.path(), &args, &stream[..half]);
    let ended = ends(child, "a flipped bit");
    drop(writer);
    assert_eq!(ended.code, 11, "{}", ended.stderr);
}
