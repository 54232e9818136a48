//! `cargo xtask vectors`: writes `testdata/vectors/`, one scenario per file, for all
//! implementations of `spec/`.
//!
//! The bundles come from a small independent writer (`content`, `frame`, `curve`), which can break
//! any rule. With `--check` nothing is written, and the existing files are compared with the
//! expected ones.

#![allow(clippy::too_many_lines, reason = "the cases are tables")]

mod anchors;
mod apart;
mod artifacts;
mod closure;
mod content;
mod curve;
mod desk;
mod document_forms;
mod documents;
mod ed25519;
mod envelope;
mod flips;
mod forms;
mod frame;
mod good;
mod holders;
mod hybrid;
mod images;
mod indexes;
mod key_files;
mod kinds;
mod limits;
mod manifest;
mod medium;
mod originals;
mod packed;
mod policy;
mod records;
mod referrers;
mod repositories;
mod rules;
mod scene;
mod signature;
mod state;
mod stream;
mod sums;

use crate::shell::Failed;
use scene::Scene;
use std::collections::BTreeMap;
use std::path::Path;

/// All scenes in order of creation.
#[derive(Default)]
struct Book(Vec<Scene>);

impl Book {
    /// Adds a scene under its name: the row of the torture table (or `ok`) and the defect.
    fn add(&mut self, scene: Scene, name: &str, expect: &'static str, comment: &str) {
        self.0.push(scene.named(name, expect, comment));
    }

    /// Adds a scene whose files are changed after signing.
    fn change(&mut self, scene: Scene, name: &str, expect: &'static str, comment: &str, edit: impl FnOnce(&mut Scene)) {
        let mut scene = scene;
        edit(&mut scene);
        self.add(scene, name, expect, comment);
    }
}

/// Returns the file of every vector, by its name.
///
/// # Errors
/// Two vectors with one name, or too few refusals.
pub fn files() -> Result<BTreeMap<String, Vec<u8>>, Failed> {
    let mut book = Book::default();
    good::add(&mut book);
    documents::add(&mut book);
    document_forms::add(&mut book);
    closure::add(&mut book);
    manifest::add(&mut book);
    artifacts::add(&mut book);
    sums::add(&mut book);
    medium::add(&mut book);
    flips::add(&mut book);
    packed::add(&mut book);
    signature::add(&mut book);
    ed25519::add(&mut book);
    stream::add(&mut book);
    forms::add(&mut book);
    policy::add(&mut book);
    key_files::add(&mut book);
    holders::add(&mut book);
    repositories::add(&mut book);
    kinds::add(&mut book);
    limits::add(&mut book);
    rules::add(&mut book);
    referrers::add(&mut book);
    images::add(&mut book);
    indexes::add(&mut book);
    originals::add(&mut book);
    state::add(&mut book);
    records::add(&mut book);
    anchors::add(&mut book);
    apart::add(&mut book);
    hybrid::add(&mut book);
    let passes = book.0.iter().filter(|scene| scene.expect == "PASS").count();
    let refusals = book.0.len() - passes;
    if refusals < 3 * passes {
        return Err(Failed::new(format!("vectors: {refusals} refusals to {passes} successes, expected three times")));
    }
    let mut files = BTreeMap::new();
    for scene in book.0 {
        let bytes = scene.to_bytes();
        if files.insert(scene.name.clone(), bytes).is_some() {
            return Err(Failed::new(format!("vectors: {} exists twice", scene.name)));
        }
    }
    Ok(files)
}

/// Writes the vectors, or with `check` reports which differ from the existing files.
///
/// # Errors
/// Those of [`files`]; a folder that cannot be written; with `check` any difference.
pub fn run(root: &Path, check: bool) -> Result<(), Failed> {
    let folder = root.join("testdata/vectors");
    let files = files()?;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "README.md" && !files.contains_key(&name) {
            if !check {
                std::fs::remove_file(folder.join(&name))?;
            }
            wrong.push(name);
        }
    }
    for (name, bytes) in &files {
        let path = folder.join(name);
        if std::fs::read(&path).is_ok_and(|found| found == *bytes) {
            continue;
        }
        if !check {
            std::fs::write(&path, bytes)?;
        }
        wrong.push(name.clone());
    }
    eprintln!("vectors: {}, {} changed", files.len(), wrong.len());
    if check && !wrong.is_empty() {
        return Err(Failed::new(format!("vectors: run `cargo xtask vectors`; these differ: {}", wrong.join(", "))));
    }
    Ok(())
}
