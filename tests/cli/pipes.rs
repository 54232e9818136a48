//! Streams through real pipes: `cat | verify -`, `cat | import -`, one that breaks.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Stdio};

use super::{Ended, command, packmule};

/// Makes `b` in `usb` by `demo`'s way: a layout of one image, a key, an export.
fn make(dir: &Path) {
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
    let layer = put("application/vnd.oci.image.layer.v1.tar+gzip", &vec![7; 3 << 20]);
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
    // Without trust the key ids are named.
    let untrusted = piped(dir.path(), &["verify", "-"]);
    assert!(untrusted.code == 2 && untrusted.stderr.contains("signed under key"), "{}", untrusted.stderr);
    // tar reads it too.
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
            // It may have ended before it was given all.
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
    // Its reader ends first: an error, and no hang.
    let mut source = cat(dir.path());
    drop(source.stdout.take());
    assert_eq!(source.wait().unwrap().code(), Some(22));
}
