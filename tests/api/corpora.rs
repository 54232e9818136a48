//! Runs the fuzz targets on stable: each on its committed corpus (`testdata/fuzz/TARGET/`) and on
//! every file of every vector, whole and damaged. Findings are kept there.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use crate::vectors::{folder, lay};

#[path = "../../xtask/fuzz/targets.rs"]
mod targets;

fn run(target: targets::Target, input: &[u8], from: &str) {
    let (name, body) = target;
    let owned = input.to_vec();
    assert!(catch_unwind(move || body(&owned)).is_ok(), "{name}: {from}: {}", input.escape_ascii());
}

#[test]
fn committed_corpora_hold() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/fuzz");
    for target in targets::TARGETS {
        let entries: Vec<_> = fs::read_dir(corpora.join(target.0)).unwrap().collect();
        assert!(!entries.is_empty(), "{}: an empty corpus", target.0);
        for entry in entries {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            run(*target, &input, &path.display().to_string());
            for cut in [0, 1, input.len() / 2, input.len().saturating_sub(1)] {
                run(*target, &input[..cut.min(input.len())], "cut");
            }
            for at in (0..input.len()).step_by(1 + input.len() / 300) {
                let mut damaged = input.clone();
                damaged[at] ^= 1 << (at % 8);
                run(*target, &damaged, "flipped");
            }
        }
    }
}

#[test]
fn the_vectors_hold_in_every_target() {
    let mut seen = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "README.md" {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        lay(&name, dir.path());
        for file in fs::read_dir(dir.path()).unwrap() {
            let file = file.unwrap();
            let fits = file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() < 1 << 16);
            let Some(bytes) = fits.then(|| fs::read(file.path()).ok()).flatten() else { continue };
            seen += 1;
            for target in targets::TARGETS {
                run(*target, &bytes, &name);
            }
        }
    }
    assert!(seen > 1000, "{seen}");
}
