//! The emulator of Azure's blob storage, with an account and a key of this run, and Azure's own SDK.

use super::{Services, free, random, spawn, wait};
use crate::install::{self, Tools, azure};
use crate::shell::Failed;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// Name of the account.
pub const ACCOUNT: &str = "packmuleazure";

/// Starts the emulator and sets its variables; sets that of the SDK.
pub fn start(running: &mut Services, tools: &Tools) -> Result<(), Failed> {
    // Hexadecimal digits are base64 too.
    let key = random()?;
    match azurite(running, tools, &key, Keeps::InMemory) {
        Ok(address) => {
            running.set("PACKMULE_TEST_AZURITE", address.to_string());
            running.set("PACKMULE_TEST_AZURITE_ACCOUNT", ACCOUNT);
            running.set("PACKMULE_TEST_AZURITE_KEY", key);
        }
        Err(e) => install::missing("PACKMULE_TEST_AZURITE", &e)?,
    }
    match azure::python() {
        Ok(python) => running.set("PACKMULE_TEST_AZURE_PYTHON", python.display().to_string()),
        Err(e) => install::missing("PACKMULE_TEST_AZURE_PYTHON", &e)?,
    }
    Ok(())
}

/// Where the emulator keeps content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// In memory, up to 1 GiB.
    InMemory,
    /// In a folder of the services.
    OnDisk,
}

/// Starts the emulator, which has no containers, with this key of the account.
pub fn azurite(running: &mut Services, tools: &Tools, key: &str, keeps: Keeps) -> Result<SocketAddr, Failed> {
    let (node, program, address) = (tools.get("node")?, azure::azurite()?, free()?);
    let mut command = Command::new(node);
    command.arg(program).args(["--blobHost", "127.0.0.1", "--blobPort", &address.port().to_string()]);
    command.args(["--silent", "--skipApiVersionCheck", "--disableTelemetry"]);
    match keeps {
        Keeps::InMemory => command.args(["--inMemoryPersistence", "--extentMemoryLimit", "1024"]),
        Keeps::OnDisk => command.arg("--location").arg(running.store("azurite")),
    };
    command.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{key}"));
    let index = spawn(running, &command, Stdio::null(), "azurite")?;
    wait(running, index, address, "azurite")?;
    Ok(address)
}
