//! The manifest's limits: the last allowed value, and the first refused one.

use std::collections::BTreeMap;
use std::sync::Arc;

use packmule::base::fault::Class;
use packmule::bundle::format::frame::MAX_PLAIN;
use packmule::bundle::format::manifest::{Blob, Form, Frame, MAX_BLOBS, MAX_MANIFEST, Manifest, Volume};
use packmule::bundle::format::notes::Notes;
use packmule::bundle::format::offsets::Offsets;
use packmule::bundle::format::parse::check_ends;
use packmule::bundle::time::Moment;
use packmule::bundle::write::frames::SMALL;
use packmule::bundle::write::{DEFAULT_VOLUME, LEAST_VOLUME};
use packmule::oci::document::MAX_DOCUMENT;
use packmule::oci::{Absent, Algorithm, Digest, Reason, Repository};

use crate::Bundle;

/// A valid manifest.
fn good(options: &[&str]) -> Manifest {
    let bundle = Bundle::new(&[b"slack water\n".repeat(9)], options, &[1]);
    Manifest::parse(&std::fs::read(bundle.path("b.json")).unwrap()).unwrap()
}

/// Returns whether the good manifest is still valid after `change`, as bytes too.
fn holds(good: &Manifest, change: impl FnOnce(&mut Manifest)) -> bool {
    let mut manifest = good.clone();
    change(&mut manifest);
    let (checked, parsed) = (manifest.check(), Manifest::parse(&manifest.to_bytes()));
    assert_eq!(checked.is_ok(), parsed.is_ok(), "{checked:?} {:?}", parsed.err());
    if let Err(error) = &checked {
        assert_eq!(error.class, Class::Format, "{error}");
    }
    checked.is_ok()
}

#[test]
fn b7_texts_at_their_limits() {
    let good = good(&[]);
    let note = |key: &str, value: String| Some(Notes::from(&BTreeMap::from([(key.to_owned(), value)])));
    for (length, fits) in [(9, false), (10, true), (100, true), (101, false)] {
        let tool = format!("packmule {}", "1".repeat(length - 9));
        assert_eq!(holds(&good, |manifest| manifest.tool = tool), fits, "tool of {length}");
    }
    for (length, fits) in [(0, false), (1, true), (128, true), (129, false)] {
        let notes = note(&"k".repeat(length), String::new());
        assert_eq!(holds(&good, |manifest| manifest.annotations = notes), fits, "key of {length}");
    }
    for (length, fits) in [(0, true), (65_535, true), (65_536, true), (65_537, false)] {
        let notes = note("k", "v".repeat(length));
        assert_eq!(holds(&good, |manifest| manifest.annotations = notes), fits, "value of {length}");
    }
    for (c, fits) in [
        ('\0', false),
        ('\n', false),
        ('\u{1f}', false),
        (' ', true),
        ('~', true),
        ('\u{7f}', false),
        ('\u{80}', false),
        ('\u{9f}', false),
        ('\u{a0}', true),
        ('é', true),
    ] {
        let notes = note("k", format!("a{c}b"));
        assert_eq!(holds(&good, |manifest| manifest.annotations = notes), fits, "{c:?} in a value");
        let notes = note(&format!("a{c}b"), String::new());
        assert_eq!(holds(&good, |manifest| manifest.annotations = notes), fits && c.is_ascii(), "{c:?} in a key");
        let tool = format!("packmule 1{c}");
        assert_eq!(holds(&good, |manifest| manifest.tool = tool), fits, "{c:?} in the tool");
    }
    assert!(!holds(&good, |manifest| manifest.tool = "anything 1.0".to_owned()));
    assert!(!holds(&good, |manifest| manifest.annotations = Some(Notes::default())));
    for (length, fits) in [(0, false), (1, true), (255, true), (256, false)] {
        let own = Some("t".repeat(length));
        assert_eq!(holds(&good, |manifest| manifest.artifacts[0].artifact_type = own), fits, "type of {length}");
    }
    assert!(!holds(&good, |manifest| manifest.artifacts[0].artifact_type = Some("a\u{7f}".to_owned())));
}

