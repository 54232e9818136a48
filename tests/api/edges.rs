//! Boundary cases, in every way that a bundle is read: from files, as a stream, during an import.

use std::fs;
use std::io::{Cursor, Read as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use packmule::base::fault::{Class, Fault, Reason};
use packmule::bundle::format::frame;
use packmule::bundle::frames::media::Media;
use packmule::bundle::source::one_pass;
use packmule::bundle::write::{Input, InputBlob, Options, write};
use packmule::bundle::write::{flat, publish, read_back};
use packmule::bundle::{Manifest, Output, Untrusted, open, stream};
use packmule::content::volumes::Volumes;
use packmule::content::{Kind, Passing as _, Source as _};
use packmule::flow::{Event, Events, FixedClock, Flow};
use packmule::oci::document::MAX_DOCUMENT;
use packmule::oci::media_type::{OCI_INDEX, OCI_MANIFEST};
use packmule::oci::{Algorithm, Artifact, Descriptor, Digest, Document, Repository, Tag};
use packmule::operate::verify::{Request, Scope, Verdict};
use packmule::signing::Policy;
use serde_json::json;
use tempfile::TempDir;

use crate::store::{self, Memory, SIGN_1, artifact, input, listed, repository};
use crate::{Bundle, assert_class, flow, key, noise};

/// A bundle `b`, signed with key 1, as the writer makes it.
fn made(memory: &Memory, input: &Input) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let output = Output::open(dir.path(), &input.name, false).unwrap();
    let options = Options { sign: SIGN_1, read_back: None, leave_out: false };
    write(&store::flow(1), memory, &output, input, options).unwrap();
    dir
}

fn from_files(dir: &Path, flow: &Flow, fail_fast: bool) -> Verdict {
    let policy = Policy::new(vec![key(1).public().clone()], None).unwrap();
    let scope = Scope { fail_fast, ..Scope::default() };
    packmule::operate::verify::run(flow, Request::new(open(&dir.join("b")).unwrap(), &policy, &scope))
}

fn from_stream(bytes: Vec<u8>, flow: &Flow, fail_fast: bool) -> Verdict {
    let policy = Policy::new(vec![key(1).public().clone()], None).unwrap();
    let opened = stream::open(Box::new(Cursor::new(bytes)), flow).unwrap();
    packmule::operate::verify::run(flow, Request::new(opened, &policy, &Scope { fail_fast, ..Scope::default() }))
}

fn stream_of(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream::write(&open(&dir.join("b")).unwrap(), &flow(), &mut bytes).unwrap();
    bytes
}

/// Reads it as an import does, up to where its documents are complete.
fn arrived(dir: &Path) -> Result<(), Fault> {
    let bundle = open(&dir.join("b")).and_then(Untrusted::assume).unwrap();
    one_pass::run(&bundle, &mut Media::new(&bundle), &flow(), |_| Ok(()))
}

#[test]
fn m6_a_stray_blob_is_refused_however_the_bundle_is_read() {
    let (mut memory, mut input) = artifact(
        "b",
        vec![(b"{}".to_vec(), false, "a/b"), (noise(1, 100_000), false, "a/b"), (noise(2, 100_000), false, "a/b")],
        1 << 30,
    );
    let stray = memory.add(Algorithm::Sha256, "a/b", noise(3, 99));
    input.level = 0;
    input.blobs.insert(1, InputBlob { descriptor: stray.clone(), ..input.blobs[1].clone() });
    let dir = made(&memory, &input);
    let bytes = stream_of(dir.path());
    for fail_fast in [true, false] {
        for verdict in [from_files(dir.path(), &flow(), fail_fast), from_stream(bytes.clone(), &flow(), fail_fast)] {
            let fault = verdict.fault.unwrap();
            assert_class(&fault, Class::Format, "a stray blob");
            assert!(fault.what.contains(&stray.digest.to_string()) && fault.others.is_empty(), "{fault:?}");
        }
    }
    // With an additional damaged frame, both are reported, or only the one found first.
    let path = dir.path().join("b.0001.tar.zst");
    let mut volume = fs::read(&path).unwrap();
    let at = volume.windows(16).position(|bytes| bytes == &noise(2, 16)[..]).unwrap();
    volume[at] ^= 1;
    fs::write(&path, volume).unwrap();
    let bytes = stream_of(dir.path());
    for fail_fast in [true, false] {
        for verdict in [from_files(dir.path(), &flow(), fail_fast), from_stream(bytes.clone(), &flow(), fail_fast)] {
            let fault = verdict.fault.unwrap();
            assert_eq!(fault.others.len(), usize::from(!fail_fast), "{fault:?}");
        }
    }
}

