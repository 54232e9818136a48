//! The programs that packmule is compared with, with as many transfers at once and parts of the
//! same size. The SDKs' time is that of the transfer alone, without the start of Python.

use super::super::JOBS;
use super::store::{Kind, PREFIX, Store};
use super::timed;
use crate::install::{self, Tools};
use crate::services::storage::BUCKET;
use crate::shell::{self, Failed};
use std::path::Path;

/// A program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// `rclone copy`.
    Rclone,
    /// The cloud's own SDK for Python.
    Sdk,
}

const BOTO: &str = "
import os, sys, time, boto3
from botocore.config import Config
from boto3.s3.transfer import TransferConfig
action, folder, endpoint, bucket, prefix, jobs = sys.argv[1:]
client = boto3.client('s3', endpoint_url=endpoint, aws_access_key_id=os.environ['BENCH_ID'],
    aws_secret_access_key=os.environ['BENCH_SECRET'], region_name='us-east-1',
    config=Config(s3={'addressing_style': 'path'}, max_pool_connections=2 * int(jobs)))
transfer = TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=8 << 20, max_concurrency=int(jobs))
begin = time.monotonic()
if action == 'upload':
    for name in sorted(os.listdir(folder)):
        client.upload_file(os.path.join(folder, name), bucket, prefix + '/' + name, Config=transfer)
else:
    for found in client.list_objects_v2(Bucket=bucket, Prefix=prefix + '/')['Contents']:
        name = os.path.join(folder, os.path.basename(found['Key']))
        client.download_file(bucket, found['Key'], name, Config=transfer)
print(time.monotonic() - begin)
";

const AZURE: &str = "
import os, sys, time
from azure.storage.blob import ContainerClient
action, folder, endpoint, bucket, prefix, jobs = sys.argv[1:]
client = ContainerClient(endpoint, bucket, credential=os.environ['BENCH_SECRET'],
    max_block_size=16 << 20, max_single_put_size=16 << 20)
begin = time.monotonic()
if action == 'upload':
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), 'rb') as content:
            client.upload_blob(prefix + '/' + name, content, max_concurrency=int(jobs))
else:
    for found in client.list_blobs(name_starts_with=prefix + '/'):
        with open(os.path.join(folder, os.path.basename(found.name)), 'wb') as into:
            client.download_blob(found.name, max_concurrency=int(jobs)).readinto(into)
print(time.monotonic() - begin)
";

impl Peer {
    /// Returns its name.
    pub const fn name(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Rclone, _) => "rclone",
            (Self::Sdk, Kind::S3) => "boto3",
            (Self::Sdk, Kind::Azure) => "azure-storage-blob",
        }
    }

    /// Uploads all files of `folder`. Returns the seconds it took.
    pub fn upload(self, store: &Store, tools: &Tools, folder: &Path) -> Result<f64, Failed> {
        let (from, to) = (folder.display().to_string(), format!("bench:{BUCKET}/{PREFIX}"));
        match self {
            Self::Rclone => rclone(store, tools, &from, &to),
            Self::Sdk => python(store, "upload", folder),
        }
    }

    /// Downloads all files into `folder`. Returns the seconds it took.
    pub fn download(self, store: &Store, tools: &Tools, folder: &Path) -> Result<f64, Failed> {
        let (from, to) = (format!("bench:{BUCKET}/{PREFIX}"), folder.display().to_string());
        match self {
            Self::Rclone => rclone(store, tools, &from, &to),
            Self::Sdk => python(store, "download", folder),
        }
    }
}

fn rclone(store: &Store, tools: &Tools, from: &str, to: &str) -> Result<f64, Failed> {
    let jobs = JOBS.to_string();
    let mut command = shell::command(tools.get("rclone")?);
    command.args(["copy", from, to, "--config", "/dev/null", "--multi-thread-streams", &jobs]);
    match store.kind {
        Kind::S3 => command.args(["--s3-upload-concurrency", &jobs, "--s3-chunk-size", "8Mi", "--s3-no-check-bucket"]),
        Kind::Azure => command.args(["--azureblob-upload-concurrency", &jobs, "--azureblob-chunk-size", "16Mi"]),
    };
    timed(command.envs(store.variables()))
}

fn python(store: &Store, action: &str, folder: &Path) -> Result<f64, Failed> {
    let (program, script) = match store.kind {
        Kind::S3 => (install::storage::environment().join("bin/python"), BOTO),
        Kind::Azure => (install::azure::python()?, AZURE),
    };
    let mut command = shell::command(program);
    command.args(["-c", script, action]).arg(folder).args([&store.endpoint(), BUCKET, PREFIX, &JOBS.to_string()]);
    let told = shell::output(command.envs(store.variables()))?;
    told.trim().parse().map_err(|_| Failed::new(format!("python: expected seconds, found {told:?}")))
}
