//! Azure's own SDK for Python lists and reads what we wrote, and we read what it wrote.

use std::process::Command;

use packmule::storage::{Condition, Container};

use super::site::Site;
use crate::container::{Bytes, content, flow, upload};
use crate::hosts::address;

/// Lists and reads everything, and writes one object in blocks of its own.
const SCRIPT: &str = r#"
import hashlib, sys
from azure.storage.blob import ContainerClient
client = ContainerClient.from_container_url(sys.argv[1], max_block_size=65536, max_single_put_size=65536)
for blob in client.list_blobs():
    content = client.download_blob(blob.name, validate_content=True).readall()
    md5 = blob.content_settings.content_md5
    assert md5 is None or bytes(md5) == hashlib.md5(content).digest()
    print(blob.name, blob.size, hashlib.sha256(content).hexdigest())
client.upload_blob("from-sdk", b"0123456789" * 30000, max_concurrency=2)
"#;

#[test]
fn t17_azures_own_sdk_reads_what_we_wrote_and_we_what_it_wrote() {
    let Some(site) = Site::new() else { return };
    let Some(python) = address("PACKMULE_TEST_AZURE_PYTHON") else { return };
    let opened = site.by_sas("", &site.sas("rwla"));
    let (container, large) = (&opened.container, Bytes::new(content(500_000, 4)));
    upload(container, "apps/volume 1", &large, &[], &flow().0).unwrap();
    container.put("apps.json", b"{}", &Condition::Absent).unwrap();
    let url = format!("{}?{}", site.address(), site.sas("rwlc"));
    let ran = Command::new(python).args(["-c", SCRIPT, &url]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let hex = |bytes: &[u8]| packmule::oci::Digest::sha256(bytes).hex();
    let expected = format!("apps.json 2 {}\napps/volume 1 500000 {}\n", hex(b"{}"), hex(&content(500_000, 4)));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), expected);
    let mut read = vec![0; 300_000];
    container.read_at("from-sdk", None, 0, &mut read).unwrap();
    assert!(read == b"0123456789".repeat(30_000));
    // It has no MD5 that could be compared, so it is sent.
    let again = Bytes::new(read);
    upload(container, "from-sdk", &again, &[], &flow().0).unwrap();
}
