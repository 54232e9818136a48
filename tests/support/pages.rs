//! The examples in the pages of `spec/`.
//!
//! It holds no tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Returns every block fenced with `LANGUAGE example FILE`, from all pages.
pub fn examples() -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("spec")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for block in text.split("\n```").skip(1).step_by(2) {
            let (info, body) = block.split_once('\n').unwrap();
            let Some((_, file)) = info.split_once(" example ") else { continue };
            let before = found.insert(file.to_owned(), body.as_bytes().to_vec());
            assert!(before.is_none(), "example {file} stands twice");
        }
    }
    found
}