#[test]
fn b7_numbers_at_their_limits() {
    const MOST: u64 = (1 << 53) - 1;
    let good = good(&[]);
    let blob = |size| Blob { digest: Digest::sha256(b"another"), size };
    let absent = |size| Absent { digest: Digest::sha256(b"away"), reason: Reason::Foreign, repository: None, size };
    // The parser refuses numbers above 2^53 by another check, with the same class.
    for (size, fits) in [(0, true), (MOST, true), (MOST + 1, false)] {
        assert_eq!(holds(&good, |manifest| manifest.blobs.push(blob(size))), fits, "blob of {size}");
        assert_eq!(holds(&good, |manifest| manifest.absent.push(absent(size))), fits, "absent of {size}");
        let channel = |manifest: &mut Manifest, epoch, sequence| {
            manifest.channel = Some("c".to_owned());
            (manifest.epoch, manifest.sequence) = (Some(epoch), Some(sequence));
        };
        assert_eq!(holds(&good, |manifest| channel(manifest, size, 1)), fits, "epoch {size}");
        assert_eq!(holds(&good, |manifest| channel(manifest, 1, size)), fits, "sequence {size}");
    }
    for (size, fits) in [(0, false), (1, true), (4 << 20, true), ((4 << 20) + 1, false)] {
        assert_eq!(holds(&good, |manifest| manifest.artifacts[0].size = size), fits, "artifact of {size}");
    }
    for (length, fits) in [(1, true), (31, true), (32, false)] {
        let channel = |manifest: &mut Manifest| {
            manifest.channel = Some("c".repeat(length));
            (manifest.epoch, manifest.sequence) = (Some(0), Some(1));
        };
        assert_eq!(holds(&good, channel), fits, "channel of {length}");
    }
    let (end, before) = (Moment::from_unix(1_767_225_600), Digest::sha256(b"before"));
    assert!(!holds(&good, |manifest| manifest.expires = end), "an end without a channel");
    assert!(!holds(&good, |manifest| manifest.previous = Some(before)), "a previous one without a channel");
    let repository = || Some(Repository::exact("localhost/a").unwrap());
    let base = |reason| Absent { repository: repository(), reason, ..absent(1) };
    assert!(holds(&good, |manifest| manifest.absent.push(base(Reason::Base))));
    assert!(!holds(&good, |manifest| manifest.absent.push(base(Reason::Missing))));
    let (one, other) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
    let (first, second) = if one < other { (one, other) } else { (other, one) };
    for (bases, fits) in
        [(vec![first], true), (vec![first, second], true), (vec![first, first], false), (vec![second, first], false)]
    {
        assert_eq!(holds(&good, |manifest| manifest.bases = bases), fits, "bases");
    }
    let twice = Absent { digest: good.blobs[0].digest, ..absent(1) };
    assert!(!holds(&good, |manifest| manifest.absent.push(twice)));
}

#[test]
fn b7_at_most_64_mib_of_manifest() {
    let mut bytes = vec![b' '; usize::try_from(MAX_MANIFEST).unwrap()];
    (bytes[0], *bytes.last_mut().unwrap()) = (b'{', b'}');
    check_ends(&bytes).unwrap();
    for more in 1..3 {
        bytes.push(b'}');
        let error = check_ends(&bytes).unwrap_err();
        assert!(error.class == Class::Format && error.what.contains("expected at most"), "{more}: {error}");
    }
    for wrong in ["", "{", "}", "{} ", " {}", "[]"] {
        assert_eq!(check_ends(wrong.as_bytes()).unwrap_err().class, Class::Format, "{wrong:?}");
    }
}

#[test]
fn b7_at_most_half_a_million_blobs() {
    let good = good(&[]);
    let blob = |index: usize| Blob { digest: Digest::sha256(&index.to_le_bytes()), size: 0 };
    let mut many = Manifest { blobs: Vec::with_capacity(MAX_BLOBS + 1), ..good.clone() };
    many.blobs.extend(good.blobs.iter().cloned().chain((good.blobs.len()..MAX_BLOBS).map(blob)));
    many.check().unwrap();
    many.blobs.push(blob(MAX_BLOBS));
    assert_eq!(many.check().unwrap_err().class, Class::Format);
    let mut digests: Vec<Digest> = (0..=MAX_BLOBS).map(|index| Digest::sha256(&index.to_le_bytes())).collect();
    digests.sort();
    let absent = |digest| Absent { digest, reason: Reason::Foreign, repository: None, size: 1 };
    let mut many = Manifest { absent: digests[1..].iter().copied().map(absent).collect(), ..good };
    many.check().unwrap();
    many.absent.insert(0, absent(digests[0]));
    assert_eq!(many.check().unwrap_err().class, Class::Format);
}

