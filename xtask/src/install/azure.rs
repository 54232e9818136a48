//! Installs the emulator of Azure's blob storage and Azure's own Python SDK: npm for packages of
//! Node, pip into an environment of its own for Python packages.

use super::{folder, missing};
use crate::shell::{self, Failed};
use std::path::PathBuf;

/// The emulator.
const AZURITE: &str = "azurite@3.35.0";
/// The SDK, a stranger that lists and reads what we wrote.
const SDK: &str = "azure-storage-blob==12.27.1";

/// Returns the emulator's program for Node, for blobs only.
pub fn azurite() -> Result<PathBuf, Failed> {
    present(folder().join("azurite/node_modules/azurite/dist/src/blob/main.js"), "azurite")
}

/// Returns the Python that has the SDK.
pub fn python() -> Result<PathBuf, Failed> {
    present(folder().join("azure-python/bin/python"), "azure-python")
}

fn present(path: PathBuf, name: &str) -> Result<PathBuf, Failed> {
    if path.exists() { Ok(path) } else { Err(Failed::new(format!("{name}: not available here"))) }
}

/// Installs both, unless they are there in exactly these versions.
pub fn all() -> Result<(), Failed> {
    installed("azurite", AZURITE, |into| {
        let npm = &mut shell::command("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--omit=dev", "--prefix"]).arg(into).arg(AZURITE);
        shell::quiet(npm)
    })?;
    installed("azure-python", SDK, |into| {
        let new = || shell::quiet(shell::command("python3").args(["-m", "venv", "--clear"]).arg(into));
        // Debian keeps the module in a package of its own.
        new().or_else(|_| super::apt(&["python3-venv"]).and_then(|()| new()))?;
        shell::quiet(shell::command(into.join("bin/pip")).args(["install", "--quiet", SDK]))
    })
}

fn installed(name: &str, wanted: &str, make: impl Fn(&PathBuf) -> Result<(), Failed>) -> Result<(), Failed> {
    let (into, stamp) = (folder().join(name), folder().join(format!("{name}.version")));
    if into.is_dir() && std::fs::read_to_string(&stamp).is_ok_and(|held| held == wanted) {
        return Ok(());
    }
    std::fs::create_dir_all(&into)?;
    match make(&into) {
        Ok(()) => Ok(std::fs::write(&stamp, wanted)?),
        Err(e) => missing(name, &e),
    }
}
