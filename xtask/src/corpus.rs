//! `cargo xtask corpus`: real images for the tests, built once from Debian's own bits and kept under `target/corpus`.
//!
//! The result is an OCI image layout whose references read `repository:tag`, and beside it `expected.json`: every
//! manifest that a faithful carrier must bring along. packmule itself is never used to make it.

pub mod base;
pub mod bulk;
pub mod layers;
pub mod layout;
pub mod recipe;
pub mod seed;
pub mod umoci;

use crate::install::Tools;
use crate::shell::{self, Failed};
use std::path::{Path, PathBuf};

/// The recipe's version: raise it with every change of what is built.
const RECIPE: &str = "2";

/// The folder with all that is built here.
pub fn folder() -> PathBuf {
    shell::target().join("corpus")
}

/// Builds the test corpus unless it is there; gives its layout.
pub fn test(tools: &Tools) -> Result<PathBuf, Failed> {
    cached("test", |partial, work| recipe::build(tools, partial, work))
}

/// Builds the bench corpora unless they are there: the set, and the one large layer.
pub fn bench() -> Result<(PathBuf, PathBuf), Failed> {
    let set = cached("bench/set", |partial, _| bulk::set(partial))?;
    let large = cached("bench/large", |partial, _| bulk::large(partial))?;
    Ok((set, large))
}

/// Builds the image of one sparse layer of so many GiB unless it is there.
pub fn sparse(gib: u64) -> Result<PathBuf, Failed> {
    cached(&format!("bench/sparse{gib}"), |partial, _| bulk::sparse(partial, gib))
}

/// Builds the image of sixteen sparse layers of 2 GiB unless it is there.
pub fn many() -> Result<PathBuf, Failed> {
    cached("bench/many", |partial, _| bulk::many(partial))
}

/// Builds so many images of 10,000 small layers each unless they are there.
pub fn crowd(images: u64) -> Result<PathBuf, Failed> {
    cached(&format!("bench/crowd{images}"), |partial, _| bulk::crowd(partial, images))
}

/// Builds so many small images unless they are there.
pub fn artifacts(images: u64) -> Result<PathBuf, Failed> {
    cached(&format!("bench/artifacts{images}"), |partial, _| bulk::artifacts(partial, images))
}

/// Makes `name` under a partial name, stamps it with the recipe, and only then gives it its own.
fn cached(name: &str, build: impl FnOnce(&Path, &Path) -> Result<(), Failed>) -> Result<PathBuf, Failed> {
    let done = folder().join(name);
    let stamp = done.join("recipe");
    if std::fs::read_to_string(&stamp).is_ok_and(|held| held == RECIPE) {
        return Ok(done);
    }
    let partial = folder().join(format!("{name}.partial"));
    let work = folder().join(format!("{name}.work"));
    for dir in [&partial, &work, &done] {
        empty(dir)?;
    }
    build(&partial, &work)?;
    std::fs::write(partial.join("recipe"), RECIPE)?;
    std::fs::remove_dir_all(&done)?;
    std::fs::rename(&partial, &done)?;
    std::fs::remove_dir_all(&work)?;
    Ok(done)
}

/// An empty folder, whatever was there.
fn empty(dir: &Path) -> Result<(), Failed> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    Ok(std::fs::create_dir_all(dir)?)
}