#[test]
fn b7_a_document_of_4_mib_passes_and_none_larger() {
    for (size, fits) in [(MAX_DOCUMENT, true), (MAX_DOCUMENT + 1, false)] {
        let mut memory = Memory::default();
        let config = memory.add(Algorithm::Sha256, "a/b", b"{}".to_vec());
        let body = |note: &str| {
            json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [], "annotations": { "n": note } })
                .to_string()
        };
        let note = "x".repeat(usize::try_from(size).unwrap() - body("").len());
        let child = memory.add(Algorithm::Sha256, OCI_MANIFEST, body(&note).into_bytes());
        assert_eq!(child.size, size);
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child] }).to_string();
        let index = Document::parse(OCI_INDEX, index.into_bytes()).unwrap();
        let blob = |descriptor: Descriptor, document: Option<Document>, small: bool| InputBlob {
            descriptor,
            repository: repository(),
            document,
            small,
        };
        let tags = vec![Tag::new("1").unwrap()];
        let root = Artifact { media_type: OCI_INDEX.to_owned(), tags, ..listed(&index) };
        let blobs =
            vec![blob(index.descriptor(), Some(index), true), blob(child, None, false), blob(config, None, true)];
        let dir = made(&memory, &input("b", vec![root], blobs));
        let faults = [
            from_files(dir.path(), &flow(), false).fault,
            from_stream(stream_of(dir.path()), &flow(), false).fault,
            arrived(dir.path()).err(),
        ];
        for (way, fault) in ["files", "stream", "import"].into_iter().zip(faults) {
            assert_eq!(fault.is_none(), fits, "{size}, {way}: {fault:?}");
            if let Some(fault) = fault {
                assert_class(&fault, Class::Format, way);
                assert!(fault.what.contains("expected a document of 1 to 4194304 bytes"), "{way}: {fault:?}");
            }
        }
    }
}

/// The state of the progress bars.
#[derive(Default)]
struct Bars(Mutex<(u64, u64)>);

impl Events for Bars {
    fn event(&self, event: Event) {
        let mut bars = self.0.lock().unwrap();
        match event {
            Event::Stage { bytes, .. } => *bars = (bytes, 0),
            Event::Bytes(count) => bars.1 += count,
            _ => {}
        }
    }
}

#[test]
fn progress_ends_at_what_it_promised() {
    let bundle = Bundle::new(&[noise(1, 9 << 20), noise(2, 5)], &["--level", "0"], &[1]);
    let flat = Bundle::new(&[noise(1, 3 << 20)], &["--flat"], &[1]);
    let stream = stream_of(&bundle.dir());
    let run = |read: &dyn Fn(&Flow) -> Verdict| {
        let bars = Arc::new(Bars::default());
        let flow = Flow::new(Arc::clone(&bars) as Arc<dyn Events>, Arc::new(FixedClock::at(1_767_225_600)), 2, 2);
        assert!(read(&flow).is_good());
        let (promised, done) = *bars.0.lock().unwrap();
        assert_eq!(promised, done);
        assert!(done > 3 << 20, "{done}");
    };
    run(&|flow| from_files(&bundle.dir(), flow, false));
    run(&|flow| from_stream(stream.clone(), flow, false));
    run(&|flow| from_files(&flat.dir(), flow, false));
}

#[test]
fn what_has_passed_is_not_given_again() {
    let content = noise(1, (17 << 20) + 1);
    // The other large blob passes too, but is not asked for.
    let blobs = vec![
        (b"{}".to_vec(), false, "a/b"),
        (noise(2, 17 << 20), false, "a/b"),
        (content.clone(), false, "a/b"),
        (noise(3, 5), false, "a/b"),
    ];
    let (memory, mut input) = artifact("b", blobs, 1 << 30);
    input.level = 0;
    let large = input.blobs.iter().max_by_key(|blob| blob.descriptor.size).unwrap().descriptor.clone();
    let dir = made(&memory, &input);
    let bundle = open(dir.path()).and_then(Untrusted::assume).unwrap();
    assert_eq!(bundle.position(&large.digest), None, "alone in its frames");
    assert!(bundle.position(&input.artifacts[0].digest).is_some(), "beside others");
    let (repository, seen) = (repository(), Mutex::new(0));
    one_pass::run(&bundle, &mut Media::new(&bundle), &flow(), |source| {
        source.pass(&|digest| *digest == large.digest, &|digest| {
            assert_eq!(*digest, large.digest);
            // Opening it without reading does not use it up.
            drop(source.blob(&repository, &large).unwrap());
            let mut first = [0; 100];
            source.blob(&repository, &large).unwrap().read_exact(&mut first).unwrap();
            assert_eq!(first, content[..100]);
            let error = source.blob(&repository, &large).err().unwrap();
            assert_eq!(error.class, Kind::Content(Class::Destination), "{error}");
            assert_eq!(error.reason, Some(Reason::HasPassed));
            *seen.lock().unwrap() += 1;
            Ok(())
        })?;
        source.gate()
    })
    .unwrap();
    assert_eq!(*seen.lock().unwrap(), 1);
}

