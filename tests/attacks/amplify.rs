//! Manifests made to cost far more memory than they have bytes: many short entries of one kind, and
//! an `index.json` hundreds of times as long as the manifest that it is computed from.

use std::fs;
use std::path::Path;

use packmule::base::fault::Class;
use packmule::bundle::format::frame::{MAX_PLAIN, stored_size};
use packmule::bundle::write::{Input, Options, write};
use packmule::bundle::write::{flat, read_back};
use packmule::bundle::{Output, open};
use packmule::oci::media_type::OCI_INDEX;
use packmule::oci::{Artifact, Digest, Repository, Tag};
use packmule::operate::verify::Scope;
use serde_json::{Value, json};

use crate::alone::{ALONE, kib_peak, tell_peak};
use crate::pages::examples;
use crate::store::{SIGN_1, artifact, flow};
use crate::{assert_class, key, verdict};

/// Approximate size of each of these manifests in bytes.
const SIZE: usize = 2 << 20;
/// Limit for the memory needed per byte of the manifest; `spec/manifest.md`, limits.
const FACTOR: u64 = 6;
/// Sorted by bytes.
const WORD: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/// Words of `length` characters, sorted.
fn words(length: u32) -> impl Iterator<Item = String> {
    (0..WORD.len().pow(length)).map(move |number| {
        let digit = |place: u32| WORD[number / WORD.len().pow(length - 1 - place) % WORD.len()];
        (0..length).map(|place| char::from(digit(place))).collect()
    })
}

fn example() -> Value {
    serde_json::from_slice(&examples()["salt.json"]).unwrap()
}

/// A repository name of maximum length.
fn long_repository(number: usize) -> String {
    let head = format!("registry.example/r{number:06}/");
    format!("{head}{}", "a".repeat(255 - head.len()))
}

/// Length of the `index.json` for a manifest's artifacts.
fn index_length(manifest: &Value) -> usize {
    let entry = |artifact: &Value, tag: Option<&Value>| {
        let mut entry =
            json!({ "digest": artifact["digest"], "mediaType": artifact["mediaType"], "size": artifact["size"] });
        entry["artifactType"] = artifact["artifactType"].clone();
        if let Some(tag) = tag.and_then(Value::as_str) {
            let name = format!("{}:{tag}", artifact["repository"].as_str().unwrap());
            entry["annotations"] =
                json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name });
        }
        entry.to_string().len() + 1
    };
    let of_one = |artifact: &Value| {
        let tags = artifact["tags"].as_array().unwrap();
        // All have the same length.
        tags.len().max(1) * entry(artifact, tags.first())
    };
    let frame = json!({ "manifests": [], "mediaType": OCI_INDEX, "schemaVersion": 2 }).to_string().len();
    manifest["artifacts"].as_array().unwrap().iter().map(of_one).sum::<usize>() - 1 + frame
}

/// Gives the manifest the frames and the volume that fit its tar stream.
fn fit(mut manifest: Value) -> Value {
    let index = 512 + index_length(&manifest).next_multiple_of(512);
    let most = usize::try_from(MAX_PLAIN).unwrap();
    let parts = (0..index).step_by(most).map(|at| most.min(index - at));
    // `oci-layout`; `index.json`; the three blobs; the end.
    let plain: Vec<usize> = std::iter::once(1024).chain(parts).chain([3 * 1024, 1024]).collect();
    let size: u64 = plain.iter().map(|plain| stored_size(*plain as u64)).sum();
    manifest["volumes"][0]["size"] = json!(size);
    manifest["volumes"][0]["frames"] = json!(plain.len());
    manifest["frames"] = plain.iter().map(|plain| json!({ "plain": plain })).collect();
    manifest
}

