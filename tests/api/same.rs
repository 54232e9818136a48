//! Equal input gives equal bytes, with any number of jobs and at any time of day.

use std::fs;
use std::path::Path;

use crate::{Bundle, make_layout, noise, packmule_at};

const VOLUME: &str = "b.0001.tar.zst";

/// Layers that give all kinds of frames: shared, packed, stored, and several for one blob.
fn layers() -> Vec<Vec<u8>> {
    let text = |line: &str, size: usize| line.bytes().cycle().take(size).collect::<Vec<u8>>();
    vec![text("tide ", 900), noise(5, 100_000), text("high water\n", 300_000), text("low water\n", 17 << 20)]
}

/// Exports `source` to `at/b`; returns manifest and volume.
fn export(root: &Path, at: &str, jobs: &str, epoch: Option<&str>, clock: i64) -> (Vec<u8>, Vec<u8>) {
    fs::create_dir(root.join(at)).unwrap();
    let output = format!("{at}/b");
    let args = ["export", "oci:source", "-o", &output, "--unsigned", "--jobs", jobs];
    let ended = packmule_at(root, &args, epoch, clock);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let read = |file: &str| fs::read(root.join(at).join(file)).unwrap();
    (read("b.json"), read(VOLUME))
}

#[test]
fn one_job_or_eight_the_same_volumes_and_with_the_epoch_the_same_manifest() {
    let root = tempfile::tempdir().unwrap();
    make_layout(&root.path().join("source"), &layers());
    let one = export(root.path(), "one", "1", Some("1700000000"), 1_767_225_600);
    let eight = export(root.path(), "eight", "8", Some("1700000000"), 1_777_777_777);
    assert!(one.1 == eight.1, "volumes differ between one job and eight");
    assert_eq!(String::from_utf8(one.0.clone()).unwrap(), String::from_utf8(eight.0).unwrap());
    // Another time gives another manifest for the same volumes.
    let later = export(root.path(), "later", "3", None, 1_777_777_777);
    assert!(later.1 == one.1 && later.0 != one.0);
    let wrong = packmule_at(root.path(), &["export", "oci:source", "-o", "one/c", "--unsigned"], Some("soon"), 0);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
}

#[test]
fn b14_volumes_of_two_runs_are_interchangeable() {
    let (first, second) = (Bundle::small("9", &[1]), Bundle::small("9", &[1]));
    fs::copy(second.path(VOLUME), first.path(VOLUME)).unwrap();
    assert!(first.verdict().is_good());
}
