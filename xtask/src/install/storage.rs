//! Installs the blob stores that tests need, and the clouds' own SDKs as strangers: Go's client for Go modules, pip
//! into an environment of its own for Python packages.

use super::{GoProgram, folder, missing};
use crate::shell::{self, Failed};
use std::path::PathBuf;

/// Programs installed by `go install`. rclone takes about three minutes.
pub const GO: &[GoProgram] = &[
    ("rclone", "github.com/rclone/rclone", "v1.76.0"),
    ("fake-gcs-server", "github.com/fsouza/fake-gcs-server", "v1.56.1"),
];

/// Python packages: the second S3 server, and the SDKs of Amazon and Google.
const PYTHON: &[&str] = &["moto[server,s3]==5.2.5", "boto3==1.44.8", "google-cloud-storage==3.17.1"];

/// Returns the folder of the Python environment.
pub fn environment() -> PathBuf {
    folder().join("storage-python")
}

/// Makes the Python environment, unless it has exactly these packages.
pub fn python() -> Result<(), Failed> {
    let stamp = folder().join("storage-python.version");
    let wanted = PYTHON.join(" ");
    if environment().join("bin/python").exists() && std::fs::read_to_string(&stamp).is_ok_and(|held| held == wanted) {
        return Ok(());
    }
    let make = || {
        let new = || shell::quiet(shell::command("python3").args(["-m", "venv", "--clear"]).arg(environment()));
        // Debian keeps the module in a package of its own.
        new().or_else(|_| super::apt(&["python3-venv"]).and_then(|()| new()))?;
        shell::quiet(shell::command(environment().join("bin/pip")).args(["install", "--quiet"]).args(PYTHON))
    };
    match make() {
        Ok(()) => Ok(std::fs::write(&stamp, wanted)?),
        Err(e) => missing("storage-python", &e),
    }
}
