//! `cargo xtask bench`: packmule beside what the machine can do, as ratios of one run, files in the page cache.
//!
//! Every figure stands beside its yardstick, measured minutes apart on the same bytes and the same registry. A ratio
//! outside its limit is a failure.

mod transfer;
mod volumes;

use crate::corpus;
use crate::install::{self, Tools};
use crate::services::Services;
use crate::shell::{self, Failed};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// How many transfers run at once, packmule's own default.
const JOBS: usize = 8;

/// What stays the same for one corpus.
struct Bench<'a> {
    tools: &'a Tools,
    packmule: PathBuf,
    work: PathBuf,
    failures: Vec<String>,
}

/// One run of a program: wall time in seconds, peak memory in MiB.
struct Spent {
    seconds: f64,
    peak: f64,
}

/// Builds everything in release, then measures the set and the large layer.
pub fn run(root: &Path) -> Result<(), Failed> {
    if cfg!(debug_assertions) {
        // The yardstick's own loops must be optimised too.
        let args = ["run", "--quiet", "--release", "--package", "xtask", "--", "bench"];
        return shell::run(shell::command("cargo").current_dir(root).args(args));
    }
    shell::stage("build", || {
        shell::run(shell::command("cargo").current_dir(root).args(["build", "--quiet", "--release"]))
    })?;
    let tools = shell::stage("install", install::all)?;
    if !Path::new("/usr/bin/time").is_file() {
        install::apt(&["time"])?;
    }
    let (set, large) = shell::stage("corpus", corpus::bench)?;
    let work = shell::target().join("bench");
    let packmule = shell::target().join("release/packmule");
    let mut bench = Bench { tools: &tools, packmule, work, failures: Vec::new() };
    for (name, layout) in [("set", &set), ("large", &large)] {
        shell::stage(name, || bench.corpus(name, layout))?;
    }
    drop(std::fs::remove_dir_all(&bench.work));
    if bench.failures.is_empty() { Ok(()) } else { Err(Failed::new(bench.failures.join("\n"))) }
}

impl Bench<'_> {
    fn corpus(&mut self, name: &str, layout: &Path) -> Result<(), Failed> {
        drop(std::fs::remove_dir_all(&self.work));
        std::fs::create_dir_all(&self.work)?;
        let mut running = Services::none("bench")?;
        let source = running.open(self.tools, "source")?.to_string();
        corpus::seed::push(self.tools, layout, &source)?;
        let blobs = transfer::blobs(layout)?;
        let bytes: u64 = blobs.iter().map(|blob| blob.size).sum();
        println!("{name}: {} blobs, {:.2} GB", blobs.len(), gigabytes(bytes));

        let (key, public) = self.key()?;
        let list = self.work.join("list.txt");
        std::fs::write(&list, references(layout, &source)?)?;
        let place = self.work.join("downloads");
        let plain = transfer::download(&blobs, &source, &place)?;
        std::fs::remove_dir_all(&place)?;
        let out = self.work.join("out");
        let export = |more: &[&str]| {
            drop(std::fs::remove_dir_all(&out));
            std::fs::create_dir_all(&out)?;
            let mut command = Command::new("");
            command
                .arg("export")
                .arg("-f")
                .arg(&list)
                .arg("-o")
                .arg(out.join("bench"))
                .arg("--sign")
                .arg(&key)
                .args(more);
            self.packmule(&command)
        };
        let with = export(&[])?;
        let without = export(&["--no-read-back"])?;
        let over = |spent: &Spent, base: f64| spent.seconds / base;
        println!("export: curl {plain:.2} s, packmule {:.2} s, with read-back {:.2} s", without.seconds, with.seconds);
        self.at_most(&format!("{name}: export / curl"), over(&without, plain), 1.15);
        self.at_most(&format!("{name}: export peak MiB"), with.peak.max(without.peak), 320.0);

        let bundle = out.join("bench");
        let rates = volumes::rates(&out)?;
        let mut command = Command::new("");
        command.arg("verify").arg(&bundle).arg("--key").arg(&public);
        let verify = self.packmule(&command)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        #[allow(clippy::cast_precision_loss, reason = "figures for people")]
        let (size, cores) = (rates.bytes as f64, cores as f64);
        let rate = size / verify.seconds;
        println!(
            "verify: {:.2} GB/s; a core reads, takes SHA-256 and XXH64 at {:.2}, SHA-256 alone at {:.2}; share of the latter {:.2}",
            rate / 1e9,
            rates.both / 1e9,
            rates.sha256 / 1e9,
            rate / (cores * rates.sha256)
        );
        if name == "set" {
            self.at_least("set: verify / (cores x one core)", rate / (cores * rates.both), 0.90);
        }
        self.at_most(&format!("{name}: verify peak MiB"), verify.peak, 100.0);

        let target = running.open(self.tools, "curl")?.to_string();
        let plain = transfer::upload(&blobs, layout, &target)?;
        let target = running.open(self.tools, "packmule")?.to_string();
        let mut command = Command::new("");
        command.arg("import").arg(&bundle).arg("--key").arg(&public).arg("--to").arg(&target);
        let import = self.packmule(&command)?;
        println!("import: curl {plain:.2} s, packmule {:.2} s", import.seconds);
        self.at_most(&format!("{name}: import / curl"), over(&import, plain), 1.10);
        self.at_most(&format!("{name}: import peak MiB"), import.peak, 200.0);
        Ok(())
    }

    /// Makes a key pair; gives the files.
    fn key(&self) -> Result<(PathBuf, PathBuf), Failed> {
        let (key, public) = (self.work.join("key.pem"), self.work.join("key.pub"));
        shell::quiet(shell::command(&self.packmule).args(["key", "new", "--no-passphrase", "-o"]).arg(&key))?;
        std::fs::write(&public, shell::output(shell::command(&self.packmule).args(["key", "public"]).arg(&key))?)?;
        Ok((key, public))
    }

    /// Runs packmule with the arguments of `args` under GNU time, which tells the child's own peak.
    fn packmule(&self, args: &Command) -> Result<Spent, Failed> {
        let told = self.work.join("peak");
        let mut command = shell::command("/usr/bin/time");
        command.args(["-f", "%M", "-o"]).arg(&told).arg(&self.packmule).args(args.get_args());
        command.env("XDG_STATE_HOME", self.work.join("state"));
        let begin = Instant::now();
        shell::quiet(&mut command)?;
        let seconds = begin.elapsed().as_secs_f64();
        let text = std::fs::read_to_string(&told)?;
        let kib: f64 = text.trim().parse().map_err(|_| Failed::new(format!("time: no peak in {text:?}")))?;
        Ok(Spent { seconds, peak: kib / 1024.0 })
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

/// One selector a line: everything in the layout that has a tag, as it stands at `host`.
fn references(layout: &Path, host: &str) -> Result<String, Failed> {
    let expected: Vec<Value> = serde_json::from_slice(&std::fs::read(layout.join("expected.json"))?)?;
    let line = |entry: &Value| Some(format!("{host}/{}:{}\n", entry["repository"].as_str()?, entry["tag"].as_str()?));
    Ok(expected.iter().filter_map(line).collect())
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}
