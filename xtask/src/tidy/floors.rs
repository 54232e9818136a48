//! The floors of `src/`, and the check that imports only go down.
//!
//! Imports are found in the text: `crate::X`, `crate::{a, b}`, and `super::` chains that leave the
//! module.

use super::{File, Finding};
use std::collections::BTreeSet;

/// Every top-level module of `src/`, by floor.
pub const FLOORS: &[(u8, &[&str])] = &[
    (0, &["oci", "base"]),
    (1, &["closure", "flow", "system", "toml_file", "yaml"]),
    (2, &["content", "outfile", "program", "signing"]),
    (3, &["network"]),
    // Places, and the formats of files next to a bundle.
    (
        4,
        &[
            "bundle", "registry", "layout", "archive", "files", "storage", "scan", "secret", "identity", "keys",
            "state", "audit", "receipt", "report",
        ],
    ),
    (5, &["decide", "serve"]),
    (6, &["operate"]),
    (7, &["cli"]),
    (8, &["main"]),
];

/// Returns the top-level module of a file in `src/`. Returns `None` for other files and for
/// `lib.rs`, which lists the modules.
pub fn module(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let top = inner.split('/').next()?;
    (top != "lib").then_some(top)
}

/// Returns the floor of a module.
pub fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(_, modules)| modules.contains(&module)).map(|(floor, _)| *floor)
}

/// Reports every import of `module` that does not go to a lower floor.
pub fn directions(path: &str, module: &str, code: &[String], found: &mut Vec<Finding>) {
    let Some(own) = floor(module) else {
        found.push(Finding {
            path: path.into(),
            line: 0,
            text: format!("module `{module}` has no floor; add it to FLOORS in xtask/src/tidy/floors.rs"),
        });
        return;
    };
    for (line, used) in imports(path, code) {
        if used == module || used == "self" {
            continue;
        }
        let Some(other) = floor(&used) else { continue };
        if other < own {
            continue;
        }
        let why = if other == own { "a sibling" } else { "above it" };
        found.push(Finding {
            path: path.into(),
            line,
            text: format!("`{module}` (floor {own}) uses `{used}` (floor {other}), {why}; imports go down only"),
        });
    }
}

/// Reports modules of the table that do not exist.
pub fn phantoms(files: &[File], found: &mut Vec<Finding>) {
    let there: BTreeSet<&str> = files.iter().filter_map(|file| module(&file.path)).collect();
    for name in FLOORS.iter().flat_map(|(_, modules)| *modules).filter(|name| !there.contains(**name)) {
        found.push(Finding {
            path: "xtask/src/tidy/floors.rs".into(),
            line: 0,
            text: format!("FLOORS names `{name}`, which is not a module of src/"),
        });
    }
}

/// Returns the top-level modules that the code names, with the line of each.
fn imports(path: &str, code: &[String]) -> Vec<(usize, String)> {
    let text = code.join("\n");
    let prefix = if path == "src/main.rs" { "packmule" } else { "crate" };
    let mut all = after(&text, prefix);
    // One `super::` for each level above the file leads to the crate root.
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let root = vec!["super"; inner.split('/').count()].join("::");
    all.extend(after(&text, &root));
    all.sort();
    all.dedup();
    all
}

/// Returns the names after `prefix::` in `text`: one name, or each first name in braces, with its
/// line, from 1.
pub fn after(text: &str, prefix: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    let needle = format!("{prefix}::");
    for (at, _) in text.match_indices(&needle) {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let start = at + needle.len();
        let rest = &text[start..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1usize;
            let mut expect = true;
            for (offset, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => expect = true,
                    c if depth == 1 && expect && (c.is_alphabetic() || c == '_') => {
                        names.push((line(text, start + 1 + offset), word(&group[offset..])));
                        expect = false;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            names.push((line(text, start), word(rest)));
        }
    }
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn line(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let code: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut found = Vec::new();
        directions(path, module(path).unwrap(), &code, &mut found);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn imports_go_down_only() {
        assert!(found("src/bundle/open/trusted.rs", "use crate::oci::Digest;\nuse crate::bundle::format;").is_empty());
        assert!(found("src/content/checked.rs", "use crate::flow::Flow;").is_empty());
        assert_eq!(found("src/flow.rs", "use crate::content::Source;").len(), 1);
        assert_eq!(
            found("src/bundle/format/tar.rs", "use crate::{\n    oci::{Digest, registry},\n    registry::Client,\n};"),
            [
                "src/bundle/format/tar.rs:3: `bundle` (floor 4) uses `registry` (floor 4), a sibling; imports go down only"
            ]
        );
        assert_eq!(found("src/oci/digest.rs", "fn f() { crate::cli::exit() }").len(), 1);
        assert_eq!(found("src/oci/digest.rs", "use super::super::bundle;").len(), 1);
        assert!(found("src/oci/digest.rs", "use super::bundle;").is_empty());
        assert_eq!(found("src/oci.rs", "use super::bundle;").len(), 1);
        assert!(found("src/main.rs", "packmule::cli::run()").is_empty());
    }

    #[test]
    fn a_module_on_no_floor_is_named() {
        assert!(found("src/cellar.rs", "")[0].contains("`cellar` has no floor"));
    }

    #[test]
    fn a_module_that_only_the_table_knows_is_named() {
        let files: Vec<File> = FLOORS
            .iter()
            .flat_map(|(_, modules)| *modules)
            .filter(|module| **module != "layout")
            .map(|module| File { path: format!("src/{module}.rs"), text: String::new() })
            .collect();
        let mut found = Vec::new();
        phantoms(&files, &mut found);
        assert_eq!(found.len(), 1);
        assert!(found[0].text.contains("`layout`"));
    }
}
