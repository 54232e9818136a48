//! The bundle writer with a source in memory: what it writes, how it resumes, what it refuses.

#![allow(clippy::type_complexity, reason = "a test")]

use std::fs;
use std::sync::Arc;

use packmule::base::fault::Class;
use packmule::bundle::format::offsets::Offsets;
use packmule::bundle::time::Moment;
use packmule::bundle::write::Sign;
use packmule::bundle::write::{Input, Options, write};
use packmule::bundle::write::{read_back, resume};
use packmule::bundle::{Error, Manifest, Output};
use packmule::content::volumes::Volumes;
use packmule::flow::Flow;
use packmule::oci::Digest;
use packmule::oci::media_type::OCI_LAYER_GZIP;

use crate::noise;
use crate::store::{Memory, SIGN, artifact, export, files, flow, fused, names, only_partial, prose};

const MIB: usize = 1 << 20;

/// Every size around a boundary, content that packs and that does not, both algorithms.
fn boundaries() -> (Memory, Input) {
    let mut blobs = vec![(b"{}".to_vec(), false, "application/json"), (Vec::new(), false, "a/empty")];
    for (seed, size) in [1, 511, 512, 513, 65535, 65536, 65537, 128 << 10, 16 * MIB - 512, 16 * MIB - 511, 16 * MIB + 1]
        .into_iter()
        .enumerate()
    {
        blobs.push((noise(seed as u64, size), seed % 2 == 0, OCI_LAYER_GZIP));
    }
    blobs.push((prose(70_000), false, "a/prose"));
    blobs.push((prose(16 * MIB - 1536), true, "a/prose"));
    blobs.push((prose(40 * MIB + 3), true, "a/prose"));
    blobs.push((noise(99, 41 * MIB), false, OCI_LAYER_GZIP));
    artifact("apps", blobs, 32 << 20)
}

#[test]
fn what_is_written_reads_by_hand_and_knows_no_threads() {
    let (mut memory, input) = boundaries();
    let dir = tempfile::tempdir().unwrap();
    let output = Output::open(dir.path(), &input.name, false).unwrap();
    let options = Options { sign: SIGN, read_back: Some(&read_back::read_back), leave_out: false };
    let written = write(&flow(8), &memory, &output, &input, options).unwrap();
    drop(output);
    let expected = files(dir.path());
    assert!(written.manifest.volumes.len() > 2);
    assert!(written.manifest.volumes.iter().all(|volume| volume.size <= 32 << 20));
    assert!(written.manifest.frames.iter().any(|frame| frame.size.is_some()));
    Offsets::new(&Arc::new(Manifest::parse(&expected["apps.json"]).unwrap())).unwrap();
    let mut listed = written.files.clone();
    listed.sort();
    assert_eq!(names(dir.path()), listed, "nothing but the bundle stays");

    let by_hand = "mkdir out && cat apps.????.tar.zst | zstd -d | tar -x -C out && sha256sum -c --quiet apps.sha256";
    let status = std::process::Command::new("sh").args(["-ec", by_hand]).current_dir(dir.path()).status().unwrap();
    assert!(status.success());
    for blob in &input.blobs {
        let digest = blob.descriptor.digest;
        let path = dir.path().join("out/blobs").join(digest.algorithm().name()).join(digest.hex());
        assert_eq!(Digest::of(digest.algorithm(), &fs::read(path).unwrap()), digest);
    }

    for (jobs, ranged) in [(1, true), (3, false)] {
        memory.ranged = ranged;
        memory.asked.lock().unwrap().clear();
        let dir = tempfile::tempdir().unwrap();
        export(&flow(jobs), dir.path(), &memory, &input).unwrap();
        assert!(files(dir.path()) == expected, "{jobs} jobs, ranges {ranged}");
        for blob in input.blobs.iter().filter(|blob| blob.document.is_none()) {
            let asked = memory.asked.lock().unwrap().get(&blob.descriptor.digest).copied();
            assert_eq!(asked, Some(blob.descriptor.size), "each byte is asked for once");
        }
    }
}

