//! Bundles in containers: upload and download beside rclone and the cloud's own SDK for Python,
//! equally parallel, each against a fresh emulator of the same kind; verification straight from a
//! container beside the download alone; and memory with a large sparse bundle.

mod peak;
mod peers;
mod store;

use self::peers::Peer;
use self::store::{Kind, PREFIX, Store};
use super::{Bench, JOBS, float};
use crate::corpus;
use crate::services::Services;
use crate::shell::{self, Failed};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Number of runs of each measurement. The best one counts.
const ROUNDS: usize = 3;
/// Number of transfers at once where memory is measured.
const MANY: usize = 16;

/// Seconds of one program.
#[derive(Clone, Copy)]
struct Times {
    upload: f64,
    download: f64,
}

impl Times {
    const NONE: Self = Self { upload: f64::INFINITY, download: f64::INFINITY };

    fn best(self, other: Self) -> Self {
        Self { upload: self.upload.min(other.upload), download: self.download.min(other.download) }
    }
}

/// A bundle to be sent.
struct Sent {
    bundle: String,
    folder: PathBuf,
    public: String,
}

impl Bench {
    /// Compares speed with a bundle of `mib` MiB.
    pub(super) fn storage(&mut self, mib: u64) -> Result<(), Failed> {
        let layout = corpus::single(mib)?;
        let sent = self.sent(&layout, &[])?;
        for kind in [Kind::S3, Kind::Azure] {
            self.transfers(kind, mib, &sent)?;
        }
        Ok(())
    }

    /// Writes the bundle of a layout.
    fn sent(&self, layout: &Path, more: &[&str]) -> Result<Sent, Failed> {
        self.clear()?;
        let (key, public) = self.key()?;
        let more = [&["--no-read-back"], more].concat();
        let (bundle, _) = self.export(&[format!("oci:{}", layout.display())], &key, &more)?;
        Ok(Sent { folder: self.work.join("out"), bundle, public })
    }

    /// Returns packmule with the configuration of a store.
    fn with_store(&self, store: &Store, jobs: usize, args: &[&str]) -> Result<Command, Failed> {
        let config = self.work.join("packmule.toml");
        std::fs::write(&config, store.config())?;
        let mut command = shell::command(&self.packmule);
        command.args(args).arg("--config").arg(config).args(["--jobs", &jobs.to_string()]);
        command.env("XDG_STATE_HOME", self.work.join("state")).envs(store.variables());
        Ok(command)
    }

    /// Returns an empty folder for downloads.
    fn down(&self) -> Result<PathBuf, Failed> {
        let down = self.work.join("down");
        drop(std::fs::remove_dir_all(&down));
        std::fs::create_dir_all(&down)?;
        Ok(down)
    }

    /// Measures all programs with one kind of store.
    fn transfers(&mut self, kind: Kind, mib: u64, sent: &Sent) -> Result<(), Failed> {
        let name = kind.name();
        let (mut own, mut verify) = (Times::NONE, f64::INFINITY);
        let mut peers = [(Peer::Rclone, Times::NONE), (Peer::Sdk, Times::NONE)];
        for _ in 0..ROUNDS {
            let store = Store::start(kind, &self.tools)?;
            let place = format!("storage:bench/{PREFIX}");
            let in_store = format!("{place}/bench");
            let down = self.down()?;
            let upload = timed(&mut self.with_store(&store, JOBS, &["upload", &sent.bundle, &place])?)?;
            let to = down.display().to_string();
            let download = timed(&mut self.with_store(&store, JOBS, &["download", &in_store, &to])?)?;
            same_sizes(&sent.folder, &down)?;
            drop(self.down()?);
            own = own.best(Times { upload, download });
            let args = ["verify", &in_store, "--key", &sent.public];
            verify = verify.min(timed(&mut self.with_store(&store, JOBS, &args)?)?);
            drop(store);
            for (peer, best) in &mut peers {
                let store = Store::start(kind, &self.tools)?;
                let down = self.down()?;
                let upload = peer.upload(&store, &self.tools, &sent.folder)?;
                let download = peer.download(&store, &self.tools, &down)?;
                same_sizes(&sent.folder, &down)?;
                drop(self.down()?);
                *best = best.best(Times { upload, download });
            }
        }
        println!(
            "{name}: {mib} MiB; packmule: upload {:.2} s, download {:.2} s, verify there {verify:.2} s",
            own.upload, own.download
        );
        for (peer, times) in &peers {
            println!(
                "     {name}: {}: upload {:.2} s, download {:.2} s",
                peer.name(kind),
                times.upload,
                times.download
            );
        }
        let best = peers.iter().fold(Times::NONE, |best, (_, times)| best.best(*times));
        self.at_most(&format!("{name}: upload / the better of the others"), own.upload / best.upload, 1.1);
        self.at_most(&format!("{name}: download / the better of the others"), own.download / best.download, 1.1);
        self.at_least(&format!("{name}: rate of verify there / of download alone"), own.download / verify, 0.9);
        Ok(())
    }

    /// Measures memory with a layer of `gib` GiB that is nearly all holes, stored and packed.
    pub(super) fn storage_memory(&mut self, gib: u64) -> Result<(), Failed> {
        let layout = corpus::sparse(gib)?;
        for (form, level) in [("stored", "0"), ("packed", "9")] {
            let sent = self.sent(&layout, &["--level", level])?;
            for kind in [Kind::S3, Kind::Azure] {
                self.peaks(kind, &format!("{}, {form}, {gib} GiB", kind.name()), &sent)?;
            }
        }
        Ok(())
    }

    fn peaks(&mut self, kind: Kind, what: &str, sent: &Sent) -> Result<(), Failed> {
        let store = Store::start(kind, &self.tools)?;
        let mut empty = Services::none("storage-import")?;
        let target = empty.open(&self.tools, "packmule")?.to_string();
        let place = format!("storage:bench/{PREFIX}");
        let in_store = format!("{place}/bench");
        let to = self.down()?.display().to_string();
        for (step, args) in [
            ("upload", &["upload", &sent.bundle, &place][..]),
            ("download", &["download", &in_store, &to]),
            ("verify", &["verify", &in_store, "--key", &sent.public]),
            ("import", &["import", &in_store, "--key", &sent.public, "--to", &target]),
        ] {
            let peaks = peak::run(&mut self.with_store(&store, MANY, args)?)?;
            if step == "download" {
                drop(self.down()?);
            }
            if let [_, _, ..] = peaks[..] {
                let each: Vec<String> = peaks.iter().map(|peak| format!("{peak:.0}")).collect();
                println!("     {what}: {step}: MiB of each process, the parser first: {}", each.join(", "));
            }
            self.at_most(&format!("{what}: {step}, -j {MANY}, peak MiB"), peaks.iter().sum(), 200.0);
        }
        Ok(())
    }
}

/// Runs a program to its end and returns the seconds that it took.
fn timed(command: &mut Command) -> Result<f64, Failed> {
    let begin = Instant::now();
    shell::quiet(command)?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Checks that every file of `expected` is in `found` with its size.
fn same_sizes(expected: &Path, found: &Path) -> Result<(), Failed> {
    for entry in std::fs::read_dir(expected)? {
        let entry = entry?;
        let size = entry.metadata()?.len();
        let other = std::fs::metadata(found.join(entry.file_name())).map(|found| found.len());
        if !other.is_ok_and(|other| other == size) {
            let file = entry.file_name();
            return Err(Failed::new(format!("bench: {}: expected {:.0} bytes", file.display(), float(size))));
        }
    }
    Ok(())
}