#[test]
fn b7_frames_and_volumes_at_their_limits() {
    let good = good(&["--level", "0"]);
    let digest = Digest::sha256(b"a frame");
    let flat = |manifest: &mut Manifest| manifest.form = Form::Flat;
    let none = |manifest: &mut Manifest| (manifest.frames, manifest.volumes) = (Vec::new(), Vec::new());
    assert!(!holds(&good, none), "no volume");
    assert!(holds(&good, |manifest| (none(manifest), flat(manifest)).0), "form flat has none");
    assert!(!holds(&good, |manifest| (flat(manifest), manifest.frames.clear()).0), "flat with a volume");
    assert!(!holds(&good, |manifest| (flat(manifest), manifest.volumes.clear()).0), "flat with frames");

    // One frame in one volume, of which only the manifest is read.
    let one = |frame: Frame| {
        move |manifest: &mut Manifest| {
            manifest.volumes = vec![Volume { digest, frames: 1, size: frame.stored_size() }];
            manifest.frames = vec![frame];
        }
    };
    let stored = |plain| Frame { digest: None, plain, size: None };
    for (plain, fits) in [(0, false), (1, true), (16 << 20, true), ((16 << 20) + 1, false)] {
        assert_eq!(holds(&good, one(stored(plain))), fits, "plain of {plain}");
    }
    let whole = stored(1 << 20).stored_size();
    let packed = |size| Frame { digest: Some(Box::new(digest)), plain: 1 << 20, size: Some(size) };
    for (size, fits) in [(0, false), (1, true), (whole - 1, true), (whole, false), (whole + 1, false)] {
        assert_eq!(holds(&good, one(packed(size))), fits, "packed to {size} of {whole}");
    }
    assert!(!holds(&good, one(Frame { digest: None, ..packed(5) })), "packed without a digest");
    let long = Digest::of(Algorithm::Sha512, b"a frame");
    assert!(!holds(&good, one(Frame { digest: Some(Box::new(long)), ..stored(1) })), "sha512 of a frame");
    assert!(!holds(&good, |manifest| manifest.volumes[0].digest = long), "sha512 of a volume");

    for (frames, fits) in [(0, false), (1, false), (2, true), (3, false), (u64::from(u32::MAX), false)] {
        let frames = |manifest: &mut Manifest| {
            one(stored(5))(manifest);
            manifest.frames.push(stored(7));
            (manifest.volumes[0].frames, manifest.volumes[0].size) = (frames, 14 + 8 + 14 + 10);
        };
        assert_eq!(holds(&good, frames), fits);
    }
    for (size, fits) in [(21, false), (22, true), (23, false)] {
        let sized = |manifest: &mut Manifest| {
            one(stored(5))(manifest);
            manifest.volumes[0].size = size;
        };
        assert_eq!(holds(&good, sized), fits, "volume of {size}");
    }
    let behind = |manifest: &mut Manifest| {
        one(stored(5))(manifest);
        manifest.frames.push(stored(7));
    };
    assert!(!holds(&good, behind), "a frame in no volume");
    for (count, fits) in [(9999, true), (10_000, false)] {
        let volumes = |manifest: &mut Manifest| {
            manifest.frames = vec![stored(5); count];
            manifest.volumes = vec![Volume { digest, frames: 1, size: 22 }; count];
        };
        assert_eq!(holds(&good, volumes), fits, "{count} volumes");
    }
}

#[test]
fn m3_the_last_frame_is_the_end_alone_and_stored() {
    let good = good(&["--level", "0"]);
    let cuts = |change: &dyn Fn(&mut Vec<Frame>)| {
        let mut manifest = good.clone();
        change(&mut manifest.frames);
        Offsets::new(&Arc::new(manifest)).is_ok()
    };
    let stored = |plain| Frame { digest: None, plain, size: None };
    let digest = || Some(Box::new(Digest::sha256(b"a frame")));
    assert!(cuts(&|_| ()));
    // A stored frame may have a digest; a packed one is another kind.
    assert!(cuts(&|frames| frames.last_mut().unwrap().digest = digest()));
    assert!(!cuts(&|frames| *frames.last_mut().unwrap() = Frame { digest: digest(), plain: 1024, size: Some(30) }));
    for plain in [1, 512, 1023, 1025, 2048] {
        assert!(!cuts(&|frames| frames.last_mut().unwrap().plain = plain), "{plain}");
    }
    assert!(!cuts(&|frames| frames.truncate(frames.len() - 1)), "no end");
    assert!(!cuts(&|frames| frames.push(stored(1024))), "two ends");
    assert!(!cuts(&|frames| frames.splice(frames.len() - 1.., [stored(512), stored(512)]).for_each(drop)), "in two");
    assert!(!cuts(&|frames| frames[0].plain -= 1) && !cuts(&|frames| frames[0].plain += 1), "beside the members");
}

#[test]
fn the_limits_are_the_specs() {
    assert_eq!((MAX_MANIFEST, MAX_PLAIN, MAX_DOCUMENT), (67_108_864, 16_777_216, 4_194_304));
    assert_eq!((SMALL, LEAST_VOLUME, DEFAULT_VOLUME), (65_536, 33_554_432, 4_294_967_295));
}
