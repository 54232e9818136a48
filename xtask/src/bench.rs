//! `cargo xtask bench
//! [set|large|forms|blobs|artifacts|manifest|worst|memory|copy|import|many|delta|plan|policy|serve|shards|storage]`:
//! packmule compared with the machine's limits, as ratios within one run, with files in the page
//! cache. A number after `storage` is the size of its bundle in MiB, otherwise 2048.
//!
//! Every measurement has a reference: runs on the same bytes and the same kind of registry
//! alternate, and the best of each are compared. A ratio outside its limit is a failure.

mod copy;
mod counted;
mod counter;
mod crowd;
mod delta;
mod forms;
mod import;
mod manifest;
mod memory;
mod plan;
mod policy;
mod serve;
mod shards;
mod speed;
mod storage;
mod transfer;
mod volumes;
mod worst;

use crate::corpus;
use crate::install::{self, Tools};
use crate::shell::{self, Failed};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

/// Number of transfers at once. packmule's default.
const JOBS: usize = 8;

/// State of one run.
struct Bench {
    tools: Tools,
    packmule: PathBuf,
    work: PathBuf,
    failures: Vec<String>,
}

/// Cost of one run of a program: wall time in seconds, peak memory in MiB.
#[derive(Clone, Copy)]
struct Spent {
    seconds: f64,
    peak: f64,
}

impl Spent {
    /// Returns the lower time and the higher peak.
    fn best(self, other: Self) -> Self {
        Self { seconds: self.seconds.min(other.seconds), peak: self.peak.max(other.peak) }
    }
}

/// Builds everything in release mode, then measures the given parts, or all. `delta` alone only
/// counts bytes, which are the same in every build.
pub fn run(root: &Path, parts: &[&str]) -> Result<(), Failed> {
    let is_timed = parts != ["delta"];
    if cfg!(debug_assertions) && is_timed {
        // The loops of the references must be optimized too.
        let args = ["run", "--quiet", "--release", "--package", "xtask", "--", "bench"];
        return shell::run(shell::command("cargo").current_dir(root).args(args).args(parts));
    }
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    shell::stage("build", || {
        let profile: &[&str] = if is_timed { &["--release"] } else { &[] };
        shell::run(shell::command("cargo").current_dir(root).args(["build", "--quiet"]).args(profile))
    })?;
    let tools = shell::stage("install", install::all)?;
    if !Path::new("/usr/bin/time").is_file() {
        install::apt(&["time"])?;
    }
    let work = shell::target().join("bench");
    let packmule = shell::target().join(if is_timed { "release/packmule" } else { "debug/packmule" });
    let mut bench = Bench { tools, packmule, work, failures: Vec::new() };
    if wanted("delta") {
        let month = shell::stage("corpus", || corpus::test(&bench.tools))?;
        shell::stage("delta", || bench.delta(&month))?;
    }
    if !is_timed {
        return bench.end();
    }
    if wanted("policy") {
        shell::stage("policy", || bench.policy())?;
    }
    if wanted("plan") {
        shell::stage("plan", || bench.plan())?;
    }
    if wanted("serve") {
        shell::stage("serve", || bench.serve())?;
        if parts != ["serve", "small"] {
            shell::stage("serve, a bundle of 10 GiB", || bench.serve_start(&corpus::sparse(10)?))?;
        }
    }
    if wanted("shards") {
        let even = shell::stage("corpus", corpus::even)?;
        shell::stage("shards", || bench.shards(&even))?;
    }
    if wanted("storage") {
        let mib = parts.iter().find_map(|part| part.parse().ok()).unwrap_or(2048);
        shell::stage("storage", || bench.storage(mib))?;
        // 10 GiB next to the usual bundle.
        let gib = (mib * 5 / 1024).max(1);
        shell::stage(&format!("storage, a bundle of {gib} GiB"), || bench.storage_memory(gib))?;
    }
    if wanted("worst") {
        shell::stage("worst", || bench.worst(root))?;
    }
    if wanted("manifest") {
        shell::stage("manifest", || bench.manifest())?;
    }
    if wanted("blobs") {
        let (few, many) = shell::stage("corpus", || Ok((corpus::crowd(1)?, corpus::crowd(10)?)))?;
        shell::stage("blobs", || bench.crowd(&few, &many))?;
    }
    if wanted("artifacts") {
        let (few, many) = shell::stage("corpus", || Ok((corpus::artifacts(2_500)?, corpus::artifacts(5_000)?)))?;
        shell::stage("artifacts", || bench.artifacts(&few, &many))?;
    }
    if wanted("import") {
        // `bench import small` is a look at whether it works.
        let count = if parts.contains(&"small") { 300 } else { 5_000 };
        let crowd = shell::stage("corpus", || corpus::artifacts(u64::from(count)))?;
        shell::stage("planning", || bench.planning(&crowd, count))?;
        if parts == ["import", "small"] {
            shell::stage("import", || bench.import(&crowd))?;
            return bench.end();
        }
    }
    let alone = ["worst", "manifest", "blobs", "artifacts", "plan", "policy", "serve", "shards", "small", "storage"];
    if parts.iter().all(|part| alone.contains(part) || part.parse::<u64>().is_ok()) && !parts.is_empty() {
        return bench.end();
    }
    let (set, large) = shell::stage("corpus", corpus::bench)?;
    if wanted("forms") {
        shell::stage("forms", || bench.forms(&set))?;
    }
    for (name, layout) in [("set", &set), ("large", &large)] {
        if wanted(name) {
            shell::stage(name, || bench.speed(name, layout))?;
        }
    }
    if wanted("memory") {
        for gib in [2, 10] {
            shell::stage(&format!("memory, a layer of {gib} GiB"), || bench.memory(&corpus::sparse(gib)?))?;
        }
    }
    if wanted("copy") {
        shell::stage("copy", || bench.copy(&set))?;
    }
    if wanted("import") {
        shell::stage("import", || bench.import(&set))?;
    }
    if wanted("many") {
        shell::stage("many", || bench.many(&corpus::many()?))?;
    }
    bench.end()
}