/// A manifest of about `size` bytes whose artifacts each have their own repository and `each` tags:
/// `head` followed by `length` characters.
fn tags(head: &str, length: u32, each: usize, size: usize) -> Value {
    let mut manifest = example();
    let tags: Vec<String> = words(length)
        .map(|word| format!("{head}{word}"))
        .take(each.min(size / (head.len() + length as usize + 3)))
        .collect();
    let entry = |number: usize| {
        let mut artifact = manifest["artifacts"][0].clone();
        artifact["repository"] = json!(long_repository(number));
        artifact["tags"] = json!(tags);
        artifact
    };
    let one = entry(0).to_string().len();
    manifest["artifacts"] = (0..size.div_ceil(one)).map(entry).collect();
    fit(manifest)
}

/// One blob in frames of one byte each.
fn frames() -> Value {
    let mut manifest = example();
    let count = SIZE / 12 / 512 * 512;
    // Two small members before it share a frame, and its own header comes before the content.
    manifest["blobs"][2]["size"] = json!(count - 512);
    let entry = |plain: usize| json!({ "plain": plain });
    // `oci-layout`, `index.json`, a document, a config: each a header and one or two blocks.
    let front = 5120 - 1024;
    let all: Vec<Value> = [entry(front)].into_iter().chain((0..count).map(|_| entry(1))).chain([entry(1024)]).collect();
    let size = stored_size(front as u64) + count as u64 * stored_size(1) + stored_size(1024);
    manifest["volumes"][0]["size"] = json!(size);
    manifest["volumes"][0]["frames"] = json!(all.len());
    manifest["frames"] = json!(all);
    manifest
}

fn notes() -> Value {
    let mut manifest = example();
    manifest["annotations"] = words(4).take(SIZE / 9).map(|word| (word, json!(""))).collect();
    manifest
}

/// One manifest in very many repositories.
fn repositories() -> Value {
    let mut manifest = example();
    let entry = |name: String| {
        let mut artifact = manifest["artifacts"][0].clone();
        artifact["repository"] = json!(format!("a.b/{}", name.to_lowercase()));
        artifact["tags"] = json!([]);
        artifact
    };
    let mut names: Vec<String> =
        words(4).filter(|word| !word.contains(|c: char| c == '_' || c.is_uppercase())).collect();
    names.truncate(SIZE / entry("0000".to_owned()).to_string().len() + 1);
    manifest["artifacts"] = names.into_iter().map(entry).collect();
    fit(manifest)
}

/// Very many empty blobs, each in its own frame, and as many absent ones.
fn blobs() -> Value {
    let mut manifest = example();
    let digest = |number: usize| Digest::sha256(&number.to_be_bytes());
    let count = SIZE / 2 / 110;
    let more = (0..count).map(|number| json!({ "digest": digest(number), "size": 0 }));
    let blobs: Vec<Value> = manifest["blobs"].as_array().unwrap().iter().cloned().chain(more).collect();
    let mut absent: Vec<Digest> = (count..2 * count).map(digest).collect();
    absent.sort();
    manifest["blobs"] = json!(blobs);
    manifest["absent"] =
        absent.iter().map(|digest| json!({ "digest": digest, "reason": "missing", "size": 1 })).collect();
    let all: Vec<Value> = std::iter::once(json!({ "plain": 5120 }))
        .chain((0..count).map(|_| json!({ "plain": 512 })))
        .chain([json!({ "plain": 1024 })])
        .collect();
    let size = stored_size(5120) + count as u64 * stored_size(512) + stored_size(1024);
    manifest["volumes"][0] = json!({ "digest": digest(0), "frames": all.len(), "size": size });
    manifest["frames"] = json!(all);
    manifest
}

/// Features of a newer version, which are refused: only a few of millions are named.
fn features() -> Value {
    let mut manifest = example();
    manifest["requires"] = words(4).take(SIZE / 7).map(|word| json!(word)).collect();
    manifest
}

/// Writes the signed bundle `b` of this manifest, without volumes.
fn lay(dir: &Path, manifest: &Value) -> usize {
    let mut manifest = manifest.clone();
    manifest["name"] = json!("b");
    let bytes = serde_json::to_vec(&manifest).unwrap();
    fs::write(dir.join("b.sig.json"), SIGN_1(&bytes).unwrap()).unwrap();
    fs::write(dir.join("b.json"), &bytes).unwrap();
    bytes.len()
}

