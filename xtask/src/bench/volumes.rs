//! Reference for verify: the speed of one core on the same volumes when it does nothing else.

use crate::shell::Failed;
use sha2::{Digest as _, Sha256};
use std::hint::black_box;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;
use xxhash_rust::xxh64::Xxh64;

/// Bytes per second of one core, over `bytes` of volumes.
pub struct Rates {
    /// Total size of all volumes.
    pub bytes: u64,
    /// Reading through a buffer, with SHA-256 and XXH64.
    pub both: f64,
    /// Reading through a buffer, with SHA-256 only.
    pub sha256: f64,
}

/// Reads every volume in `dir`: once to warm the page cache, then once for each measurement.
pub fn rates(dir: &Path) -> Result<Rates, Failed> {
    of(&list(dir)?)
}

/// Returns the volumes in `dir` in order. Fails if there are none.
pub fn list(dir: &Path) -> Result<Vec<PathBuf>, Failed> {
    let mut volumes: Vec<PathBuf> =
        std::fs::read_dir(dir)?.flatten().map(|entry| entry.path()).filter(|path| is_volume(path)).collect();
    volumes.sort();
    if volumes.is_empty() {
        return Err(Failed::new(format!("bench: no volume in {}", dir.display())));
    }
    Ok(volumes)
}

/// Like [`rates`], for these files.
pub fn of(volumes: &[PathBuf]) -> Result<Rates, Failed> {
    let (bytes, _) = read(volumes, |_| {})?;
    let (mut sum, mut check) = (Sha256::new(), Xxh64::new(0));
    let (_, both) = read(volumes, |block| {
        sum.update(block);
        check.update(block);
    })?;
    black_box((sum.finalize(), check.digest()));
    let mut sum = Sha256::new();
    let (_, sha256) = read(volumes, |block| sum.update(block))?;
    black_box(sum.finalize());
    Ok(Rates { bytes, both, sha256 })
}

fn is_volume(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".tar.zst")
}

/// Returns the bytes read, and the bytes per second.
fn read(volumes: &[PathBuf], mut each: impl FnMut(&[u8])) -> Result<(u64, f64), Failed> {
    let mut bytes = 0;
    let begin = Instant::now();
    for volume in volumes {
        bytes += drain(&mut std::fs::File::open(volume)?, &mut each)?;
    }
    Ok((bytes, super::float(bytes) / begin.elapsed().as_secs_f64()))
}

/// Reads to the end through a buffer. Returns the number of bytes.
pub fn drain(from: &mut impl Read, mut each: impl FnMut(&[u8])) -> Result<u64, Failed> {
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(bytes);
        }
        each(&buffer[..length]);
        bytes += length as u64;
    }
}
