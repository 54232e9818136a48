//! The SDKs of Amazon and Google read what we wrote, and we read what they wrote.

use std::process::Command;

use packmule::oci::Digest;
use packmule::storage::{Bucket, Condition, Container, gcs};

use super::super::container::{self, Bytes, content};
use super::super::hosts::address;
use super::{Store, fresh, net, secret};

/// Two parts and a bit.
const LENGTH: usize = (16 << 20) + 99;

const BOTO: &str = r"
import sys, hashlib, boto3
from botocore.config import Config
from boto3.s3.transfer import TransferConfig
host, bucket, prefix, key, secret, expected = sys.argv[1:]
s3 = boto3.client('s3', endpoint_url='http://' + host, aws_access_key_id=key, aws_secret_access_key=secret,
    region_name='us-east-1', config=Config(s3={'addressing_style': 'path'}, retries={'max_attempts': 1}))
names = [o['Key'] for p in s3.get_paginator('list_objects_v2').paginate(Bucket=bucket, Prefix=prefix + '/') for o in p.get('Contents', [])]
assert names == [prefix + '/small', prefix + '/volume'], names
body = s3.get_object(Bucket=bucket, Key=prefix + '/volume')['Body'].read()
assert hashlib.sha256(body).hexdigest() == expected
assert s3.get_object(Bucket=bucket, Key=prefix + '/small')['Body'].read() == b'small'
import io
s3.upload_fileobj(io.BytesIO(body[::-1]), bucket, prefix + '/theirs', Config=TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=6 << 20))
";

const GOOGLE: &str = r"
import sys, os
os.environ['STORAGE_EMULATOR_HOST'] = 'http://' + sys.argv[1]
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
client = storage.Client(project='p', credentials=AnonymousCredentials())
bucket = client.create_bucket(sys.argv[2])
for name in ('a/one', 'a/two words', 'b'):
    bucket.blob(name).upload_from_string(name.encode() * 3)
";

fn python(program: &str, args: &[&str]) {
    let python = address("PACKMULE_TEST_STORAGE_PYTHON").unwrap();
    let done = Command::new(python).arg("-c").arg(program).args(args).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn read(bucket: &Bucket, name: &str) -> Vec<u8> {
    let found = bucket.head(name).unwrap().unwrap();
    let mut there = vec![0; usize::try_from(found.size).unwrap()];
    bucket.read_at(name, found.etag.as_deref(), 0, &mut there).unwrap();
    there
}

#[test]
fn t17_amazons_sdk_reads_what_we_wrote() {
    if address("PACKMULE_TEST_STORAGE_PYTHON").is_none() {
        return;
    }
    let net = net(0);
    for store in [Store::strict(), Store::paging("strangers")].into_iter().flatten() {
        let settings = store.settings(None);
        let bucket = net.open(settings.clone());
        let bytes = content(LENGTH, 40);
        let expected = Digest::sha256(&bytes).hex();
        let (flow, _) = container::flow();
        container::upload(&bucket, "volume", &Bytes::new(bytes.clone()), &[], &flow).unwrap();
        bucket.put("small", b"small", &Condition::Absent).unwrap();
        python(BOTO, &[&store.host, &store.bucket, &settings.prefix, &store.id, &store.secret, &expected]);
        let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
        assert!(read(&bucket, "theirs") == reversed, "and we read what it wrote");
    }
}

#[test]
fn t17_we_read_what_googles_sdk_wrote() {
    if address("PACKMULE_TEST_STORAGE_PYTHON").is_none() {
        return;
    }
    let Some(host) = address("PACKMULE_TEST_GCS") else { return };
    let name = fresh();
    python(GOOGLE, &[&host, &name]);
    let settings = gcs::Settings {
        bucket: name,
        prefix: "a".to_owned(),
        endpoint: Some(format!("http://{host}").parse().unwrap()),
        access: gcs::Access::Token(secret("token")),
        journals: None,
    };
    let net = net(0);
    let bucket = gcs::open(settings, &net.network).unwrap();
    assert_eq!(read(&bucket, "one"), b"a/onea/onea/one");
    assert_eq!(read(&bucket, "two words"), b"a/two wordsa/two wordsa/two words");
    assert_eq!(bucket.head("three").unwrap(), None);
    let mut middle = [0; 4];
    bucket.read_at("one", None, 2, &mut middle).unwrap();
    assert_eq!(&middle, b"onea");
}