#[test]
fn cancelled_anywhere_it_goes_on_and_fetches_only_the_rest() {
    let (memory, input) = boundaries();
    let dir = tempfile::tempdir().unwrap();
    export(&flow(4), dir.path(), &memory, &input).unwrap();
    let expected = files(dir.path());
    let total: u64 = input.blobs.iter().map(|blob| blob.descriptor.size).sum();
    for step in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let mut runs = 0;
        // Interrupted again and again, until it completes.
        loop {
            runs += 1;
            assert!(runs < 20);
            match export(
                &fused(usize::try_from(step).unwrap() + 1, 1 + total / 5 * (step + runs / 2)),
                dir.path(),
                &memory,
                &input,
            ) {
                Ok(_) => break,
                Err(error) => assert_eq!(error.class, Class::Cancelled, "{error}"),
            }
            only_partial(dir.path());
        }
        assert!(files(dir.path()) == expected, "{step}");
    }
    // What the journal lists is not fetched again.
    let dir = tempfile::tempdir().unwrap();
    export(&fused(1, total * 9 / 10), dir.path(), &memory, &input).unwrap_err();
    let kept = fs::read_to_string(dir.path().join("apps.journal.partial")).unwrap();
    let kept: u64 = kept.lines().map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert!(kept > total / 3, "{kept}");
    memory.asked.lock().unwrap().clear();
    export(&flow(1), dir.path(), &memory, &input).unwrap();
    assert!(files(dir.path()) == expected);
    let asked: u64 = memory.asked.lock().unwrap().values().sum();
    assert!(asked <= total - kept + (1 << 20), "{asked} of {total}, {kept} were there");
}

