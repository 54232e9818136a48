//! Two verifiers, one verdict: judges a small bundle of each form, with bits flipped in every byte
//! and truncated at every byte, with the library and with `spec/verify.py`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::vectors::{Vector, class, lay, verify};

/// Returns the files below a directory, sorted by relative path.
fn files(dir: &Path, below: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir.join(below)).unwrap().map(|entry| entry.unwrap()) {
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() { files.extend(self::files(dir, &path)) } else { files.push(path) }
    }
    files.sort_by_key(|path| path.to_str().unwrap().to_owned());
    files
}

/// Returns the classes that the library gives for each file's changes and truncations, as
/// `second.py` prints them.
fn judge(vector: &Vector, dir: &Path) -> String {
    let mut told = String::new();
    for path in files(dir, Path::new("")) {
        let content = fs::read(dir.join(&path)).unwrap();
        told.push_str(path.to_str().unwrap());
        let mut judge = |changed: &[u8]| {
            fs::write(dir.join(&path), changed).unwrap();
            told.push(' ');
            told.push_str(class(&verify(vector, dir)));
        };
        for at in 0..content.len() {
            for bit in crate::bits(at) {
                let mut changed = content.clone();
                changed[at] ^= 1 << bit;
                judge(&changed);
            }
        }
        (0..content.len()).for_each(|length| judge(&content[..length]));
        fs::write(dir.join(&path), &content).unwrap();
        told.push('\n');
    }
    told
}

/// Judges the vector `name`, with these of its files replaced, with both verifiers. `place` is what
/// is verified.
fn agree(name: &str, place: &str, replaced: &[(&str, Vec<u8>)]) {
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "python3 is not there");
        return eprintln!("!! SKIPPED {name}: python3 is not there");
    }
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [ours, theirs] = dirs.each_ref().map(|dir| {
        let vector = lay(name, dir.path());
        replaced.iter().for_each(|(path, content)| fs::write(dir.path().join(path), content).unwrap());
        assert_eq!(class(&verify(&vector, dir.path())), "PASS", "{name}");
        vector
    });
    let told = tempfile::NamedTempFile::new().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let keys = theirs.keys.iter().map(|key| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let mut second = Command::new("python3")
        .args([here.join("tests/api/second.py"), here.join("spec")])
        .args([dirs[1].path(), Path::new(place)])
        .args(keys)
        .stdout(File::create(told.path()).unwrap())
        .spawn()
        .unwrap();
    let expected = judge(&ours, dirs[0].path());
    assert!(second.wait().unwrap().success(), "{name}: second.py");
    let told = fs::read_to_string(told.path()).unwrap();
    assert_eq!(expected.lines().count(), told.lines().count(), "{name}: files");
    for (ours, theirs) in expected.lines().zip(told.lines()) {
        let (ours, theirs): (Vec<_>, Vec<_>) = (ours.split(' ').collect(), theirs.split(' ').collect());
        assert_eq!((ours[0], ours.len()), (theirs[0], theirs.len()), "{name}");
        let bits = crate::bits(0).len();
        let size = (ours.len() - 1) / (bits + 1);
        for (at, (first, second)) in ours.iter().zip(&theirs).enumerate().skip(1).map(|(at, both)| (at - 1, both)) {
            let what = if at < bits * size {
                format!("byte {} flipped in bit {}", at / bits, at % 8)
            } else {
                format!("cut to {}", at - bits * size)
            };
            assert_eq!(first, second, "{name}: {}: {what}", ours[0]);
            assert_ne!(*first, "PASS", "{name}: {}: {what}", ours[0]);
        }
    }
}

#[test]
fn b2_b3_both_agree_on_volumes() {
    agree("ok-packed-by-zstd", "salt.json", &[]);
}

#[test]
fn b2_b3_both_agree_on_a_stream() {
    let dir = tempfile::tempdir().unwrap();
    lay("ok-packed-by-zstd", dir.path());
    let written =
        Command::new(env!("CARGO_BIN_EXE_packmule")).arg("cat").arg(dir.path().join("salt.json")).output().unwrap();
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    agree("ok-stream", "salt.tar", &[("salt.tar", written.stdout)]);
}

#[test]
fn b2_b3_both_agree_on_form_flat() {
    agree("ok-flat", "salt.json", &[]);
}
