//! The cost of refusing: every vector relative to the time of reading its bytes once. Measured by
//! `cargo xtask bench worst` in a release build; here it only runs.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use packmule::oci::Digest;

use crate::vectors::{Vector, class, lay, names, verify};

/// Rounds per measurement; the fastest counts.
const ROUNDS: usize = 5;

/// Returns the shortest time of some rounds.
fn least(work: impl Fn()) -> Duration {
    let timed = |()| {
        let begin = Instant::now();
        work();
        begin.elapsed()
    };
    [(); ROUNDS].map(timed).into_iter().min().unwrap()
}

/// Returns every plain file of the directory, except sparse ones above 1 GiB, which cannot be read in
/// reasonable time.
fn plain(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(plain(&entry.path()));
        } else if kind.is_file() && entry.metadata().unwrap().len() <= 1 << 30 {
            found.push(entry.path());
        }
    }
    found
}

/// Reads and hashes everything once, and the contents of frames.
fn read(files: &[PathBuf]) {
    for file in files {
        let mut content = Vec::new();
        fs::File::open(file).unwrap().read_to_end(&mut content).unwrap();
        std::hint::black_box(Digest::sha256(&content));
        if file.to_string_lossy().contains(".tar.zst") {
            let mut plain = Vec::new();
            // As far as it can be decoded.
            let decoder = zstd::stream::read::Decoder::new(&content[..]);
            let _ = decoder.and_then(|decoder| decoder.take(64 << 20).read_to_end(&mut plain));
            std::hint::black_box(Digest::sha256(&plain));
        }
    }
}

/// Returns the times for reading it once and for judging it.
fn measured(vector: &Vector, dir: &Path) -> (Duration, Duration) {
    let files = plain(dir);
    let reading = least(|| read(&files));
    let judging = least(|| drop(std::hint::black_box(verify(vector, dir))));
    (reading, judging)
}

#[test]
fn refusals_beside_reading() {
    // Everything when measuring, in a single process; otherwise a few, to know that it runs.
    let step = if std::env::var_os("PACKMULE_TEST_MEASURE").is_some() { 1 } else { 40 };
    // The cost independent of the bytes, by the form of each vector: that of the plainest bundle
    // that passes.
    let mut good = [Duration::MAX; 3];
    let mut refused = Vec::new();
    // Only those with keys alone: the others are judged by a whole command, whose own cost must not
    // be measured.
    let laid = names().into_iter().rev().map(|name| {
        let dir = tempfile::tempdir().unwrap();
        (lay(&name, dir.path()), name, dir)
    });
    for (vector, name, dir) in laid.filter(|(vector, ..)| !vector.has_more()).step_by(step) {
        let is_flat = dir.path().join(format!("{}.oci", vector.bundle)).exists();
        let form = if vector.is_stream() { 2 } else { usize::from(is_flat) };
        let (reading, judging) = measured(&vector, dir.path());
        if class(&verify(&vector, dir.path())) == "PASS" {
            good[form] = good[form].min(judging);
        } else {
            refused.push((name, form, reading, judging));
        }
    }
    let share = |(_, form, reading, judging): &(String, usize, Duration, Duration)| {
        judging.as_secs_f64() / good[*form].saturating_add(*reading).as_secs_f64()
    };
    refused.sort_by(|one, other| share(other).total_cmp(&share(one)));
    for vector in &refused[..5] {
        let (name, _, reading, judging) = vector;
        println!("{name}: {:.2} ({judging:?}, read once in {reading:?})", share(vector));
    }
    let slowest = refused.iter().max_by_key(|(.., judging)| *judging).unwrap();
    println!("slowest: {} {:?}", slowest.0, slowest.3);
    println!(
        "fixed: {:?} of volumes, {:?} flat, {:?} of a stream; {} refusals",
        good[0],
        good[1],
        good[2],
        refused.len()
    );
    println!("worst share: {:.3}", share(&refused[0]));
    println!("slowest ms: {:.3}", slowest.3.as_secs_f64() * 1000.0);
}
