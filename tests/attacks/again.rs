//! The volumes that `verify` says must be brought again: each damaged or missing volume, and no other.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{Bundle, noise, packmule};

const VERIFY: [&str; 5] = ["verify", "usb/b", "--key", "1.pub.pem", "--json"];

/// A bundle of five volumes: one long blob and some short ones.
fn five() -> Bundle {
    let blobs = [noise(1, 9 << 20), noise(2, 120 << 20), noise(3, 300_000)];
    let bundle = Bundle::new(&blobs, &["--volume-size", "32MiB"], &[1]);
    assert!(volume(bundle.root.path(), 5).exists() || volume(bundle.root.path(), 4).exists());
    bundle
}

fn volume(root: &Path, number: usize) -> std::path::PathBuf {
    root.join(format!("usb/b.{number:04}.tar.zst"))
}

/// Overwrites a block with zeros, as if it was lost on the way.
fn lose(root: &Path, number: usize, at: u64) {
    let file = fs::OpenOptions::new().write(true).open(volume(root, number)).unwrap();
    file.write_all_at(&[0; 4096], at).unwrap();
}

fn again(root: &Path) -> Vec<String> {
    let ended = packmule(root, &VERIFY);
    assert_eq!(ended.code, 11, "{}", ended.stderr);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let names = told["result"]["again"].as_array().unwrap().iter();
    let names: Vec<String> = names.map(|name| name.as_str().unwrap().to_owned()).collect();
    // Each name is also in one of the faults.
    let faults = told["error"].to_string();
    assert!(names.iter().all(|name| faults.contains(name)), "{names:?}: {faults}");
    names
}

#[test]
fn x11_lost_blocks_in_several_volumes_are_all_told() {
    let bundle = five();
    let root = bundle.root.path();
    lose(root, 3, 20_000_000);
    assert_eq!(again(root), ["b.0003.tar.zst"]);
    // Two faults in one blob: content after the first is checked too.
    lose(root, 2, 1_000_000);
    assert_eq!(again(root), ["b.0002.tar.zst", "b.0003.tar.zst"]);
    let told = packmule(root, &VERIFY[..4]);
    assert!(told.stdout.contains("bring again  b.0002.tar.zst b.0003.tar.zst\n"), "{}", told.stdout);
    // A missing volume hides no other fault.
    fs::remove_file(volume(root, 4)).unwrap();
    assert_eq!(again(root), ["b.0002.tar.zst", "b.0003.tar.zst", "b.0004.tar.zst"]);
    let fast = packmule(root, &[&VERIFY[..], &["--fail-fast"]].concat());
    assert_eq!(fast.code, 11);
    let some = packmule(root, &["verify", "usb/b", "--key", "1.pub.pem", "--volume", "1", "--volume", "3"]);
    assert!(some.code == 11 && some.stdout.contains("bring again  b.0003.tar.zst\n"), "{}", some.stdout);
}

#[test]
fn what_was_signed_so_comes_no_better_again() {
    let root = tempfile::tempdir().unwrap();
    let vector = super::vectors::lay("B11-checksum", root.path());
    let key = packmule::signing::PublicKey::from_bytes(&vector.keys[0]).unwrap();
    fs::write(root.path().join("k.pem"), key.to_pem()).unwrap();
    let verify = || {
        let ended = packmule(root.path(), &["verify", &vector.bundle, "--key", "k.pem", "--json"]);
        let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        (ended.code, told["result"]["again"].as_array().unwrap().len())
    };
    // A packed frame that breaks its rules, but was signed that way.
    assert_eq!(verify(), (10, 0));
    // A volume of the wrong length is not read.
    let volume = root.path().join(format!("{}.0001.tar.zst", vector.bundle));
    let mut bytes = fs::read(&volume).unwrap();
    bytes.push(0);
    fs::write(&volume, bytes).unwrap();
    assert_eq!(verify(), (11, 1));
}
