//! An emulator for one measurement, and how each program reaches it.

use crate::install::{Tools, azure as sdk};
use crate::services::storage::BUCKET;
use crate::services::{Services, USER, azure, random, storage};
use crate::shell::{self, Failed};
use std::net::SocketAddr;

/// Folder of the bundle in a container.
pub const PREFIX: &str = "bundles";

/// Kind of store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `rclone serve s3`.
    S3,
    /// azurite.
    Azure,
}

impl Kind {
    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Azure => "azure",
        }
    }
}

/// A running store with an empty container, stopped and removed on drop.
pub struct Store {
    /// Its kind.
    pub kind: Kind,
    /// Its address.
    pub address: SocketAddr,
    secret: String,
    _running: Services,
}

const MAKE: &str = "
import os, sys
from azure.storage.blob import BlobServiceClient
BlobServiceClient(sys.argv[1], credential=os.environ['BENCH_SECRET']).create_container(sys.argv[2])
";

impl Store {
    /// Starts one.
    pub fn start(kind: Kind, tools: &Tools) -> Result<Self, Failed> {
        let mut running = Services::none("storage")?;
        let secret = random()?;
        let address = match kind {
            Kind::S3 => storage::rclone(&mut running, tools, &secret)?,
            Kind::Azure => azure::azurite(&mut running, tools, &secret, azure::Keeps::OnDisk)?,
        };
        let store = Self { kind, address, secret, _running: running };
        if kind == Kind::Azure {
            let mut make = shell::command(sdk::python()?);
            make.args(["-c", MAKE, &store.endpoint(), BUCKET]);
            shell::quiet(make.envs(store.variables()))?;
        }
        Ok(store)
    }

    /// Returns the address of the service, or of the account in it.
    pub fn endpoint(&self) -> String {
        match self.kind {
            Kind::S3 => format!("http://{}", self.address),
            Kind::Azure => format!("http://{}/{}", self.address, azure::ACCOUNT),
        }
    }

    /// Returns the configuration of packmule: the container is `storage:bench`.
    pub fn config(&self) -> String {
        let endpoint = self.endpoint();
        match self.kind {
            Kind::S3 => format!(
                "[storage.bench]\nurl = \"s3://{BUCKET}\"\nendpoint = \"{endpoint}\"\ncredential = \"bench\"\n\
                 [credential.bench]\naccess_key_id = \"{USER}\"\nsecret_access_key = {{ env = \"BENCH_SECRET\" }}\n"
            ),
            Kind::Azure => format!(
                "[storage.bench]\nurl = \"{endpoint}/{BUCKET}\"\ncredential = \"bench\"\n\
                 [credential.bench]\naccount_key = {{ env = \"BENCH_SECRET\" }}\n"
            ),
        }
    }

    /// Returns the variables with the secret for packmule and the SDKs, and rclone's remote `bench`.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![("BENCH_SECRET", self.secret.clone()), ("BENCH_ID", USER.to_owned())];
        all.push(("RCLONE_CONFIG_BENCH_ENDPOINT", self.endpoint()));
        match self.kind {
            Kind::S3 => all.extend([
                ("RCLONE_CONFIG_BENCH_TYPE", "s3".to_owned()),
                ("RCLONE_CONFIG_BENCH_PROVIDER", "Rclone".to_owned()),
                ("RCLONE_CONFIG_BENCH_ACCESS_KEY_ID", USER.to_owned()),
                ("RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY", self.secret.clone()),
            ]),
            Kind::Azure => all.extend([
                ("RCLONE_CONFIG_BENCH_TYPE", "azureblob".to_owned()),
                ("RCLONE_CONFIG_BENCH_ACCOUNT", azure::ACCOUNT.to_owned()),
                ("RCLONE_CONFIG_BENCH_KEY", self.secret.clone()),
            ]),
        }
        all
    }
}
