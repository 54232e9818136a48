//! `import` compared with skopeo, regctl, crane and oras, which push the same images from OCI
//! layouts: wall time, requests and bytes sent, first and again. And the plan of an import of very
//! many artifacts that are all there. All of it through a proxy that counts.

use super::counter::Counter;
use super::transfer::parallel;
use super::{Bench, float};
use crate::services::Services;
use crate::shell::{self, Failed};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Number of runs of each measurement. The best one counts.
const ROUNDS: usize = 2;

/// An image as an OCI layout of its own.
struct Image {
    layout: PathBuf,
    repository: String,
    tag: String,
}

/// Cost of one run: seconds, and what was sent.
#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    requests: u64,
    bytes: u64,
}

/// A way to push everything to a registry.
type Way<'a> = Box<dyn Fn(&str) -> Result<(), Failed> + 'a>;

impl Bench {
    /// Measures first and second imports with every tool in turn.
    pub(super) fn import(&mut self, layout: &Path) -> Result<(), Failed> {
        self.clear()?;
        let (key, public) = self.key()?;
        let (bundle, _) = self.export(&[format!("oci:{}", layout.display())], &key, &["--no-read-back"])?;
        let images = self.images(layout)?;
        let (mut first, mut again) = (Vec::new(), Vec::new());
        for (name, way) in self.pushes(&bundle, &public, &images)? {
            let (mut cold, mut warm) = (None, None);
            for _ in 0..ROUNDS {
                let mut empty = Services::none("target")?;
                let counter = Counter::start(empty.open(&self.tools, "target")?)?;
                cold = Some(best(cold, measured(&counter, &way)?));
                warm = Some(best(warm, measured(&counter, &way)?));
            }
            let (Some(cold), Some(warm)) = (cold, warm) else { return Err(Failed::new("bench: no rounds")) };
            println!(
                "{name:9} first {:6.2} s, {:5} requests, {:8.1} MB; again {:6.2} s, {:5} requests, {:6.1} MB",
                cold.seconds,
                cold.requests,
                float(cold.bytes) / 1e6,
                warm.seconds,
                warm.requests,
                float(warm.bytes) / 1e6
            );
            first.push(cold);
            again.push(warm);
        }
        let fastest = |all: &[Cost]| all.iter().skip(1).map(|cost| cost.seconds).fold(f64::INFINITY, f64::min);
        let fewest = |all: &[Cost]| all.iter().skip(1).map(|cost| cost.requests).min().unwrap_or(u64::MAX);
        self.at_most("import: first / fastest of the others", first[0].seconds / fastest(&first), 1.0);
        self.at_most("import: again / fastest of the others", again[0].seconds / fastest(&again), 1.0);
        self.at_most("import: requests / fewest of the others", float(first[0].requests) / float(fewest(&first)), 1.0);
        Ok(())
    }

    /// Measures an import of `count` artifacts that are all there: its plan is all of it.
    pub(super) fn planning(&mut self, layout: &Path, count: u32) -> Result<(), Failed> {
        self.clear()?;
        let (key, public) = self.key()?;
        let (bundle, _) = self.export(&[format!("oci:{}", layout.display())], &key, &["--no-read-back"])?;
        let mut empty = Services::none("target")?;
        let counter = Counter::start(empty.open(&self.tools, "target")?)?;
        let target = counter.address.to_string();
        let import =
            || self.packmule(&["import", &bundle, "--key", &public, "--to", &target]).map(|spent| spent.seconds);
        let first = import()?;
        let (requests, _) = counter.take();
        println!(
            "planning: {count} artifacts arrive in {first:.2} s, {:.2} requests each",
            float(requests) / f64::from(count)
        );
        let mut seconds = f64::INFINITY;
        for _ in 0..ROUNDS {
            seconds = seconds.min(import()?);
        }
        let (requests, _) = counter.take();
        let each = float(requests) / f64::from(count) / float(ROUNDS as u64);
        println!("planning: {count} artifacts that are all there: {seconds:.2} s, {each:.3} requests each");
        self.at_most("planning: requests for each artifact that is there", each, 1.1);
        Ok(())
    }

