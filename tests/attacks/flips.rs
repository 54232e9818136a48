//! Rows B2, B3 and B4: every truncation, every single flipped bit, bytes after the end.

use std::fs;
use std::os::unix::fs::FileExt as _;

use packmule::base::fault::Class;

use crate::{Bundle, assert_class};

const VOLUME: &str = "b.0001.tar.zst";

fn b2(level: &str) {
    let bundle = Bundle::small(level, &[1]);
    for file in [VOLUME, "b.json", "b.sig.json", "b.sha256"] {
        let good = fs::read(bundle.path(file)).unwrap();
        let handle = fs::OpenOptions::new().write(true).open(bundle.path(file)).unwrap();
        for length in (0..good.len()).rev() {
            let what = format!("{file} cut to {length}");
            handle.set_len(length as u64).unwrap();
            // An empty list counts as absent, and a list is never required.
            if file == "b.sha256" && length == 0 {
                assert!(bundle.verdict().is_good(), "{what}");
                continue;
            }
            let fault = bundle.refusal(&what);
            match file {
                VOLUME => {
                    assert_class(&fault, Class::Integrity, &what);
                    let says = if length == 0 {
                        "need volume 1".to_owned()
                    } else {
                        format!("truncated at {length} of {}", good.len())
                    };
                    assert!(fault.what.contains(VOLUME) && fault.what.contains(&says), "{what}: {}", fault.what);
                }
                "b.json" => assert!(matches!(fault.class, Class::Format | Class::Signature), "{what}: {fault:?}"),
                "b.sig.json" if length == 0 => assert_class(&fault, Class::Signature, &what),
                "b.sig.json" => assert_class(&fault, Class::Format, &what),
                _ => assert_class(&fault, Class::Integrity, &what),
            }
            assert!(fault.help.is_some(), "{what}: no advice in {fault:?}");
        }
        handle.write_all_at(&good, 0).unwrap();
        assert!(bundle.verdict().is_good(), "{file} restored");
    }
}

#[test]
fn b2_truncated_at_every_offset_packed() {
    b2("9");
}

#[test]
fn b2_truncated_at_every_offset_stored() {
    b2("0");
}

fn b3(level: &str) {
    let bundle = Bundle::small(level, &[1]);
    for file in [VOLUME, "b.json", "b.sig.json", "b.sha256"] {
        let handle = fs::OpenOptions::new().write(true).open(bundle.path(file)).unwrap();
        let good = fs::read(bundle.path(file)).unwrap();
        for (at, byte) in good.iter().enumerate() {
            for bit in crate::bits(at) {
                let what = format!("{file}, byte {at}, bit {bit}");
                handle.write_all_at(&[byte ^ (1 << bit)], at as u64).unwrap();
                let fault = bundle.refusal(&what);
                match file {
                    "b.json" => assert!(matches!(fault.class, Class::Format | Class::Signature), "{what}: {fault:?}"),
                    "b.sig.json" => assert!(
                        matches!(fault.class, Class::Format | Class::Signature | Class::Trust),
                        "{what}: {fault:?}"
                    ),
                    _ => assert_class(&fault, Class::Integrity, &what),
                }
                assert!(file != VOLUME || fault.what.contains(VOLUME), "{what}: {fault:?}");
                assert!(!fault.what.chars().any(char::is_control), "{what}: {fault:?}");
            }
            handle.write_all_at(&[*byte], at as u64).unwrap();
        }
        assert!(bundle.verdict().is_good(), "{file} restored");
    }
}

#[test]
fn b3_bits_flipped_in_every_byte_packed() {
    b3("9");
}

#[test]
fn b3_bits_flipped_in_every_byte_stored() {
    b3("0");
}

#[test]
fn b3_a_surplus_signature_flipped_is_refused_or_not_counted() {
    let bundle = Bundle::small("9", &[1, 2]);
    let good = fs::read(bundle.path("b.sig.json")).unwrap();
    let handle = fs::OpenOptions::new().write(true).open(bundle.path("b.sig.json")).unwrap();
    let (one, mut uncounted) = (crate::key(1).public().id().to_owned(), 0);
    for (at, byte) in good.iter().enumerate() {
        for bit in crate::bits(at) {
            handle.write_all_at(&[byte ^ (1 << bit)], at as u64).unwrap();
            let verdict = bundle.verdict();
            if verdict.is_good() {
                let passed = verdict.bundle.unwrap();
                assert_eq!(passed.judgement().good, std::slice::from_ref(&one), "byte {at}, bit {bit}");
                assert_eq!(passed.judgement().unknown.len(), 1, "byte {at}, bit {bit}");
                uncounted += 1;
            }
        }
        handle.write_all_at(&[*byte], at as u64).unwrap();
    }
    // At least the other key's 64 bytes can be anything.
    assert!(uncounted >= 64 * crate::bits(0).len(), "{uncounted}");
}

#[test]
fn b4_bytes_behind_the_end() {
    let (bundle, other) = (Bundle::small("9", &[1]), Bundle::small("0", &[1]));
    for (file, classes) in [
        (VOLUME, &[Class::Integrity][..]),
        ("b.json", &[Class::Format, Class::Signature]),
        ("b.sig.json", &[Class::Format]),
        ("b.sha256", &[Class::Integrity]),
    ] {
        let good = fs::read(bundle.path(file)).unwrap();
        let appended = [vec![0], vec![b'\n'], vec![b'}'], good.clone(), fs::read(other.path(file)).unwrap()];
        for tail in appended {
            let what = format!("{file} and {} bytes", tail.len());
            let fault = bundle.with(file, &[&good[..], &tail].concat(), || bundle.refusal(&what));
            assert!(classes.contains(&fault.class), "{what}: {fault:?}");
        }
    }
    // A sparse tail of a gigabyte is refused by its size.
    let handle = fs::OpenOptions::new().write(true).open(bundle.path(VOLUME)).unwrap();
    handle.set_len(1 << 30).unwrap();
    assert!(bundle.refusal("a gigabyte").what.contains("found 1073741824"));
}
