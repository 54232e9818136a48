//! The stream form, rows B2 to B4, B7 and B17: written, read once, truncated, flipped, lengthened.

use std::fs;
use std::io::{Cursor, Read};

use packmule::base::fault::{Class, Fault};
use packmule::bundle::{self, open, stream};
use packmule::operate::verify::{Request, Scope, Verdict};
use packmule::signing::Policy;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::{Bundle, assert_class, flow, key, noise, packmule, stream_of};

fn verify(read: impl Read + Send + 'static, fail_fast: bool) -> Verdict {
    let policy = Policy::new(vec![key(1).public().clone()], None).unwrap();
    match stream::open(Box::new(read), &flow()) {
        Ok(opened) => packmule::operate::verify::run(
            &flow(),
            Request::new(opened, &policy, &Scope { fail_fast, ..Scope::default() }),
        ),
        Err(error) => Verdict::refused(error),
    }
}

fn refusal(bytes: Vec<u8>, what: &str) -> Fault {
    verify(Cursor::new(bytes), false).fault.unwrap_or_else(|| panic!("{what}: PASS"))
}

/// Offsets of the parts of a stream: signatures, manifest, first volume's header.
fn parts(bundle: &Bundle) -> [usize; 3] {
    let member = |file: &str| 512 + fs::read(bundle.path(file)).unwrap().len().div_ceil(512) * 512;
    let (signatures, manifest) = (member("b.sig.json"), member("b.json"));
    [0, signatures, signatures + manifest]
}

#[test]
fn a_stream_is_a_tar_of_the_bundle_and_passes_as_it_does() {
    let bundle = Bundle::new(&[noise(1, 40 << 20)], &["--level", "0", "--volume-size", "32MiB"], &[1]);
    let bytes = stream_of(&bundle);
    let path = bundle.root.path().join("b.tar");
    fs::write(&path, &bytes).unwrap();
    let listed = std::process::Command::new("tar").arg("tf").arg(&path).output().unwrap();
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), "b.sig.json\nb.json\nb.0001.tar.zst\nb.0002.tar.zst\n");
    let (of_files, of_stream) = (bundle.verdict(), verify(Cursor::new(bytes), false));
    assert!(of_stream.is_good(), "{:?}", of_stream.fault);
    assert_eq!(of_files.tally, of_stream.tally);
    // tar extracts the bundle from it.
    let out = bundle.root.path().join("out");
    fs::create_dir(&out).unwrap();
    let done = std::process::Command::new("tar").arg("xf").arg(&path).arg("-C").arg(&out).status().unwrap();
    assert!(done.success());
    assert!(crate::verdict(&out, &Scope::default()).is_good());
}

#[test]
fn a_stream_may_come_in_any_pieces() {
    struct Drip(Cursor<Vec<u8>>, usize);
    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1 = self.1 % 7 + 1;
            let most = self.1.min(buffer.len());
            self.0.read(&mut buffer[..most])
        }
    }
    let bytes = stream_of(&Bundle::small("9", &[1]));
    assert!(verify(Drip(Cursor::new(bytes), 0), false).is_good());
}

fn b2(level: &str) {
    let bundle = Bundle::small(level, &[1]);
    let (bytes, [_, _, volumes]) = (stream_of(&bundle), parts(&bundle));
    for length in 0..bytes.len() {
        let what = format!("cut to {length} of {}", bytes.len());
        let fault = refusal(bytes[..length].to_vec(), &what);
        let class = if length < volumes { Class::Format } else { Class::Integrity };
        assert_class(&fault, class, &what);
        assert!(fault.help.is_some(), "{what}: no advice in {fault:?}");
        assert!(length < volumes || fault.what.contains("stream"), "{what}: {fault:?}");
    }
}

#[test]
fn b2_streams_cut_at_every_offset() {
    b2("9");
    b2("0");
}

fn b3(level: &str) {
    let bundle = Bundle::small(level, &[1]);
    let (bytes, [_, manifest, volumes]) = (stream_of(&bundle), parts(&bundle));
    for at in 0..bytes.len() {
        for bit in crate::bits(at) {
            let what = format!("byte {at} of {}, bit {bit}", bytes.len());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let fault = refusal(flipped, &what);
            let fits = if at >= volumes {
                fault.class == Class::Integrity
            } else if at >= manifest + 512 {
                matches!(fault.class, Class::Format | Class::Signature)
            } else if at >= manifest || at < 512 {
                fault.class == Class::Format
            } else {
                matches!(fault.class, Class::Format | Class::Signature | Class::Trust)
            };
            assert!(fits, "{what}: {fault:?}");
            assert!(!fault.what.chars().any(char::is_control), "{what}: {fault:?}");
        }
    }
}

#[test]
fn b3_bits_flipped_in_every_byte_of_a_stream_packed() {
    b3("9");
}

#[test]
fn b3_bits_flipped_in_every_byte_of_a_stream_stored() {
    b3("0");
}

#[test]
fn b4_trailing_data_is_of_the_form_unless_more_is_wrong() {
    let bundle = Bundle::small("9", &[1]);
    let (bytes, [_, _, volumes]) = (stream_of(&bundle), parts(&bundle));
    for tail in [vec![0], vec![0; 512], vec![0; 10_240], bytes.clone()] {
        let longer = [&bytes[..], &tail].concat();
        let fault = refusal(longer.clone(), "longer");
        assert_class(&fault, Class::Format, "longer");
        assert!(fault.what.contains("trailing data"), "{fault:?}");
        let mut both = longer;
        both[volumes + 600] ^= 1;
        let fault = refusal(both, "longer and wrong");
        assert_class(&fault, Class::Integrity, "longer and wrong");
        assert!(fault.others.iter().any(|other| other.what.contains("trailing data")), "{fault:?}");
    }
}

