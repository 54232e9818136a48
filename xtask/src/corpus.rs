//! `cargo xtask corpus`: real images for the tests, built once from Debian packages and kept under
//! `target/corpus`.
//!
//! The result is an OCI image layout with references of the form `repository:tag`, and
//! `expected.json` next to it, which lists every manifest that a faithful copy must contain.
//! packmule is never used to build it.

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

/// Version of the recipe. Increase it with every change of the contents.
const RECIPE: &str = "2";

/// Returns the folder with everything that is built here.
pub fn folder() -> PathBuf {
    shell::target().join("corpus")
}

/// Builds the test corpus if it does not exist. Returns its layout.
pub fn test(tools: &Tools) -> Result<PathBuf, Failed> {
    cached("test", |partial, work| recipe::build(tools, partial, work))
}

/// Builds the bench corpora if they do not exist: the set, and the one large layer.
pub fn bench() -> Result<(PathBuf, PathBuf), Failed> {
    let set = cached("bench/set", |partial, _| bulk::set(partial))?;
    let large = cached("bench/large", |partial, _| bulk::large(partial))?;
    Ok((set, large))
}

/// Builds the image with one layer of `mib` MiB that no compression makes smaller, if it does not
/// exist.
pub fn single(mib: u64) -> Result<PathBuf, Failed> {
    cached(&format!("bench/single{mib}"), |partial, _| bulk::single(partial, mib))
}

/// Builds the image with one sparse layer of `gib` GiB if it does not exist.
pub fn sparse(gib: u64) -> Result<PathBuf, Failed> {
    cached(&format!("bench/sparse{gib}"), |partial, _| bulk::sparse(partial, gib))
}

/// Builds the image with 16 sparse layers of 2 GiB if it does not exist.
pub fn many() -> Result<PathBuf, Failed> {
    cached("bench/many", |partial, _| bulk::many(partial))
}

/// Builds the image with 48 layers of one size if it does not exist.
pub fn even() -> Result<PathBuf, Failed> {
    cached("bench/even", |partial, _| bulk::even(partial))
}

/// Builds `images` images of 10,000 small layers each if they do not exist.
pub fn crowd(images: u64) -> Result<PathBuf, Failed> {
    cached(&format!("bench/crowd{images}"), |partial, _| bulk::crowd(partial, images))
}

/// Builds `images` small images if they do not exist.
pub fn artifacts(images: u64) -> Result<PathBuf, Failed> {
    cached(&format!("bench/artifacts{images}"), |partial, _| bulk::artifacts(partial, images))
}

/// Builds `name` under a temporary name, marks it with the recipe's version, and then renames it.
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

/// Creates an empty folder, removing any previous content.
fn empty(dir: &Path) -> Result<(), Failed> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    Ok(std::fs::create_dir_all(dir)?)
}