#[test]
fn memory_stays_below_six_bytes_a_byte_of_any_manifest() {
    type Make = fn() -> Value;
    let shapes: [(&str, Make, bool); 11] = [
        ("tags of 1", || tags("", 1, 63, SIZE), true),
        ("tags of 2", || tags("", 2, 3969, SIZE), true),
        // Just above a power of two.
        ("tags of 2, half a vector each", || tags("", 2, 2060, SIZE), true),
        ("tags of 2, a few", || tags("", 2, 520, SIZE), true),
        ("tags of 3", || tags("", 3, SIZE, SIZE), true),
        // The first length that is stored outside the value.
        ("tags of 15", || tags("v1234567890.", 3, 1500, SIZE), true),
        ("frames", frames, true),
        ("annotations", notes, true),
        ("repositories", repositories, true),
        ("blobs", blobs, true),
        ("requires", features, false),
    ];
    let peak = |dir: &Path| kib_peak("amplify::a_verify_of_its_own_process", dir);
    let small = tempfile::tempdir().unwrap();
    lay(small.path(), &example());
    let own = peak(small.path());
    for (name, make, fits) in shapes {
        let dir = tempfile::tempdir().unwrap();
        let size = lay(dir.path(), &make()) as u64;
        assert!(size >= SIZE as u64 * 9 / 10, "{name}: {size}");
        let read = open(&dir.path().join("b.json")).unwrap().assume();
        assert_eq!(read.is_ok(), fits, "{name}: {:?}", read.err());
        let more = (peak(dir.path()).saturating_sub(own)) << 10;
        println!("{name}: {}.{:02} bytes a byte", more / size, more % size * 100 / size);
        assert!(more <= FACTOR * size, "{name}: {more} bytes of memory for {size} of manifest");
    }
}

/// Runs only as a child of the test above: checks signatures, the manifest, its sums, and that its
/// volumes are missing; then runs `diff` and `inspect --check` on the unauthenticated bundle.
#[test]
fn a_verify_of_its_own_process() {
    let Some(dir) = std::env::var_os(ALONE) else { return };
    assert!(!verdict(Path::new(&dir), &Scope::default()).is_good());
    if let Ok(bundle) = open(&Path::new(&dir).join("b.json")).unwrap().assume() {
        assert!(packmule::bundle::check::parallel::check(&bundle, &flow(2), false).is_err());
    }
    tell_peak();
}

/// A comparison holds every name of both sides and every difference: more than a verdict needs, but
/// not one repository per tag.
#[test]
fn a_comparison_takes_no_more_than_thirty_bytes_a_byte() {
    let peak = |dir: &Path| kib_peak("amplify::a_comparison_of_its_own_process", dir);
    let small = tempfile::tempdir().unwrap();
    lay(small.path(), &example());
    let dir = tempfile::tempdir().unwrap();
    let size = lay(dir.path(), &tags("", 3, SIZE, SIZE)) as u64;
    let more = (peak(dir.path()).saturating_sub(peak(small.path()))) << 10;
    println!("a comparison: {}.{:02} bytes a byte", more / size, more % size * 100 / size);
    assert!(more <= 30 * size, "{more} bytes of memory for {size} of manifest");
}

/// Runs only as a child of the test above: compares with nothing, so that every name is a
/// difference.
#[test]
fn a_comparison_of_its_own_process() {
    let Some(dir) = std::env::var_os(ALONE) else { return };
    let bundle = open(&Path::new(&dir).join("b.json")).unwrap();
    let full = |repository: &Repository| Ok(repository.to_string());
    let contents = packmule::operate::diff::of_bundle(&flow(2), bundle, &full).unwrap();
    let found =
        packmule::operate::diff::compare(&flow(2), &packmule::operate::diff::Contents::default(), &contents).unwrap();
    assert!(!found.changes.is_empty());
    tell_peak();
}