impl Bench {
    /// Cleans up. Fails if a result is outside its limit.
    fn end(self) -> Result<(), Failed> {
        drop(std::fs::remove_dir_all(&self.work));
        if self.failures.is_empty() { Ok(()) } else { Err(Failed::new(self.failures.join("\n"))) }
    }

    /// Creates an empty folder for the next measurement.
    fn clear(&self) -> Result<(), Failed> {
        drop(std::fs::remove_dir_all(&self.work));
        Ok(std::fs::create_dir_all(&self.work)?)
    }

    /// Makes a key pair. Returns the private and the public file.
    fn key(&self) -> Result<(String, String), Failed> {
        let key = self.work.join("key.pem");
        shell::quiet(shell::command(&self.packmule).args(["key", "new", "--no-passphrase", "-o"]).arg(&key))?;
        Ok((key.display().to_string(), self.work.join("key.pub.pem").display().to_string()))
    }

    /// Runs packmule under GNU time, which reports the peak memory of the child.
    fn packmule(&self, args: &[&str]) -> Result<Spent, Failed> {
        self.packmule_from(Stdio::null(), args)
    }

    /// Like [`Self::packmule`], with a standard input.
    fn packmule_from(&self, input: Stdio, args: &[&str]) -> Result<Spent, Failed> {
        let told = self.work.join("peak");
        let mut command = shell::command("/usr/bin/time");
        command.args(["-f", "%M", "-o"]).arg(&told).arg(&self.packmule).args(args);
        command.env("XDG_STATE_HOME", self.work.join("state")).stdin(input);
        let begin = Instant::now();
        shell::quiet(&mut command)?;
        let seconds = begin.elapsed().as_secs_f64();
        let text = std::fs::read_to_string(&told)?;
        let kib: f64 = text.trim().parse().map_err(|_| Failed::new(format!("time: no peak in {text:?}")))?;
        Ok(Spent { seconds, peak: kib / 1024.0 })
    }

    /// Exports the references into an empty folder. Returns the bundle.
    fn export(&self, references: &[String], key: &str, more: &[&str]) -> Result<(String, Spent), Failed> {
        let out = self.work.join("out");
        drop(std::fs::remove_dir_all(&out));
        std::fs::create_dir_all(&out)?;
        let bundle = out.join("bench").display().to_string();
        let mut args = vec!["export", "-o", &bundle, "--sign", key];
        args.extend(more);
        args.extend(references.iter().map(String::as_str));
        let spent = self.packmule(&args)?;
        Ok((bundle, spent))
    }

    fn at_most(&mut self, what: &str, found: f64, limit: f64) {
        self.judge(what, found, limit, found <= limit, "at most");
    }

    fn at_least(&mut self, what: &str, found: f64, limit: f64) {
        self.judge(what, found, limit, found >= limit, "at least");
    }

    fn judge(&mut self, what: &str, found: f64, limit: f64, holds: bool, word: &str) {
        let line = format!("{what}: {found:.2}, {word} {limit:.2}");
        println!("{} {line}", if holds { "ok  " } else { "OVER" });
        if !holds {
            self.failures.push(line);
        }
    }
}

/// Returns the number of processors available to this process.
fn cores() -> f64 {
    float(std::thread::available_parallelism().map_or(1, usize::from) as u64)
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Returns everything in the layout that has a tag, as references at `host`.
fn references(layout: &Path, host: &str) -> Result<Vec<String>, Failed> {
    let expected: Vec<Value> = serde_json::from_slice(&std::fs::read(layout.join("expected.json"))?)?;
    let name = |entry: &Value| Some(format!("{host}/{}:{}", entry["repository"].as_str()?, entry["tag"].as_str()?));
    Ok(expected.iter().filter_map(name).collect())
}
