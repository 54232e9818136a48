//! Blob stores: S3 by rclone, which checks signatures and checksums, and by moto, which pages its lists; Google's JSON
//! interface by fake-gcs-server. And the SDKs of both clouds, which read what was written.

use super::{Services, free, random, settle, spawn, wait};
use crate::install::{self, Tools};
use crate::shell::{self, Failed};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// Bucket that every S3 service has.
pub const BUCKET: &str = "bucket";

/// Starts the stores and sets their variables.
pub fn start(running: &mut Services, tools: &Tools) -> Result<(), Failed> {
    let secret = random()?;
    let rclone = rclone(running, tools, &secret);
    if settle(running, "PACKMULE_TEST_S3", rclone)? {
        running.set("PACKMULE_TEST_S3_BUCKET", BUCKET);
        running.set("PACKMULE_TEST_S3_SECRET", secret);
        running.set("PACKMULE_TEST_RCLONE", tools.get("rclone")?.display().to_string());
    }
    let moto = moto(running);
    settle(running, "PACKMULE_TEST_MOTO", moto)?;
    let google = google(running, tools);
    settle(running, "PACKMULE_TEST_GCS", google)?;
    let python = install::storage::environment().join("bin/python");
    if python.exists() {
        running.set("PACKMULE_TEST_STORAGE_PYTHON", python.display().to_string());
    } else {
        install::missing("PACKMULE_TEST_STORAGE_PYTHON", &Failed::new("not installed"))?;
    }
    Ok(())
}

/// Starts `rclone serve s3` with one bucket, a folder of the services.
pub fn rclone(running: &mut Services, tools: &Tools, secret: &str) -> Result<SocketAddr, Failed> {
    let address = free()?;
    let store = running.store("rclone");
    std::fs::create_dir_all(store.join(BUCKET))?;
    let mut command = Command::new(tools.get("rclone")?);
    command.args(["serve", "s3", "--config", "/dev/null", "--vfs-cache-mode", "off", "--addr", &address.to_string()]);
    // The key stands in the environment: command lines are seen by everyone.
    command.arg(&store).env("RCLONE_AUTH_KEY", format!("\"{},{secret}\"", super::USER));
    let index = spawn(running, &command, Stdio::null(), "rclone")?;
    wait(running, index, address, "rclone")?;
    Ok(address)
}

/// Starts moto's server, which has no buckets and takes any key.
fn moto(running: &mut Services) -> Result<SocketAddr, Failed> {
    let address = free()?;
    let mut command = shell::command(install::storage::environment().join("bin/moto_server"));
    command.args(["-H", &address.ip().to_string(), "-p", &address.port().to_string()]);
    let index = spawn(running, &command, Stdio::null(), "moto")?;
    wait(running, index, address, "moto")?;
    Ok(address)
}

/// Starts fake-gcs-server, which has no buckets and takes any token.
fn google(running: &mut Services, tools: &Tools) -> Result<SocketAddr, Failed> {
    let address = free()?;
    let mut command = Command::new(tools.get("fake-gcs-server")?);
    command.args(["-scheme", "http", "-backend", "memory", "-host", &address.ip().to_string()]);
    command.args(["-port", &address.port().to_string(), "-public-host", &address.to_string()]);
    let index = spawn(running, &command, Stdio::null(), "fake-gcs-server")?;
    wait(running, index, address, "fake-gcs-server")?;
    Ok(address)
}
