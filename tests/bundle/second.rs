//! Two verifiers, one verdict: a small bundle with bytes changed and cut in many places is judged by the library,
//! written down as vectors, and judged by `spec/verify.py`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::vectors::{Vector, class, lay, verify};

/// The files of a directory, by name.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect();
    files.sort();
    files
}

/// Writes the vector of these files, with the class that the library gives them.
fn write(vector: &Vector, expect: &str, files: &[(String, Vec<u8>)], to: &Path) {
    let mut bytes = format!("packmule vector 1\nexpect: {expect}\ncomment: changed\nbundle: {}\n", vector.bundle);
    for key in &vector.keys {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        bytes.push_str(&format!("key: {hex}\n"));
    }
    let mut bytes = bytes.into_bytes();
    for (name, content) in files {
        bytes.extend(format!("file: {name} {}\n", content.len()).into_bytes());
        bytes.extend(content);
        bytes.push(b'\n');
    }
    fs::write(to, bytes).unwrap();
}

/// Judges the bundle of the vector `name` with every so many bytes changed and cut at every so many, and has each
/// judged again.
fn agree(name: &str, change_every: usize, cut_every: usize) {
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "python3 is not there");
        return eprintln!("!! SKIPPED {name}: python3 is not there");
    }
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let vector = lay(name, dir.path());
    let whole = files(dir.path());
    let mut count = 0;
    let mut judge = |index: usize, changed: Vec<u8>, what: &str| {
        let mut all = whole.clone();
        all[index].1 = changed;
        let path = dir.path().join(&all[index].0);
        fs::write(&path, &all[index].1).unwrap();
        let expect = class(&verify(&vector, dir.path()));
        fs::write(&path, &whole[index].1).unwrap();
        // The list of sums is for sha256sum; all that is signed stands elsewhere.
        assert!(expect != "PASS" || all[index].0.ends_with(".sha256"), "{name}: {} {what}", all[index].0);
        write(&vector, expect, &all, &out.path().join(format!("{}-{what}", all[index].0)));
        count += 1;
    };
    for (index, (_, content)) in whole.iter().enumerate() {
        for at in (0..content.len()).step_by(change_every) {
            let mut changed = content.clone();
            changed[at] ^= 1 << (at % 8);
            judge(index, changed, &format!("changed-at-{at}"));
        }
        for length in (0..content.len()).step_by(cut_every) {
            judge(index, content[..length].to_vec(), &format!("cut-to-{length}"));
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/verify.py");
    let ended = Command::new("python3").arg(script).arg("--vectors").arg(out.path()).output().unwrap();
    let told = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    let end = told.lines().rev().take(20).collect::<Vec<_>>().join("\n");
    assert!(ended.status.success(), "{name}: {end}");
    assert!(told.contains(&format!("{count} vectors, {count} agree")), "{name}: {end}");
}

#[test]
fn b2_b3_both_agree_on_a_packed_bundle() {
    agree("ok-packed-by-zstd", 1, 8);
}

#[test]
fn b2_b3_both_agree_on_a_bundle_stored_and_packed() {
    agree("ok-stored-and-packed", 5, 32);
}