#[test]
fn killed_at_any_byte_it_goes_on() {
    let (memory, input) = boundaries();
    let whole = tempfile::tempdir().unwrap();
    export(&flow(4), whole.path(), &memory, &input).unwrap();
    let expected = files(whole.path());
    // Everything except the end: signing fails.
    let dir = tempfile::tempdir().unwrap();
    let refuse: &Sign<'_> = &|_: &[u8]| Err(Error::new(Class::Usage, "no key"));
    let output = Output::open(dir.path(), &input.name, false).unwrap();
    write(&flow(4), &memory, &output, &input, Options { sign: refuse, read_back: None, leave_out: false }).unwrap_err();
    drop(output);
    only_partial(dir.path());
    let state = files(dir.path());
    let damages: [(&str, &dyn Fn(&mut Vec<u8>)); 5] = [
        ("apps.0001.tar.zst.partial", &|bytes| bytes.truncate(bytes.len() / 2)),
        ("apps.0002.tar.zst.partial", &|bytes| bytes.extend_from_slice(b"torn")),
        ("apps.journal.partial", &|bytes| bytes.truncate(bytes.len() * 2 / 3)),
        ("apps.0003.tar.zst.partial", &|bytes| bytes[1 << 20] ^= 1),
        ("apps.docs.partial", &|bytes| bytes.clear()),
    ];
    for (file, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in &state {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let mut bytes = state[file].clone();
        damage(&mut bytes);
        fs::write(dir.path().join(file), bytes).unwrap();
        export(&flow(4), dir.path(), &memory, &input).unwrap();
        assert!(files(dir.path()) == expected, "{file}");
    }
    // Killed during the renames.
    fs::rename(dir.path().join("apps.0001.tar.zst.partial"), dir.path().join("apps.0001.tar.zst")).unwrap();
    memory.asked.lock().unwrap().clear();
    export(&flow(4), dir.path(), &memory, &input).unwrap();
    assert!(files(dir.path()) == expected);
    assert!(memory.asked.lock().unwrap().is_empty(), "all was there");
}

#[test]
fn an_unfinished_run_is_known_by_its_request() {
    let (memory, input) =
        artifact("apps", vec![(b"{}".to_vec(), false, "a/b"), (noise(1, 99_999), false, "a/b")], 1 << 30);
    let dir = tempfile::tempdir().unwrap();
    export(&fused(1, 1), dir.path(), &memory, &input).unwrap_err();
    let output = Output::open(dir.path(), &input.name, false).unwrap();
    let flow = flow(2);
    assert!(resume::resume(&flow, &output, "another", &input.tool).unwrap().is_none());
    assert!(resume::resume(&flow, &output, &input.request, "packmule 9").unwrap().is_none());
    let found = resume::resume(&flow, &output, &input.request, &input.tool).unwrap().unwrap();
    assert_eq!(found.blobs[0].document.as_ref().unwrap().raw(), input.blobs[0].document.as_ref().unwrap().raw());
    write(&flow, &memory, &output, &found, Options { sign: SIGN, read_back: None, leave_out: false }).unwrap();
    drop(output);
    let again = tempfile::tempdir().unwrap();
    export(&flow, again.path(), &memory, &input).unwrap();
    assert!(files(dir.path()) == files(again.path()));
}

#[test]
fn a_lying_source_is_asked_once_more_and_then_refused() {
    for (index, ranged) in [(1, true), (2, true), (2, false)] {
        let blobs = vec![
            (b"{}".to_vec(), false, "a/b"),
            (noise(1, 3000), false, "a/b"),
            (noise(2, 20 * MIB), false, OCI_LAYER_GZIP),
            (noise(3, 99_999), false, OCI_LAYER_GZIP),
        ];
        let digest = Digest::sha256(&blobs[index].0);
        let (mut memory, input) = artifact("apps", blobs, 1 << 30);
        memory.ranged = ranged;
        memory.lies.lock().unwrap().insert(digest, 1);
        let dir = tempfile::tempdir().unwrap();
        export(&flow(3), dir.path(), &memory, &input).unwrap();
        memory.lies.lock().unwrap().insert(digest, 2);
        let dir = tempfile::tempdir().unwrap();
        let error = export(&flow(3), dir.path(), &memory, &input).unwrap_err();
        assert_eq!(error.class, Class::Source);
        assert!(error.what.contains(&digest.to_string()) && error.what.contains("localhost/a"), "{error}");
        only_partial(dir.path());
        // Once fixed, it continues.
        export(&flow(3), dir.path(), &memory, &input).unwrap();
    }
}

#[test]
fn refused_before_any_work() {
    let (memory, mut input) = artifact("apps", vec![(b"{}".to_vec(), false, "a/b")], 1 << 30);
    let dir = tempfile::tempdir().unwrap();
    let held = Output::open(dir.path(), &input.name, false).unwrap();
    assert_eq!(Output::open(dir.path(), &input.name, false).unwrap_err().class, Class::Lock);
    drop(held);
    export(&flow(1), dir.path(), &memory, &input).unwrap();
    let before = files(dir.path());
    assert_eq!(Output::open(dir.path(), &input.name, false).unwrap_err().class, Class::Usage);
    assert_eq!(Output::open(&dir.path().join("no"), &input.name, false).unwrap_err().class, Class::Io);
    assert!(files(dir.path()) == before);

    // Old files are replaced only at the end; surplus volumes are removed.
    fs::write(dir.path().join("apps.0007.tar.zst"), "old").unwrap();
    input.request = "other".to_owned();
    input.created = Moment::from_unix(1).unwrap();
    let output = Output::open(dir.path(), &input.name, true).unwrap();
    let refuse: &Sign<'_> = &|_: &[u8]| Err(Error::new(Class::Usage, "no key"));
    write(&flow(1), &memory, &output, &input, Options { sign: refuse, read_back: None, leave_out: false }).unwrap_err();
    assert_eq!(fs::read(dir.path().join("apps.json")).unwrap(), before["apps.json"]);
    write(&flow(1), &memory, &output, &input, Options { sign: SIGN, read_back: None, leave_out: false }).unwrap();
    drop(output);
    assert_ne!(fs::read(dir.path().join("apps.json")).unwrap(), before["apps.json"]);
    assert_eq!(names(dir.path()), ["apps.0001.tar.zst", "apps.json", "apps.sha256", "apps.sig.json"]);

    input.volume_size = (32 << 20) - 1;
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(export(&flow(1), empty.path(), &memory, &input).unwrap_err().class, Class::Usage);
    input.volume_size = 32 << 20;
    input.blobs[1].descriptor.size = 400 << 30;
    let error = export(&flow(1), empty.path(), &memory, &input).unwrap_err();
    assert_eq!(error.class, Class::Usage, "{error}");
    assert!(names(empty.path()).is_empty());
}

#[test]
fn a_failed_read_back_gives_no_final_name() {
    let (memory, input) = artifact("apps", vec![(b"{}".to_vec(), false, "a/b")], 1 << 30);
    let dir = tempfile::tempdir().unwrap();
    let output = Output::open(dir.path(), &input.name, false).unwrap();
    let refuse = |_: Arc<dyn Volumes>, _: &Manifest, _: &[u64], _: &Flow| Err(Error::integrity("the stick lies"));
    let options = Options { sign: SIGN, read_back: Some(&refuse), leave_out: false };
    assert_eq!(write(&flow(1), &memory, &output, &input, options).unwrap_err().class, Class::Integrity);
    drop(output);
    only_partial(dir.path());
}
