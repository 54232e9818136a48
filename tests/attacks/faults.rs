//! Which faults are reported: all of them, each once, or only the first with `--fail-fast`; and
//! what an import must have read although no artifact refers to it.

use std::fs;
use std::sync::atomic::Ordering;

use packmule::base::fault::Class;
use packmule::bundle::format::frame;
use packmule::bundle::{Manifest, open};
use packmule::operate::verify::{Request, Scope};
use packmule::signing::Policy;

use crate::{Bundle, assert_class, flow, key, noise, packmule, verdict};

const VOLUME: &str = "b.0001.tar.zst";

fn fast(bundle: &Bundle) -> packmule::operate::verify::Verdict {
    verdict(&bundle.dir(), &Scope { fail_fast: true, ..Scope::default() })
}

#[test]
fn fail_fast_ends_at_the_first_fault_and_passes_what_is_good() {
    for form in [&["--level", "0"][..], &["--flat"]] {
        let layers = [noise(1, 300_000), noise(2, 300_000)];
        let bundle = Bundle::new(&layers, form, &[1]);
        assert!(fast(&bundle).is_good(), "{form:?}");
        // A byte of each layer; the layers are in separate frames or files.
        let mut restore = Vec::new();
        if form == ["--flat"] {
            for layer in &layers {
                let hex = packmule::oci::Digest::sha256(layer).hex();
                restore.push((bundle.path("b.oci/blobs/sha256").join(hex), layer.clone()));
            }
        } else {
            restore.push((bundle.path(VOLUME), fs::read(bundle.path(VOLUME)).unwrap()));
        }
        for (path, bytes) in &restore {
            let mut wrong = bytes.clone();
            let length = wrong.len();
            wrong[length - 200_000] ^= 1;
            if form != ["--flat"] {
                wrong[length - 500_000] ^= 1;
            }
            fs::write(path, wrong).unwrap();
        }
        let all = bundle.refusal("two");
        assert_class(&all, Class::Integrity, "two");
        assert_eq!(all.others.len(), 1, "{all:?}");
        assert!(fast(&bundle).fault.unwrap().others.is_empty(), "{form:?}");
        for (path, bytes) in &restore {
            fs::write(path, bytes).unwrap();
        }
        // Faults of the files themselves: each is reported once.
        let (first, second) =
            if form == ["--flat"] { ("b.oci/index.json", "b.oci/oci-layout") } else { (VOLUME, "b.sha256") };
        fs::rename(bundle.path(first), bundle.path("../aside")).unwrap();
        let fault = bundle.refusal("lacks");
        assert_class(&fault, Class::Integrity, "lacks");
        let mut told: Vec<&str> =
            fault.others.iter().map(|other| other.what.as_str()).chain([fault.what.as_str()]).collect();
        told.sort_unstable();
        let count = told.len();
        told.dedup();
        assert_eq!(told.len(), count, "{told:?}");
        fs::write(bundle.path(second), "another").unwrap();
        assert!(!bundle.refusal("two").others.is_empty());
        assert!(fast(&bundle).fault.unwrap().others.is_empty(), "{form:?}");
    }
}

#[test]
fn a_cancelled_check_is_cancelled_and_nothing_else() {
    for form in [&["--level", "0"][..], &["--flat"]] {
        let bundle = Bundle::new(&[noise(1, 300_000), noise(2, 300_000)], form, &[1]);
        let policy = Policy::new(vec![key(1).public().clone()], None).unwrap();
        let flow = flow();
        flow.cancel_flag().store(true, Ordering::Relaxed);
        let opened = open(&bundle.dir()).unwrap();
        let fault =
            packmule::operate::verify::run(&flow, Request::new(opened, &policy, &Scope::default())).fault.unwrap();
        assert_eq!(fault.class, Class::Cancelled, "{fault:?}");
    }
}

/// The checksum of a stored frame is not signed: if it is made to fit, only the comparison with the
/// computed bytes is left, for the members that no artifact refers to.
#[test]
fn a2_what_no_artifact_names_is_compared_before_an_import() {
    let bundle = Bundle::small("0", &[1]);
    let manifest = Manifest::parse(&fs::read(bundle.path("b.json")).unwrap()).unwrap();
    let good = fs::read(bundle.path(VOLUME)).unwrap();
    let mut at = 0;
    for (number, place) in manifest.frames.iter().enumerate() {
        let size = usize::try_from(place.stored_size()).unwrap();
        // One raw block after ten bytes of frame header and three of block header.
        let plain = &good[at + 13..at + size - 4];
        let wrong: &[usize] = if number == 0 { &[0, 600, 1024 + 520] } else { &[0, 1023] };
        for byte in wrong {
            let mut plain = plain.to_vec();
            plain[*byte] ^= 1;
            let volume = [&good[..at], &frame::store(&plain), &good[at + size..]].concat();
            let what = format!("frame {number}, byte {byte}");
            bundle.with(VOLUME, &volume, || {
                assert_class(&bundle.refusal(&what), Class::Integrity, &what);
                let import = ["import", "usb/b", "--key", "1.pub.pem", "--to", "oci:site"];
                let ended = packmule(bundle.root.path(), &import);
                assert_eq!(ended.code, 11, "{what}: {}", ended.stderr);
                let index = bundle.root.path().join("site/index.json");
                assert!(!fs::read_to_string(index).unwrap_or_default().contains("tide"), "{what}: a tag was set");
            });
        }
        at += size;
    }
    assert_eq!((at, manifest.frames.len()), (good.len(), 2));
}

#[test]
fn b2_b4_a_flat_file_of_another_length_is_told_with_both() {
    let bundle = Bundle::new(&[noise(1, 3000)], &["--flat"], &[1]);
    let hex = packmule::oci::Digest::sha256(&noise(1, 3000)).hex();
    let path = bundle.path("b.oci/blobs/sha256").join(hex);
    for (length, told) in
        [(1, "truncated at 1 of 3000 bytes"), (2999, "truncated at 2999 of"), (3001, "expected 3000 bytes, found 3001")]
    {
        fs::write(&path, noise(1, length)).unwrap();
        let fault = bundle.refusal(told);
        assert!(fault.what.contains(told), "{fault:?}");
    }
    fs::remove_file(&path).unwrap();
    fs::write(&path, noise(1, 3000)).unwrap();
    // The one directory that may exist without blobs must be a directory.
    fs::write(bundle.path("b.oci/blobs/sha512"), "").unwrap();
    assert_class(&bundle.refusal("a file for a folder"), Class::Io, "a file for a folder");
    fs::remove_file(bundle.path("b.oci/blobs/sha512")).unwrap();
    assert!(bundle.verdict().is_good());
}

/// The medium is swapped after the survey: a truncated volume is reported as such.
#[test]
fn b2_a_volume_that_ends_while_it_is_read_is_not_whole() {
    let bundle = Bundle::small("0", &[1]);
    let opened = open(&bundle.dir()).unwrap().assume().unwrap();
    let size = fs::metadata(bundle.path(VOLUME)).unwrap().len();
    let mut last = [0; 2];
    opened.volumes().read_exact(0, size - 2, &mut last).unwrap();
    let error = opened.volumes().read_exact(0, size - 1, &mut last).unwrap_err();
    assert_eq!(error.class, Class::Integrity, "{error}");
    assert!(error.what.contains(&format!("ends before offset {}", size + 1)), "{error}");
}
