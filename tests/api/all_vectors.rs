//! Runs every vector of `testdata/vectors/` through the library and a sample through the command:
//! the class must be the one that its header expects.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::vectors::{CODES, class, folder, lay, names, verify};

/// Returns everything below a directory, with modes and bytes: verifying must leave it unchanged.
fn tree(dir: &Path) -> BTreeMap<PathBuf, (u32, u64)> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(below) = dirs.pop() {
        for entry in fs::read_dir(below).unwrap().map(|entry| entry.unwrap()) {
            let (path, metadata) = (entry.path(), entry.metadata().unwrap());
            if metadata.is_dir() {
                dirs.push(path.clone());
            }
            found.insert(path.strip_prefix(dir).unwrap().to_owned(), (metadata.permissions().mode(), metadata.len()));
        }
    }
    found
}

#[test]
fn every_vector_has_its_class() {
    let mut wrong = Vec::new();
    let names = names();
    for name in &names {
        let dir = tempfile::tempdir().unwrap();
        let vector = lay(name, dir.path());
        let before = tree(dir.path());
        let result = verify(&vector, dir.path());
        if class(&result) != vector.expect {
            wrong.push(format!("{name}: expected {}, found {} {:?}", vector.expect, class(&result), result.err()));
        } else if let Err(fault) = result {
            assert!(!fault.what.is_empty() && !fault.what.contains("internal"), "{name}: {fault:?}");
        }
        assert_eq!(tree(dir.path()), before, "{name}: verifying writes nothing");
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), names.len(), wrong.join("\n"));
}

/// Checks the command line's exit code and output at the vector's time, for every fifth vector and
/// all whose expectation depends on more than the bytes.
#[test]
fn the_command_ends_with_the_class_of_the_vector() {
    for (index, name) in names().iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let vector = lay(name, dir.path());
        if index % 5 != 0 && ["PASS", "FMT", "INT", "SIG"].contains(&&*vector.expect) {
            continue;
        }
        let ended = vector.verified(dir.path());
        let code = CODES.iter().find(|(.., word)| *word == vector.expect).map_or(0, |(code, ..)| *code);
        assert_eq!(ended.code, code, "{}: {}{}", vector.name, ended.stdout, ended.stderr);
        assert_eq!(ended.stdout.starts_with("PASS"), vector.expect == "PASS", "{name}: {}", ended.stdout);
        let raw = (ended.stdout + &ended.stderr).chars().any(|c| c.is_control() && c != '\n');
        assert!(!raw, "{name}: a raw control character");
    }
}

/// The Python code in the vectors' README reads every vector.
#[test]
fn the_python_of_the_readme_reads_them() {
    let text = fs::read_to_string(folder().join("README.md")).unwrap();
    let code = text.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    let dir = tempfile::tempdir().unwrap();
    let each = "import sys\nfor name in sys.argv[2:]:\n    place = os.path.join(sys.argv[1], name)\n    os.mkdir(place)\n    print(name, lay(name, place)['expect'])\n";
    let names = names();
    let mut python = std::process::Command::new("python3");
    python.args(["-c", &format!("{code}{each}")]).arg(dir.path()).args(&names).current_dir(folder());
    let mut output = match python.output() {
        Ok(output) => output,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "python3: {error}");
            eprintln!("!! SKIPPED the_python_of_the_readme_reads_them: python3: {error}");
            return;
        }
    };
    output.stderr.truncate(2000);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    for (name, line) in names.iter().zip(said.lines()) {
        let ours = tempfile::tempdir().unwrap();
        let vector = lay(name, ours.path());
        assert_eq!(line, format!("{name} {}", vector.expect));
        assert_eq!(tree(ours.path()), tree(&dir.path().join(name)), "{name}");
    }
    assert_eq!(said.lines().count(), names.len());
}

#[test]
fn refusals_outnumber_successes() {
    let expects: Vec<String> = names()
        .iter()
        .map(|name| {
            let bytes = fs::read(folder().join(name)).unwrap();
            String::from_utf8_lossy(&bytes[..60.min(bytes.len())]).lines().nth(1).unwrap().to_owned()
        })
        .collect();
    let passes = expects.iter().filter(|line| *line == "expect: PASS").count();
    assert!(expects.len() >= 250 && expects.len() - passes >= 3 * passes, "{passes} of {}", expects.len());
}
