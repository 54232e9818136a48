//! How much is read: the bytes read of a bundle's files relative to its size, counted by the kernel
//! in a process that does nothing else.

use std::fs;
use std::path::Path;

use packmule::bundle::check::parallel;
use packmule::bundle::write::{InputBlob, Options, write};
use packmule::bundle::{Output, open};
use packmule::oci::media_type::OCI_MANIFEST;
use packmule::oci::{Algorithm, Descriptor, Document};
use serde_json::json;

use crate::store::{Memory, SIGN, input, listed, repository};
use crate::{Bundle, flow, noise, packmule};

/// Variable that names the test to measure in its own process.
const ALONE: &str = "PACKMULE_TEST_ALONE";

/// Returns the number of bytes that this process has read so far.
fn read() -> u64 {
    let counts = fs::read_to_string("/proc/self/io").unwrap();
    counts.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

/// Returns the size of all files in a directory.
fn size(dir: &Path) -> u64 {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

/// Runs the test of this name, which must be in this module, in its own process.
fn alone(test: &str) {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("reads::{test}"), "--nocapture"])
        .env(ALONE, test)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && told.contains("1 passed"), "{told}");
}

fn is_alone(test: &str) -> bool {
    std::env::var(ALONE).is_ok_and(|name| name == test)
}

#[test]
fn an_import_of_many_small_blobs_reads_the_bundle_about_once() {
    const TEST: &str = "an_import_of_many_small_blobs_reads_the_bundle_about_once";
    if !is_alone(TEST) {
        return alone(TEST);
    }
    // Five shared frames, and a large blob.
    let mut layers: Vec<Vec<u8>> = (0..1200).map(|seed| noise(seed, 60_000)).collect();
    layers.push(noise(5000, 3 << 20));
    let bundle = Bundle::new(&layers, &[], &[1]);
    let (size, before) = (size(&bundle.dir()), read());
    let ended = packmule(bundle.root.path(), &["import", "usb/b", "--key", "1.pub.pem", "--to", "oci:site"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let taken = read() - before;
    assert!(taken < 3 * size, "{taken} bytes were read of {size}");
}

/// Writes the bundle `b` of `count` documents with `padding` bytes of annotations; each next
/// artifact's document is in the next of `frames` parts, in turn.
fn scattered(dir: &Path, count: usize, padding: usize, frames: usize) {
    let mut memory = Memory::default();
    let config = memory.add(Algorithm::Sha256, "a/config", b"{}".to_vec());
    let long = "x".repeat(padding);
    let make = |number: usize| {
        let json = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [],
            "annotations": { "number": number.to_string(), "padding": long },
        });
        Document::parse(OCI_MANIFEST, serde_json::to_vec(&json).unwrap()).unwrap()
    };
    let mut documents: Vec<Document> = (0..count).map(make).collect();
    documents.sort_by_key(Document::digest);
    let artifacts = documents.iter().map(listed).collect();
    let mut order: Vec<(usize, Document)> = documents.into_iter().enumerate().collect();
    order.sort_by_key(|(place, _)| (place % frames, *place));
    documents = order.into_iter().map(|(_, document)| document).collect();
    let blob = |descriptor: Descriptor, document: Option<Document>| InputBlob {
        descriptor,
        repository: repository(),
        document,
        small: true,
    };
    let mut blobs: Vec<InputBlob> =
        documents.into_iter().map(|document| blob(document.descriptor(), Some(document))).collect();
    blobs.insert(1, blob(config, None));
    let input = input("b", artifacts, blobs);
    let output = Output::open(dir, &input.name, false).unwrap();
    write(&flow(), &memory, &output, &input, Options { sign: SIGN, read_back: None, leave_out: false }).unwrap();
}

#[test]
fn a_check_of_many_scattered_documents_reads_the_bundle_about_twice() {
    const TEST: &str = "a_check_of_many_scattered_documents_reads_the_bundle_about_twice";
    if !is_alone(TEST) {
        return alone(TEST);
    }
    let dir = tempfile::tempdir().unwrap();
    scattered(dir.path(), 2000, 40_000, 6);
    let manifest = open(dir.path()).unwrap().claimed().unwrap();
    assert!(manifest.frames.len() >= 6, "frames: {}", manifest.frames.len());
    let (size, before) = (size(dir.path()), read());
    let bundle = open(dir.path()).unwrap().assume().unwrap();
    parallel::check(&bundle, &flow(), false).map_err(packmule::base::fault::Fault::from).unwrap();
    let taken = read() - before;
    assert!(taken < 3 * size, "{taken} bytes were read of {size}");
}