#[test]
fn a_blob_is_had_in_whatever_pieces() {
    let content = noise(1, 1 << 20);
    let (memory, mut input) =
        artifact("b", vec![(b"{}".to_vec(), false, "a/b"), (content.clone(), false, "a/b")], 1 << 30);
    input.level = 0;
    let large = input.blobs.iter().max_by_key(|blob| blob.descriptor.size).unwrap().descriptor.clone();
    let dir = made(&memory, &input);
    let bundle = open(dir.path()).and_then(Untrusted::assume).unwrap();
    // The buffer is not a multiple of a block, nor a block of the buffer.
    let read = |mut from: Box<dyn std::io::Read + Send + '_>| {
        let (mut found, mut buffer) = (Vec::new(), vec![0; 100_000]);
        loop {
            match from.read(&mut buffer).unwrap() {
                0 => return found,
                count => found.extend_from_slice(&buffer[..count]),
            }
        }
    };
    assert!(read(bundle.blob(&repository(), &large).unwrap()) == content);
    one_pass::run(&bundle, &mut Media::new(&bundle), &flow(), |source| {
        source.pass(&|digest| *digest == large.digest, &|_| {
            assert!(read(source.blob(&repository(), &large).unwrap()) == content);
            Ok(())
        })?;
        source.gate()
    })
    .unwrap();
}

#[test]
fn the_list_of_checksums_is_what_sha256sum_reads() {
    let bundle = Bundle::small("9", &[1]);
    let line = |file: &str| format!("{}  {file}\n", Digest::sha256(&fs::read(bundle.path(file)).unwrap()).hex());
    let list = fs::read_to_string(bundle.path("b.sha256")).unwrap();
    assert_eq!(list, line("b.json") + &line("b.0001.tar.zst"));
}

#[test]
fn what_a_source_lost_is_left_out_of_volumes_where_that_is_allowed() {
    let blobs = vec![(b"{}".to_vec(), false, "a/b"), (noise(1, 3000), false, "a/b"), (noise(2, 90_000), false, "a/b")];
    for lost in [1, 2] {
        let (mut memory, input) = artifact("b", blobs.clone(), 1 << 30);
        let digest = Digest::sha256(&blobs[lost].0);
        memory.blobs.remove(&digest);
        let dir = tempfile::tempdir().unwrap();
        let output = Output::open(dir.path(), &input.name, false).unwrap();
        let options = |leave_out| Options { sign: SIGN_1, read_back: Some(&read_back::read_back), leave_out };
        let error = write(&store::flow(2), &memory, &output, &input, options(false)).unwrap_err();
        assert_eq!(error.class, Class::Source, "{error}");
        let written = write(&store::flow(2), &memory, &output, &input, options(true)).unwrap();
        assert!(written.left_out.len() == 1 && written.left_out[0].contains(&digest.to_string()), "{lost}");
        assert!(written.manifest.absent.iter().map(|absent| absent.digest).eq([digest]));
        assert!(from_files(dir.path(), &flow(), false).is_good());
    }
}

#[test]
fn m3_the_digest_of_a_stored_frame_is_compared_too() {
    let bundle = Bundle::small("0", &[1]);
    let mut manifest = Manifest::parse(&fs::read(bundle.path("b.json")).unwrap()).unwrap();
    let volume = fs::read(bundle.path("b.0001.tar.zst")).unwrap();
    let size = usize::try_from(manifest.frames[0].stored_size()).unwrap();
    fs::remove_file(bundle.path("b.sha256")).unwrap();
    for (digest, fits) in [(Digest::sha256(&volume[..size]), true), (Digest::sha256(b"another"), false)] {
        manifest.frames[0].digest = Some(Box::new(digest));
        let bytes = manifest.to_bytes();
        fs::write(bundle.path("b.sig.json"), SIGN_1(&bytes).unwrap()).unwrap();
        fs::write(bundle.path("b.json"), bytes).unwrap();
        let stream = stream_of(&bundle.dir());
        for verdict in [from_files(&bundle.dir(), &flow(), false), from_stream(stream, &flow(), false)] {
            assert_eq!(verdict.is_good(), fits, "{:?}", verdict.fault);
            let told =
                |fault: &Fault| fault.class == Class::Integrity && fault.what.contains("differs from its digest");
            assert!(verdict.fault.iter().all(told), "{:?}", verdict.fault);
        }
    }
}