#[test]
fn b7_sizes_that_the_first_headers_state() {
    let bundle = Bundle::small("9", &[1]);
    let (bytes, [_, manifest, _]) = (stream_of(&bundle), parts(&bundle));
    let seal = |header: &mut [u8]| {
        header[148..156].fill(b' ');
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    };
    for (at, limit) in [(0, 2_u64 << 20), (manifest, 64 << 20)] {
        for size in [0, limit + 1, 1 << 31, (1 << 33) - 1] {
            let mut wrong = bytes.clone();
            wrong[at + 124..at + 135].copy_from_slice(format!("{size:011o}").as_bytes());
            seal(&mut wrong[at..at + 512]);
            let fault = refusal(wrong, "size");
            assert_class(&fault, Class::Format, &format!("{size} at {at}"));
            assert!(fault.what.contains("expected 1 to"), "{fault:?}");
        }
        for size in [1_u64 << 33, 1 << 53, 1 << 63, u64::MAX] {
            let mut wrong = bytes.clone();
            wrong[at + 124..at + 136].fill(0);
            wrong[at + 124] = 0x80;
            wrong[at + 128..at + 136].copy_from_slice(&size.to_be_bytes());
            seal(&mut wrong[at..at + 512]);
            assert_class(&refusal(wrong, "base-256"), Class::Format, &format!("{size} at {at}"));
        }
        // The largest allowed size, in a stream that ends at once.
        let mut short = bytes[..at + 512].to_vec();
        short[at + 124..at + 135].copy_from_slice(format!("{limit:011o}").as_bytes());
        seal(&mut short[at..at + 512]);
        assert_class(&refusal(short, "short"), Class::Format, "short");
    }
}

#[test]
fn faults_are_all_listed_and_the_lowest_class_wins() {
    let bundle = Bundle::new(&[noise(1, 300_000), noise(2, 300_000)], &["--level", "0"], &[1]);
    let mut bytes = stream_of(&bundle);
    let length = bytes.len();
    bytes[length - 200_000] ^= 1;
    bytes[length - 500_000] ^= 1;
    bytes[length - 100] ^= 1;
    let fault = refusal(bytes.clone(), "three");
    assert_class(&fault, Class::Integrity, "three");
    assert_eq!(fault.others.len(), 2, "{fault:?}");
    let one = verify(Cursor::new(bytes), true).fault.unwrap();
    assert!(one.others.is_empty(), "{one:?}");
}

#[test]
fn b17_a_fifo_and_a_file_work_as_streams() {
    let bundle = Bundle::small("9", &[1]);
    let bytes = stream_of(&bundle);
    fs::write(bundle.root.path().join("file"), &bytes).unwrap();
    let verify = |name: &str| packmule(bundle.root.path(), &["verify", name, "--key", "1.pub.pem"]);
    let ended = verify("file");
    assert_eq!((ended.code, ended.stdout.starts_with("PASS")), (0, true), "{}", ended.stderr);
    let fifo = bundle.root.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let writer = std::thread::spawn(move || fs::write(fifo, bytes));
    let ended = verify("fifo");
    writer.join().unwrap().unwrap();
    assert_eq!((ended.code, ended.stdout.starts_with("PASS")), (0, true), "{}", ended.stderr);
    assert_eq!(verify("/dev/zero").code, 10);
    // Commands that need files refuse a stream.
    assert_eq!(packmule(bundle.root.path(), &["sign", "file", "--sign", "1.pem"]).code, 2);
    for (args, code) in [
        (&["verify", "file", "--key", "1.pub.pem", "--volume", "1"][..], 2),
        (&["verify", "file", "--key", "1.pub.pem", "--volume-dir", "."], 2),
        (&["verify", "file", "--key", "2.pub.pem"], 13),
        (&["inspect", "file", "--check"], 0),
    ] {
        assert_eq!(packmule(bundle.root.path(), args).code, code, "{args:?}");
    }
}

#[test]
fn the_first_two_members_are_named_as_they_must_be() {
    let (bundle, other) = (Bundle::small("9", &[1]), Bundle::small("0", &[1]));
    let (mine, others) = (stream_of(&bundle), stream_of(&other));
    let ([_, manifest, volumes], [_, other_manifest, other_volumes]) = (parts(&bundle), parts(&other));
    let swapped = [&mine[manifest..volumes], &mine[..manifest], &mine[volumes..]].concat();
    assert_class(&refusal(swapped, "swapped"), Class::Format, "swapped");
    let joined = [&mine[..manifest], &others[other_manifest..]].concat();
    assert_class(&refusal(joined, "another's manifest"), Class::Signature, "another's manifest");
    let joined = [&mine[..volumes], &others[other_volumes..]].concat();
    assert_class(&refusal(joined, "another's volumes"), Class::Integrity, "another's volumes");
}

#[test]
fn frames_alone() {
    let bundle = Bundle::small("9", &[1]);
    let (opened, mut bytes) = (open(&bundle.dir()).unwrap(), Vec::new());
    let manifest = opened.claimed().unwrap();
    let all: Vec<usize> = (1..=manifest.frames.len()).collect();
    stream::write_frames(&opened, &all, &flow(), &mut bytes).unwrap();
    assert_eq!(bytes, fs::read(bundle.path("b.0001.tar.zst")).unwrap());
    bytes.clear();
    stream::write_frames(&opened, &all[1..], &flow(), &mut bytes).unwrap();
    assert_eq!(
        bytes.len() as u64,
        manifest.frames[1..].iter().map(bundle::format::manifest::Frame::stored_size).sum::<u64>()
    );
    for wrong in [0, all.len() + 1] {
        let error = stream::write_frames(&opened, &[wrong], &flow(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.class, Class::Usage);
    }
}
