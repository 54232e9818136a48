//! `copy` compared with skopeo, regctl, crane and oras: the set from one registry to another, then
//! again with nothing to do. Tools that copy one image per process run as many processes at once as
//! packmule has transfers.

use super::transfer::parallel;
use super::{Bench, references};
use crate::corpus;
use crate::services::Services;
use crate::shell::{self, Failed};
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

/// Number of runs of each measurement. The best one counts.
const ROUNDS: usize = 2;

/// A way to copy all references of `source` to `target`.
type Way<'a> = Box<dyn Fn(&str) -> Result<f64, Failed> + 'a>;

impl Bench {
    /// Measures first and second copies with every tool in turn.
    pub(super) fn copy(&mut self, layout: &Path) -> Result<(), Failed> {
        self.clear()?;
        let mut running = Services::none("bench")?;
        let source = running.open(&self.tools, "source")?.to_string();
        corpus::seed::push(&self.tools, layout, &source)?;
        let all = references(layout, &source)?;
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let mut peak: f64 = 0.0;
        for (name, way) in self.ways(&source, &all)? {
            let (mut cold, mut warm) = (f64::INFINITY, f64::INFINITY);
            for _ in 0..ROUNDS {
                let mut empty = Services::none("target")?;
                let target = empty.open(&self.tools, "target")?.to_string();
                cold = cold.min(way(&target)?);
                warm = warm.min(way(&target)?);
            }
            println!("{name:9} first {cold:6.2} s, again {warm:6.2} s");
            first.push(cold);
            second.push(warm);
        }
        for _ in 0..ROUNDS {
            let mut empty = Services::none("target")?;
            let target = empty.open(&self.tools, "target")?.to_string();
            peak = peak.max(self.packmule(&copying(&all, &target, &[]))?.peak);
        }
        let best = |times: &[f64]| times.iter().skip(1).copied().fold(f64::INFINITY, f64::min);
        self.at_most("copy: first / best of the others", first[0] / best(&first), 1.0);
        self.at_most("copy: again / best of the others", second[0] / best(&second), 0.5);
        self.at_most("copy: peak MiB", peak, 150.0);
        Ok(())
    }

    /// Measures the memory of 16 transfers of 2 GiB at once between two registries. The target
    /// takes 32 GiB of disk.
    pub(super) fn many(&mut self, layout: &Path) -> Result<(), Failed> {
        self.clear()?;
        let mut running = Services::none("bench")?;
        let source = running.open(&self.tools, "source")?.to_string();
        place(layout, &running.store("source"), &source)?;
        let target = running.open(&self.tools, "target")?.to_string();
        let all = references(layout, &source)?;
        let spent = self.packmule(&copying(&all, &target, &["--jobs", "16"]))?;
        println!("many: {:.1} s", spent.seconds);
        self.at_most("many: copy peak MiB", spent.peak, 150.0);
        Ok(())
    }

    /// Returns the way of each tool, with packmule first.
    fn ways<'a>(&'a self, source: &'a str, all: &'a [String]) -> Result<Vec<(&'static str, Way<'a>)>, Failed> {
        let (skopeo, regctl) = (self.tools.get("skopeo")?, self.tools.get("regctl")?);
        let (crane, oras) = (self.tools.get("crane")?, self.tools.get("oras")?);
        let there = move |target: &str, name: &str| name.replacen(source, target, 1);
        let list = self.work.join("sync.yaml");
        let images: String =
            all.iter().filter_map(|name| sync_entry(name.strip_prefix(source)?.trim_start_matches('/'))).collect();
        std::fs::write(&list, format!("{source}:\n  tls-verify: false\n  images:\n{images}"))?;
        let plain = move |target: &str| [format!("reg={source},tls=disabled"), format!("reg={target},tls=disabled")];
        Ok(vec![
            (
                "packmule",
                Box::new(move |target: &str| {
                    Ok(self.packmule(&copying(all, target, &["--referrers", "none"]))?.seconds)
                }) as Way<'a>,
            ),
            (
                "skopeo",
                Box::new(move |target: &str| {
                    let mut command = shell::command(skopeo);
                    command.args(["sync", "--all", "--src", "yaml", "--dest", "docker", "--dest-tls-verify=false"]);
                    timed(|| shell::quiet(command.arg(&list).arg(target)))
                }),
            ),
            (
                "regctl",
                Box::new(move |target: &str| {
                    let hosts = plain(target);
                    parallel(all, |name| {
                        let mut command = shell::command(regctl);
                        command.args(["--host", &hosts[0], "--host", &hosts[1], "image", "copy", name]);
                        shell::quiet(command.arg(there(target, name)))
                    })
                }),
            ),
            (
                "crane",
                Box::new(move |target: &str| {
                    parallel(all, |name| {
                        shell::quiet(shell::command(crane).args(["copy", "--insecure", name, &there(target, name)]))
                    })
                }),
            ),
            (
                "oras",
                Box::new(move |target: &str| {
                    parallel(all, |name| {
                        let args = ["cp", "--no-tty", "--from-plain-http", "--to-plain-http"];
                        shell::quiet(shell::command(oras).args(args).arg(name).arg(there(target, name)))
                    })
                }),
            ),
        ])
    }
}

/// Puts a layout's blobs directly into the store of a distribution registry, keeping holes, and
/// pushes its manifest.
fn place(layout: &Path, store: &Path, host: &str) -> Result<(), Failed> {
    let expected: Vec<Value> = serde_json::from_slice(&std::fs::read(layout.join("expected.json"))?)?;
    let [image] = &expected[..] else { return Err(Failed::new("bench: expected one image")) };
    let (repository, tag) = (&image["repository"], &image["tag"]);
    let (Some(repository), Some(tag), Some(own)) = (repository.as_str(), tag.as_str(), image["digest"].as_str()) else {
        return Err(Failed::new("bench: expected an image with a tag"));
    };
    let root = store.join("docker/registry/v2");
    for blob in std::fs::read_dir(layout.join("blobs/sha256"))? {
        let blob = blob?;
        let hex = blob.file_name().to_string_lossy().into_owned();
        let data = root.join("blobs/sha256").join(&hex[..2]).join(&hex);
        let link = root.join("repositories").join(repository).join("_layers/sha256").join(&hex);
        std::fs::create_dir_all(&data)?;
        std::fs::create_dir_all(&link)?;
        std::fs::hard_link(blob.path(), data.join("data"))?;
        std::fs::write(link.join("link"), format!("sha256:{hex}"))?;
    }
    let kind = format!("Content-Type: {}", image["mediaType"].as_str().unwrap_or_default());
    let body = format!("@{}", layout.join("blobs").join(own.replace(':', "/")).display());
    let url = format!("http://{host}/v2/{repository}/manifests/{tag}");
    shell::quiet(shell::command("curl").args(["-sf", "-X", "PUT", "-H", &kind, "--data-binary", &body, &url]))
}

/// Returns the arguments of `packmule copy` for everything.
fn copying<'a>(all: &'a [String], target: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["copy", "--to", target];
    args.extend(more);
    args.extend(all.iter().map(String::as_str));
    args
}

/// Returns `repository: [tag]` in the format of skopeo's list.
fn sync_entry(name: &str) -> Option<String> {
    let (repository, tag) = name.rsplit_once(':')?;
    Some(format!("    {repository}:\n      - \"{tag}\"\n"))
}

fn timed(work: impl FnOnce() -> Result<(), Failed>) -> Result<f64, Failed> {
    let begin = Instant::now();
    work()?;
    Ok(begin.elapsed().as_secs_f64())
}