    /// Makes a layout for each tagged image, with links to the blobs.
    fn images(&self, layout: &Path) -> Result<Vec<Image>, Failed> {
        let expected: Vec<Value> = serde_json::from_slice(&std::fs::read(layout.join("expected.json"))?)?;
        let text = |entry: &Value, member: &str| entry[member].as_str().map(ToOwned::to_owned);
        let mut images = Vec::new();
        for entry in &expected {
            let (Some(repository), Some(tag)) = (text(entry, "repository"), text(entry, "tag")) else { continue };
            let place = self.work.join(format!("layout{}", images.len()));
            std::fs::create_dir_all(place.join("blobs/sha256"))?;
            std::fs::write(place.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
            let digest = text(entry, "digest").unwrap_or_default();
            let mut blobs = BTreeSet::new();
            below(layout, &digest, &mut blobs)?;
            for blob in blobs {
                let path = Path::new("blobs").join(blob.replace(':', "/"));
                std::fs::hard_link(layout.join(&path), place.join(&path))
                    .or_else(|_| std::fs::copy(layout.join(&path), place.join(&path)).map(drop))?;
            }
            let size = std::fs::metadata(layout.join("blobs").join(digest.replace(':', "/")))?.len();
            let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [{
                "mediaType": entry["mediaType"], "digest": digest, "size": size,
                "annotations": { "org.opencontainers.image.ref.name": tag },
            }] });
            std::fs::write(place.join("index.json"), index.to_string())?;
            images.push(Image { layout: place, repository, tag });
        }
        Ok(images)
    }

    /// Returns the way of each tool, with packmule first. Tools that push one image per process run as
    /// many processes at once as packmule has transfers.
    fn pushes<'a>(
        &'a self,
        bundle: &'a str,
        public: &'a str,
        images: &'a [Image],
    ) -> Result<Vec<(&'static str, Way<'a>)>, Failed> {
        let (skopeo, regctl) = (self.tools.get("skopeo")?, self.tools.get("regctl")?);
        let (crane, oras) = (self.tools.get("crane")?, self.tools.get("oras")?);
        let each = move |work: &(dyn Fn(&Image) -> Result<(), Failed> + Sync)| parallel(images, work).map(drop);
        Ok(vec![
            (
                "packmule",
                Box::new(move |target: &str| {
                    self.packmule(&["import", bundle, "--key", public, "--to", target]).map(drop)
                }) as Way<'a>,
            ),
            (
                "skopeo",
                Box::new(move |target: &str| {
                    each(&|image| {
                        let from = format!("oci:{}:{}", image.layout.display(), image.tag);
                        let to = format!("docker://{target}/{}:{}", image.repository, image.tag);
                        let args = ["copy", "--quiet", "--all", "--dest-tls-verify=false"];
                        shell::quiet(shell::command(skopeo).args(args).args([from, to]))
                    })
                }),
            ),
            (
                "regctl",
                Box::new(move |target: &str| {
                    let host = format!("reg={target},tls=disabled");
                    each(&|image| {
                        let from = format!("ocidir://{}:{}", image.layout.display(), image.tag);
                        let to = format!("{target}/{}:{}", image.repository, image.tag);
                        shell::quiet(shell::command(regctl).args(["--host", &host, "image", "copy", &from, &to]))
                    })
                }),
            ),
            (
                "crane",
                Box::new(move |target: &str| {
                    each(&|image| {
                        let to = format!("{target}/{}:{}", image.repository, image.tag);
                        shell::quiet(shell::command(crane).args(["push", "--insecure"]).arg(&image.layout).arg(to))
                    })
                }),
            ),
            (
                "oras",
                Box::new(move |target: &str| {
                    each(&|image| {
                        let from = format!("{}:{}", image.layout.display(), image.tag);
                        let to = format!("{target}/{}:{}", image.repository, image.tag);
                        let args = ["cp", "--no-tty", "--from-oci-layout", "--to-plain-http"];
                        shell::quiet(shell::command(oras).args(args).args([from, to]))
                    })
                }),
            ),
        ])
    }
}

fn measured(counter: &Counter, way: &Way) -> Result<Cost, Failed> {
    counter.take();
    let begin = Instant::now();
    way(&counter.address.to_string())?;
    let seconds = begin.elapsed().as_secs_f64();
    let (requests, bytes) = counter.take();
    Ok(Cost { seconds, requests, bytes })
}

fn best(before: Option<Cost>, now: Cost) -> Cost {
    before.filter(|before| before.seconds <= now.seconds).unwrap_or(now)
}

/// Adds a manifest of a layout and everything below it.
fn below(layout: &Path, digest: &str, all: &mut BTreeSet<String>) -> Result<(), Failed> {
    if !all.insert(digest.to_owned()) {
        return Ok(());
    }
    let document: Value = serde_json::from_slice(&std::fs::read(layout.join("blobs").join(digest.replace(':', "/")))?)?;
    for leaf in document["layers"].as_array().into_iter().flatten().chain([&document["config"]]) {
        all.extend(leaf["digest"].as_str().map(ToOwned::to_owned));
    }
    for child in document["manifests"].as_array().into_iter().flatten() {
        below(layout, child["digest"].as_str().unwrap_or_default(), all)?;
    }
    Ok(())
}
