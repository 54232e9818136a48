//! The examples of `spec/receipt.md` and `spec/audit.md` are what this program writes, byte for
//! byte except for its version, and can be read; their schemas know all of their members.

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use packmule::audit::check;
use packmule::cli::run;
use packmule::cli::world::{FixedClock, World};
use packmule::oci::Digest;
use packmule::receipt::{MEDIA_TYPE, Receipt};
use packmule::signing::private::SigningKey;
use packmule::signing::{Envelope, Policy, PublicKey, statement};
use serde_json::Value;

use crate::pages::examples;
use crate::vectors::{lay, unhex};

/// The key of RFC 8032 that signs the examples.
fn key() -> SigningKey {
    SigningKey::from_bytes(&unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")).unwrap()
}

/// Imports the example bundle at a fixed time; returns receipt and log.
fn imported(dir: &Path) -> (Vec<u8>, Vec<u8>) {
    use std::os::unix::fs::PermissionsExt as _;
    lay("ok-example", dir);
    fs::write(dir.join("salt.pub.pem"), key().public().to_pem()).unwrap();
    fs::write(dir.join("site.pem"), key().to_pem(None).unwrap()).unwrap();
    fs::set_permissions(dir.join("site.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    // The example's state has this id.
    fs::create_dir_all(dir.join("state/audit")).unwrap();
    fs::write(dir.join("state/audit/id"), "5a1f0c7e93b24d68a0e4c1d2b3f49687\n").unwrap();
    fs::set_permissions(dir.join("state/audit/id"), fs::Permissions::from_mode(0o600)).unwrap();
    let args = ["import", "salt", "--key", "salt.pub.pem", "--to", "oci:site", "--state", "state"];
    let more = ["--receipt", "received.json", "--sign", "site.pem", "--audit", "site.jsonl"];
    let (mut world, _, stderr) = World::for_test(&[&args[..], &more].concat(), dir);
    world.user = 1000;
    // The day after the bundle was made.
    world.clock = Arc::new(FixedClock::at(1_795_334_400));
    assert_eq!(run(&mut world), 0, "{}", stderr.text());
    (fs::read(dir.join("received.json")).unwrap(), fs::read(dir.join("site.jsonl")).unwrap())
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn the_receipt_of_the_spec_is_written_signed_and_read() {
    let (dir, spec) = (tempfile::tempdir().unwrap(), examples());
    let (made, log) = imported(dir.path());
    let example = &spec["received.json"];
    let receipt = Receipt::parse(example).expect("the example is a receipt");
    // The version changes over time, and so do the log's lines.
    let mut made: Value = json(&made);
    made["tool"] = json(example)["tool"].clone();
    made["audit"]["digest"] = json(example)["audit"]["digest"].clone();
    assert_eq!(made.to_string(), json(example).to_string(), "{}", String::from_utf8_lossy(&log));
    let statement = statement(MEDIA_TYPE, Digest::sha256(example), example.len() as u64);
    let policy = Policy::new(vec![PublicKey::from_pem(key().public().to_pem().as_bytes()).unwrap()], None).unwrap();
    let mut signed = Envelope::new(statement.clone());
    signed.sign(&key());
    assert_eq!(String::from_utf8_lossy(&signed.to_bytes()), String::from_utf8_lossy(&spec["received.sig.json"]));
    policy.judge(&statement, &Envelope::parse(&spec["received.sig.json"]).unwrap()).expect("signed");
    // It refers to the first line of the other example.
    let line = spec["site.jsonl"].split_inclusive(|byte| *byte == b'\n').next().unwrap();
    assert_eq!(receipt.audit.map(|line| (line.number, line.digest)), Some((1, Digest::sha256(line))));
}

#[test]
fn the_audit_log_of_the_spec_is_written_and_checked() {
    let (dir, spec) = (tempfile::tempdir().unwrap(), examples());
    let (_, made) = imported(dir.path());
    let example = [&spec["site.jsonl"][..], b"\n"].concat();
    let report = check(Cursor::new(&example), None).unwrap();
    assert!(report.faults.is_empty() && report.lines == 2 && report.open.is_empty(), "{report:?}");
    let lines = |bytes: &[u8]| -> Vec<Value> {
        String::from_utf8_lossy(bytes).lines().map(|line| json(line.as_bytes())).collect()
    };
    let mut made = lines(&made);
    for (made, example) in made.iter_mut().zip(lines(&example)) {
        for member in ["tool", "previous", "receipt"].into_iter().filter(|member| !example[*member].is_null()) {
            made[member] = example[member].clone();
        }
    }
    assert_eq!(made, lines(&example));
    assert_eq!(made[1]["receipt"], Digest::sha256(&spec["received.json"]).to_string());
}

#[cfg(feature = "online")]
#[test]
fn the_schemas_know_every_member() {
    let spec = examples();
    let line = spec["site.jsonl"].split(|byte| *byte == b'\n').nth(1).unwrap();
    for (name, example) in [("receipt", &spec["received.json"][..]), ("audit", line)] {
        let (mut world, stdout, _) = World::for_test(&["schema", name], Path::new("/"));
        assert_eq!(run(&mut world), 0);
        let schema = json(stdout.text().as_bytes());
        assert_eq!(schema["additionalProperties"], false, "{schema}");
        for member in json(example).as_object().unwrap().keys() {
            assert!(schema["properties"][member].is_object(), "{name}: {member}: {schema}");
        }
        for member in schema["required"].as_array().unwrap() {
            assert!(!json(example)[member.as_str().unwrap()].is_null(), "{name}: {member}");
        }
    }
}
