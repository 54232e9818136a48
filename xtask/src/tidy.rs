//! `cargo xtask tidy`: checks of this tree that the compiler does not make (module docs, floors,
//! cycles, links, words, hosts).
//!
//! The checks take texts, not paths, so that each one is tested on a small wrong input. Only `tree`
//! reads the disk. No check changes files.

pub mod cycles;
pub mod floors;
pub mod links;
pub mod parity;
pub mod source;
pub mod words;

use crate::shell::{self, Failed};
use std::fmt;
use std::path::Path;

/// Maximum number of lines in a file before its tests (architecture: files are split by concept).
pub const MAX_LINES: usize = 400;

/// A problem and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// File, relative to the workspace.
    pub path: String,
    /// Line, from 1, or 0 for the file as a whole.
    pub line: usize,
    /// Description of the problem and what to do.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.text),
            line => write!(f, "{}:{line}: {}", self.path, self.text),
        }
    }
}

/// A file of the tree: its path relative to the workspace, and its text.
#[derive(Debug, Clone)]
pub struct File {
    /// Path, with `/`.
    pub path: String,
    /// Text. Bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// Reads every file below `root` that git tracks or would add (build output is ignored).
pub fn tree(root: &Path) -> Result<Vec<File>, Failed> {
    let listed = shell::output(shell::command("git").current_dir(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut files = Vec::new();
    for path in listed.split('\0').filter(|p| !p.is_empty()) {
        // A file that was removed but not yet staged is still listed.
        let Ok(bytes) = std::fs::read(root.join(path)) else {
            continue;
        };
        files.push(File { path: path.to_owned(), text: String::from_utf8_lossy(&bytes).into_owned() });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Runs every check. Returns an empty list for a tidy tree.
pub fn check(files: &[File]) -> Vec<Finding> {
    let mut found = each(files);
    floors::phantoms(files, &mut found);
    words::phantoms(files, &mut found);
    cycles::check(files, &mut found);
    links::check(files, &mut found);
    parity::check(files, &mut found);
    found
}

/// Runs the checks of single files.
fn each(files: &[File]) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in files {
        words::hosts(file, &mut found);
        words::name(file, &mut found);
        words::phrases::check(file, &mut found);
        if is_rust(&file.path) {
            opening(file, &mut found);
            length(file, &mut found);
            words::unfinished(file, &mut found);
            words::phrases::beginnings(file, &mut found);
        }
        if let Some(module) = floors::module(&file.path) {
            let code = source::code(&file.path, &file.text);
            floors::directions(&file.path, module, &code, &mut found);
            words::reserved(&file.path, module, &code, &mut found);
        }
    }
    found
}

/// `cargo xtask tidy`: prints the findings and fails if there are any.
pub fn run(root: &Path) -> Result<(), Failed> {
    let files = tree(root)?;
    let found = check(&files);
    for finding in &found {
        eprintln!("{finding}");
    }
    if found.is_empty() {
        eprintln!("tidy: {} files, no findings", files.len());
        return Ok(());
    }
    Err(Failed::new(format!("tidy: {} findings", found.len())))
}

fn is_rust(path: &str) -> bool {
    path.strip_suffix(".rs").is_some() && ["src/", "tests/", "xtask/"].iter().any(|folder| path.starts_with(folder))
}

fn opening(file: &File, found: &mut Vec<Finding>) {
    if !file.text.starts_with("//!") {
        found.push(Finding {
            path: file.path.clone(),
            line: 1,
            text: "does not open with `//!`; say what the file holds and what it must not do".into(),
        });
    }
}

fn length(file: &File, found: &mut Vec<Finding>) {
    let lines = source::code(&file.path, &file.text).iter().filter(|line| !line.trim().is_empty()).count();
    if lines > MAX_LINES {
        found.push(Finding {
            path: file.path.clone(),
            line: 0,
            text: format!("{lines} lines of code, at most {MAX_LINES}; split it by concept"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &str, text: &str) -> Vec<String> {
        each(&[File { path: path.into(), text: text.into() }]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn this_workspace_is_tidy() {
        let root = shell::workspace();
        let found: Vec<_> = check(&tree(&root).unwrap()).iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn a_file_without_a_module_doc_is_named() {
        assert_eq!(one("src/oci.rs", "use std::fmt;\n").len(), 1);
        assert!(one("src/oci.rs", "//! Nouns.\nuse std::fmt;\n").is_empty());
    }

    #[test]
    fn a_long_file_is_named_but_its_tests_do_not_count() {
        let long = format!("//! Nouns.\n{}", "const A: u8 = 1;\n".repeat(MAX_LINES + 1));
        assert_eq!(one("src/oci.rs", &long).len(), 1);
        let tested =
            format!("//! Nouns.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    const A: u8 = 1;\n".repeat(MAX_LINES + 1));
        assert!(one("src/oci.rs", &tested).is_empty());
    }
}
