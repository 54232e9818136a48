//! The output of `inspect` about a bundle's signature file and form, before anything is
//! authenticated.

use std::fs;

use super::{Bundle, packmule};

#[test]
fn a_signature_file_is_told_as_what_it_is() {
    let bundle = Bundle::small("9", &[1]);
    let other = Bundle::small("0", &[1]);
    let shown = || {
        let ended = packmule(bundle.root.path(), &["inspect", "usb/b"]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout
    };
    assert!(!shown().contains("ANOTHER") && shown().contains("volumes    1, "));
    let of_other = fs::read(other.path("b.sig.json")).unwrap();
    bundle.with("b.sig.json", &of_other, || assert!(shown().contains("signature  OF ANOTHER MANIFEST, under ")));
    bundle.with("b.sig.json", b"{}", || assert!(shown().contains("signature  UNREADABLE: ")));
    fs::remove_file(bundle.path("b.sig.json")).unwrap();
    assert!(shown().contains("signature  none: there is no b.sig.json"));
}

#[test]
fn what_is_wrong_is_told_by_its_class() {
    let bundle = Bundle::small("9", &[1]);
    let volume = fs::read(bundle.path("b.0001.tar.zst")).unwrap();
    let mut flipped = volume.clone();
    flipped[volume.len() / 2] ^= 1;
    bundle.with("b.0001.tar.zst", &flipped, || {
        let ended = packmule(bundle.root.path(), &["inspect", "usb/b", "--check"]);
        assert!(ended.code == 11 && ended.stdout.contains("checked    bytes differ"), "{}", ended.stdout);
    });
    let root = tempfile::tempdir().unwrap();
    let vector = super::vectors::lay("B11-checksum", root.path());
    let ended = packmule(root.path(), &["inspect", &vector.bundle, "--check"]);
    assert!(ended.code == 10 && ended.stdout.contains("breaks the rules"), "{}", ended.stdout);
}

#[test]
fn a_flat_bundle_has_files() {
    let bundle = Bundle::new(&[b"x".to_vec()], &["--flat"], &[1]);
    let ended = packmule(bundle.root.path(), &["inspect", "usb/b"]);
    assert!(ended.stdout.contains("files      as files in b.oci"), "{}", ended.stdout);
}
