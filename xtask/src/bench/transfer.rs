//! Reference for export and import: plain curl on the same blobs, with as many transfers at once.

use super::JOBS;
use crate::shell::{self, Failed};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

/// A leaf blob, in one repository that contains it.
pub struct Blob {
    repository: String,
    digest: String,
    /// Size in bytes.
    pub size: u64,
}

/// Returns every config and layer of a layout, without duplicates.
pub fn blobs(layout: &Path) -> Result<Vec<Blob>, Failed> {
    let expected: Vec<Value> = serde_json::from_slice(&std::fs::read(layout.join("expected.json"))?)?;
    let mut found: BTreeMap<String, Blob> = BTreeMap::new();
    for entry in &expected {
        let digest = text(entry, "digest");
        let document: Value = serde_json::from_slice(&std::fs::read(path(layout, &digest))?)?;
        for leaf in document["layers"].as_array().into_iter().flatten().chain([&document["config"]]) {
            let digest = text(leaf, "digest");
            let size = leaf["size"].as_u64().unwrap_or_default();
            found.entry(digest.clone()).or_insert(Blob { repository: text(entry, "repository"), digest, size });
        }
    }
    Ok(found.into_values().collect())
}

/// Downloads all blobs from `host`, with SHA-256 and a write. Returns the seconds it took.
pub fn download(blobs: &[Blob], host: &str, to: &Path) -> Result<f64, Failed> {
    std::fs::create_dir_all(to)?;
    let script = "set -eu; curl -sf \"$1\" | tee \"$2\" | openssl dgst -sha256 -r";
    parallel(blobs, |blob| {
        let url = format!("http://{host}/v2/{}/blobs/{}", blob.repository, blob.digest);
        let file = to.join(blob.digest.replace(':', "-"));
        let told = shell::output(shell::command("sh").args(["-c", script, "download", &url]).arg(&file))?;
        let right = told.split(' ').next() == blob.digest.strip_prefix("sha256:");
        if right { Ok(()) } else { Err(Failed::new(format!("curl: {url}: expected {}, found {told}", blob.digest))) }
    })
}

/// Uploads all blobs to `host`, each by POST and one PUT. Returns the seconds it took.
pub fn upload(blobs: &[Blob], layout: &Path, host: &str) -> Result<f64, Failed> {
    let location = "%header{location}";
    parallel(blobs, |blob| {
        let url = format!("http://{host}/v2/{}/blobs/uploads/", blob.repository);
        let session =
            shell::output(shell::command("curl").args(["-sf", "-o", "/dev/null", "-w", location, "-X", "POST", &url]))?;
        let mark = if session.contains('?') { '&' } else { '?' };
        let put = format!("{session}{mark}digest={}", blob.digest);
        shell::quiet(shell::command("curl").args(["-sf", "-T"]).arg(path(layout, &blob.digest)).arg(&put))
    })
}

/// Runs `work` on all items, `JOBS` at once. Returns the seconds it took.
pub fn parallel<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<(), Failed> + Sync) -> Result<f64, Failed> {
    let next = Mutex::new(items.iter());
    let begin = Instant::now();
    let ended: Vec<Result<(), Failed>> = std::thread::scope(|scope| {
        let worker = || {
            loop {
                let item = next.lock().map_err(|_| Failed::new("a worker panicked"))?.next();
                let Some(item) = item else { return Ok(()) };
                work(item)?;
            }
        };
        let workers: Vec<_> = (0..JOBS).map(|_| scope.spawn(worker)).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|_| Err(Failed::new("a worker panicked")))
        };
        workers.into_iter().map(join).collect()
    });
    let seconds = begin.elapsed().as_secs_f64();
    ended.into_iter().collect::<Result<(), _>>()?;
    Ok(seconds)
}

fn path(layout: &Path, digest: &str) -> std::path::PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}
