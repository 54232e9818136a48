//! The cost of a month's changes: new tags of some apps over unchanged bases, carried by packmule
//! on top of last month's manifest, and by oras, regctl and skopeo into a layout. Measures bytes,
//! not seconds.

use super::{Bench, references};
use crate::corpus::{bulk, seed};
use crate::services::Services;
use crate::shell::{self, Failed};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::path::Path;

/// Tag of this month.
const TAG: &str = "next";
/// Size in bytes of each app's new layer.
const LAYER: usize = 4 << 20;
/// Apps that change. The others stay as they are.
const APPS: [&str; 4] = ["web", "queue", "raw", "mixed"];

/// Images of this month.
struct Month {
    references: Vec<String>,
    /// Size in bytes of all blobs that did not exist last month.
    new: u64,
}

impl Bench {
    /// Measures the bytes of the delta and of other tools for the same change.
    pub(super) fn delta(&mut self, layout: &Path) -> Result<(), Failed> {
        self.clear()?;
        let mut running = Services::none("bench")?;
        let source = running.open(&self.tools, "source")?.to_string();
        seed::push(&self.tools, layout, &source)?;
        let (key, _) = self.key()?;
        let mut all = references(layout, &source)?;
        let (bundle, _) = self.export(&all, &key, &[])?;
        let whole = bytes_of(&self.work.join("out"), ".tar.zst")?;
        let base = self.work.join("last/bench.json");
        std::fs::create_dir_all(self.work.join("last"))?;
        std::fs::copy(format!("{bundle}.json"), &base)?;
        let month = self.change(layout, &source)?;
        all.extend(month.references.iter().cloned());
        let base = base.display().to_string();
        self.export(&all, &key, &["--base", &base])?;
        let delta = bytes_of(&self.work.join("out"), ".tar.zst")?;
        self.export(&month.references, &key, &["--base", &base])?;
        let alone = bytes_of(&self.work.join("out"), ".tar.zst")?;
        println!(
            "delta: last month {whole} bytes; really new {} bytes in {} images; carried {delta} with all documents, {alone} for the new tags alone",
            month.new,
            month.references.len()
        );
        for (name, carried) in self.others(&month)? {
            println!("{name:9} {carried} bytes, {:.2} x the new ones", ratio(carried, month.new));
            self.at_most(&format!("delta: packmule / {name}"), ratio(delta, carried), 1.0);
        }
        self.at_most("delta: bytes / really new", ratio(delta, month.new), 1.02);
        Ok(())
    }

    /// Gives each app a new tag at `host`, with its last layer and its configuration replaced.
    fn change(&self, layout: &Path, host: &str) -> Result<Month, Failed> {
        let expected: Vec<Value> = serde_json::from_slice(&std::fs::read(layout.join("expected.json"))?)?;
        let mut month = Month { references: Vec::new(), new: 0 };
        for (app, number) in APPS.iter().zip(1..) {
            let repository = format!("corpus/app/{app}");
            let entry = expected.iter().find(|one| one["repository"] == *repository && one["tag"].is_string());
            let digest = entry.and_then(|one| one["digest"].as_str()).unwrap_or_default();
            let mut document = document(layout, digest)?;
            let config = document["config"]["digest"].as_str().unwrap_or_default().to_owned();
            let mut config = self::document(layout, &config)?;
            config["created"] = json!("2021-01-01T00:00:00Z");
            config["author"] = json!(format!("month {number}"));
            let (mut layer, mut state) = (vec![0; LAYER], 9000 + number);
            bulk::fill(&mut state, &mut layer);
            let Some(last) = document["layers"].as_array_mut().and_then(|layers| layers.last_mut()) else {
                return Err(Failed::new(format!("bench: {repository} has no layers")));
            };
            month.new += self.put(host, &repository, &layer, last)?;
            month.new += self.put(host, &repository, config.to_string().as_bytes(), &mut document["config"])?;
            let body = document.to_string();
            month.new += body.len() as u64;
            let kind = format!("Content-Type: {}", document["mediaType"].as_str().unwrap_or_default());
            let url = format!("http://{host}/v2/{repository}/manifests/{TAG}");
            shell::quiet(shell::command("curl").args(["-sf", "-X", "PUT", "-H", &kind, "--data-binary", &body, &url]))?;
            month.references.push(format!("{host}/{repository}:{TAG}"));
        }
        Ok(month)
    }

    /// Uploads a blob and updates `descriptor` to refer to it. Returns its size.
    fn put(&self, host: &str, repository: &str, bytes: &[u8], descriptor: &mut Value) -> Result<u64, Failed> {
        let hex = Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        descriptor["digest"] = json!(format!("sha256:{hex}"));
        descriptor["size"] = json!(bytes.len());
        let file = self.work.join("blob");
        std::fs::write(&file, bytes)?;
        let start = format!("http://{host}/v2/{repository}/blobs/uploads/");
        let told = ["-sf", "-o", "/dev/null", "-w", "%header{location}", "-X", "POST", &start];
        let session = shell::output(shell::command("curl").args(told))?;
        let mark = if session.contains('?') { '&' } else { '?' };
        let put = format!("{session}{mark}digest=sha256:{hex}");
        shell::quiet(shell::command("curl").args(["-sf", "-T"]).arg(&file).arg(&put))?;
        Ok(bytes.len() as u64)
    }

    /// Returns the bytes of blobs that each of the other tools puts into an empty layout for this
    /// month's images.
    fn others(&self, month: &Month) -> Result<Vec<(&'static str, u64)>, Failed> {
        let mut found = Vec::new();
        for name in ["oras", "regctl", "skopeo"] {
            let program = self.tools.get(name)?;
            let to = self.work.join(name);
            let shown = to.display();
            for (reference, number) in month.references.iter().zip(0..) {
                let mut command = shell::command(program);
                match name {
                    "oras" => command
                        .args(["cp", "--no-tty", "--from-plain-http", "--to-oci-layout", reference])
                        .arg(format!("{shown}:{number}")),
                    "regctl" => {
                        let host = reference.split('/').next().unwrap_or_default();
                        command
                            .args(["--host", &format!("reg={host},tls=disabled"), "image", "copy", reference])
                            .arg(format!("ocidir://{shown}:{number}"))
                    }
                    _ => command
                        .args(["copy", "--all", "--src-tls-verify=false", &format!("docker://{reference}")])
                        .arg(format!("oci:{shown}:{number}")),
                };
                shell::quiet(&mut command)?;
            }
            found.push((name, bytes_of(&to.join("blobs/sha256"), "")?));
        }
        Ok(found)
    }
}

fn document(layout: &Path, digest: &str) -> Result<Value, Failed> {
    Ok(serde_json::from_slice(&std::fs::read(layout.join("blobs").join(digest.replace(':', "/")))?)?)
}

/// Returns the total size in bytes of the files in `dir` whose names end in `end`.
fn bytes_of(dir: &Path, end: &str) -> Result<u64, Failed> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(end) {
            sum += entry.metadata()?.len();
        }
    }
    Ok(sum)
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other as f64
}