/// The program itself with 600,000 KiB of address space, of which its threads take most: it ends
/// with a verdict.
#[test]
fn an_index_json_of_gigabytes_needs_no_gigabytes() {
    let dir = tempfile::tempdir().unwrap();
    lay(dir.path(), &tags("", 3, SIZE, 3 << 20));
    fs::write(dir.path().join("k.pem"), key(1).public().to_pem()).unwrap();
    let run = |words: &str| {
        let line = format!("ulimit -v 600000; exec \"$P\" {words}");
        let ended = std::process::Command::new("sh")
            .args(["-c", &line])
            .env("P", env!("CARGO_BIN_EXE_packmule"))
            .current_dir(dir.path())
            .output()
            .unwrap();
        (ended.status.code(), String::from_utf8(ended.stdout).unwrap() + &String::from_utf8(ended.stderr).unwrap())
    };
    let (code, told) = run("verify b --key k.pem");
    assert!(code == Some(11) && told.contains("need volume 1"), "{code:?} {told}");
    let (code, told) = run("inspect b --check");
    assert!(code == Some(11) && told.contains("not authenticated"), "{code:?}");
    let (code, told) = run("diff ./b ./b");
    assert!(code == Some(0) && told.contains("same "), "{code:?}");
}

/// An `index.json` longer than a frame: written in both forms, read back, verified, and extracted
/// by hand.
#[test]
fn an_index_json_longer_than_a_frame_is_written_and_compared() {
    let (memory, input) = artifact("b", vec![(b"{}".to_vec(), false, "a/config")], u64::MAX);
    let tags: Vec<Tag> = words(2).take(1000).map(|word| Tag::new(&word).unwrap()).collect();
    let artifacts: Vec<Artifact> = (0..25)
        .map(|number| {
            let repository = Repository::exact(&long_repository(number)).unwrap();
            Artifact { repository, tags: tags.clone(), ..input.artifacts[0].clone() }
        })
        .collect();
    let name = |artifact: &Artifact, tag: &Tag| format!("{}:{tag}", artifact.repository);
    let manifests: Vec<Value> = (artifacts.iter())
        .flat_map(|artifact| artifact.tags.iter().map(move |tag| (artifact, name(artifact, tag))))
        .map(|(artifact, name)| {
            json!({ "annotations": { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name },
                "digest": artifact.digest, "mediaType": artifact.media_type, "size": artifact.size })
        })
        .collect();
    let index = json!({ "manifests": manifests, "mediaType": OCI_INDEX, "schemaVersion": 2 }).to_string();
    assert!(index.len() as u64 > MAX_PLAIN);
    let input = Input { artifacts, level: 0, ..input };
    let options = Options { sign: SIGN_1, read_back: Some(&read_back::read_back), leave_out: false };
    for is_flat in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let output = Output::open(dir.path(), &input.name, false).unwrap();
        let write = if is_flat { flat::write } else { write };
        write(&flow(2), &memory, &output, &input, options).unwrap();
        let verdict = || verdict(dir.path(), &Scope::default());
        assert!(verdict().is_good(), "{:?}", verdict().fault);
        let file = dir.path().join(if is_flat { "b.oci/index.json" } else { "b.0001.tar.zst" });
        if is_flat {
            assert!(fs::read(&file).unwrap() == index.as_bytes());
        } else {
            let by_hand = "zstd -dc b.0001.tar.zst | tar -xO index.json";
            let out = std::process::Command::new("sh").args(["-c", by_hand]).current_dir(dir.path()).output().unwrap();
            assert!(out.stdout == index.as_bytes(), "{}", String::from_utf8_lossy(&out.stderr));
        }
        let good = fs::read(&file).unwrap();
        for at in [5000, good.len() / 2, usize::try_from(MAX_PLAIN).unwrap() + 9000] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&file, bad).unwrap();
            assert_class(&verdict().fault.unwrap(), Class::Integrity, &format!("{is_flat}, {at}"));
        }
    }
}
