//! Copies a layout to a registry with other programs: oras writes, crane reads back.
//!
//! packmule is not involved, so that its test input is independent of it.

use crate::install::Tools;
use crate::shell::{self, Failed};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::path::Path;

/// Copies everything in the layout to the registry at `host`, and reads back each expected
/// manifest.
pub fn push(tools: &Tools, layout: &Path, host: &str) -> Result<(), Failed> {
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json"))?)?;
    let expected: Vec<Value> = serde_json::from_slice(&std::fs::read(layout.join("expected.json"))?)?;
    let entries = index["manifests"].as_array().map_or(0, Vec::len);
    // The index does not name the repository of untagged manifests, but the expected list does.
    let mut pushed = 0;
    for entry in expected.iter().filter(|entry| entry["kind"] != "child") {
        let from = format!("{}@{}", layout.display(), text(entry, "digest"));
        let to = target(entry, host);
        shell::quiet(shell::command(tools.get("oras")?).args([
            "cp",
            "--no-tty",
            "--from-oci-layout",
            &from,
            "--to-plain-http",
            &to,
        ]))?;
        pushed += 1;
    }
    if pushed != entries {
        return Err(Failed::new(format!("corpus: pushed {pushed} of {entries} index entries")));
    }
    for entry in &expected {
        check(tools, entry, host)?;
    }
    Ok(())
}

/// Reads back one manifest by tag, otherwise by digest, and hashes it.
fn check(tools: &Tools, entry: &Value, host: &str) -> Result<(), Failed> {
    let name = match entry["tag"].as_str() {
        Some(_) => target(entry, host),
        None => format!("{}@{}", target(entry, host), text(entry, "digest")),
    };
    let out = shell::command(tools.get("crane")?).args(["manifest", "--insecure", &name]).output()?;
    let found = format!("sha256:{}", super::layout::hex(&Sha256::digest(&out.stdout)));
    if out.status.success() && found == text(entry, "digest") {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    Err(Failed::new(format!("corpus: {name}: expected {}, found {found} {why}", text(entry, "digest"))))
}

fn target(entry: &Value, host: &str) -> String {
    let repository = text(entry, "repository");
    match entry["tag"].as_str() {
        Some(tag) => format!("{host}/{repository}:{tag}"),
        None => format!("{host}/{repository}"),
    }
}

fn text<'a>(entry: &'a Value, member: &str) -> &'a str {
    entry[member].as_str().unwrap_or_default()
}