#[test]
fn frames_that_end_with_a_reading_and_just_beside_it() {
    // Seven blocks are read at once.
    for blocks in [1, 6, 7, 8, 14] {
        let whole = blocks * frame::RAW_BLOCK - 512;
        for size in [whole - 512, whole, whole + 1] {
            let (memory, mut input) = artifact("b", vec![(noise(1, size), false, "a/b")], 1 << 30);
            input.level = 0;
            let dir = made(&memory, &input);
            for verdict in [from_files(dir.path(), &flow(), false), from_stream(stream_of(dir.path()), &flow(), false)]
            {
                assert!(verdict.is_good(), "{blocks} blocks, {size} bytes: {:?}", verdict.fault);
            }
        }
    }
}

#[test]
fn of_a_stream_that_ends_early_nothing_else_is_told() {
    let bundle = Bundle::new(&[noise(1, 3 << 20), noise(2, 3 << 20)], &["--level", "0"], &[1]);
    let bytes = stream_of(&bundle.dir());
    for cut in [bytes.len() / 2, bytes.len() - 2000] {
        let fault = from_stream(bytes[..cut].to_vec(), &flow(), false).fault.unwrap();
        assert_class(&fault, Class::Integrity, "cut");
        assert!(fault.what.contains("truncated") && fault.others.is_empty(), "{fault:?}");
        assert!(fault.what.contains("b.0001.tar.zst"), "{fault:?}");
    }
}

/// Collects the warnings.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Events for Warnings {
    fn event(&self, event: Event) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

#[test]
fn what_comes_wrong_once_is_warned_of_once_in_either_form() {
    let blobs = vec![(b"{}".to_vec(), false, "a/b"), (noise(1, 3000), false, "a/b"), (noise(2, 3000), false, "a/b")];
    for flat in [true, false] {
        let (memory, mut input) = artifact("b", blobs.clone(), 1 << 30);
        let wrong = Digest::sha256(&blobs[2].0);
        memory.lies.lock().unwrap().insert(wrong, 1);
        input.blobs[3].repository = Repository::exact("localhost/other").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let output = Output::open(dir.path(), &input.name, false).unwrap();
        let warnings = Arc::new(Warnings::default());
        let flow = Flow::new(Arc::clone(&warnings) as Arc<dyn Events>, Arc::new(FixedClock::default()), 1, 1);
        let options = Options { sign: SIGN_1, read_back: None, leave_out: false };
        let write = if flat { flat::write } else { write };
        write(&flow, &memory, &output, &input, options).unwrap();
        let warnings = warnings.0.lock().unwrap();
        assert!(warnings.len() == 1 && warnings[0].ends_with(": fetching it once more"), "{flat}: {warnings:?}");
        assert!(warnings[0].starts_with(&format!("blob {wrong} from localhost/other: ")), "{flat}: {warnings:?}");
    }
}

#[test]
fn a_read_back_that_is_cancelled_ends() {
    let (memory, input) = artifact("b", vec![(noise(1, 3000), false, "a/b")], 1 << 30);
    let dir = tempfile::tempdir().unwrap();
    let output = Output::open(dir.path(), &input.name, false).unwrap();
    let read_back = |place: Arc<dyn Volumes>, manifest: &Manifest, sums: &[u64], _: &Flow| {
        read_back::read_back(Arc::clone(&place), manifest, sums, &store::flow(1)).unwrap();
        let cancelled = store::flow(1);
        cancelled.cancel_flag().store(true, std::sync::atomic::Ordering::Relaxed);
        read_back::read_back(place, manifest, sums, &cancelled)
    };
    let options = Options { sign: SIGN_1, read_back: Some(&read_back), leave_out: false };
    let error = write(&store::flow(1), &memory, &output, &input, options).unwrap_err();
    assert_eq!(error.class, Class::Cancelled, "{error}");
    drop(output);
    store::only_partial(dir.path());
}

#[test]
fn a_manifest_that_no_writer_makes_is_the_programs_own_fault() {
    let (memory, input) = artifact("b", vec![(b"{}".to_vec(), false, "a/b")], 1 << 30);
    let dir = tempfile::tempdir().unwrap();
    let output = Output::open(dir.path(), &input.name, false).unwrap();
    let options = || Options { sign: SIGN_1, read_back: None, leave_out: false };
    let written = write(&store::flow(1), &memory, &output, &input, options()).unwrap();
    let manifest = Manifest { tool: "another".to_owned(), ..written.manifest };
    let error = publish::finish(&store::flow(1), &output, manifest, &[], options()).err().unwrap();
    assert_eq!(error.class, Class::Bug, "{error}");
}
