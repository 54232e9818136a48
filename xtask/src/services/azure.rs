//! The emulator of Azure's blob storage, with an account and a key of this run, and Azure's own SDK.

use super::{Services, free, random, spawn, wait};
use crate::install::{self, Tools, azure};
use crate::shell::Failed;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// Name of the account.
const ACCOUNT: &str = "packmuleazure";

/// Starts the emulator and sets its variables; sets that of the SDK.
pub fn start(running: &mut Services, tools: &Tools) -> Result<(), Failed> {
    // Hexadecimal digits are base64 too.
    let key = random()?;
    match azurite(running, tools, &key) {
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

fn azurite(running: &mut Services, tools: &Tools, key: &str) -> Result<SocketAddr, Failed> {
    let (node, program, address) = (tools.get("node")?, azure::azurite()?, free()?);
    let mut command = Command::new(node);
    command.arg(program).args(["--blobHost", "127.0.0.1", "--blobPort", &address.port().to_string()]);
    command.args(["--silent", "--skipApiVersionCheck", "--disableTelemetry"]);
    command.args(["--inMemoryPersistence", "--extentMemoryLimit", "1024"]);
    command.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{key}"));
    let index = spawn(running, &command, Stdio::null(), "azurite")?;
    wait(running, index, address, "azurite")?;
    Ok(address)
}
