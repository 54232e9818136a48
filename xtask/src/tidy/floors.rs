//! The floors of `src/`, and the check that imports go down only.
//!
//! Imports are found in the text: `crate::X`, `crate::{a, b}`, and `super::` chains that leave the module.

use super::Finding;

/// Every top-level module of `src/` and the floor it stands on.
pub const FLOORS: &[(u8, &[&str])] = &[
    (0, &["oci", "fault", "moment", "size"]),
    (1, &["closure", "content", "flow", "stream", "pool", "program", "signing", "spelling", "system", "wrong"]),
    // Decisions (select … receipt) and places (bundle … secret).
    (
        2,
        &[
            "select", "route", "plan", "receipt", "wanted", "bundle", "registry", "layout", "archive", "state",
            "audit", "secret", "scan", "report", "token",
        ],
    ),
    (3, &["export", "verify", "import", "unpack", "copy", "diff", "sign", "base"]),
    (4, &["cli", "main"]),
];

/// The only imports between modules of one floor: who, whom, and why.
pub const SIBLINGS: &[(&str, &str, &str)] = &[
    ("content", "flow", "being cancelled is one of a contract's errors"),
    ("stream", "content", "a checked reader fails in the contracts' own error"),
    ("signing", "spelling", "a policy is a file that people write"),
    ("signing", "wrong", "a policy is a file that people write"),
    ("plan", "select", "a plan is made of a selection"),
    ("copy", "import", "a copy pushes as an import does"),
    ("main", "cli", "the program is the call of the command line"),
];

/// The top-level module a file of `src/` belongs to; `None` for other files and for `lib.rs`, which is the map.
pub fn module(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let top = inner.split('/').next()?;
    (top != "lib").then_some(top)
}

/// The floor of a module.
pub fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(_, modules)| modules.contains(&module)).map(|(floor, _)| *floor)
}

/// Reports every import of `module` that does not go to a lower floor.
pub fn directions(path: &str, module: &str, code: &[String], found: &mut Vec<Finding>) {
    let Some(own) = floor(module) else {
        found.push(Finding {
            path: path.into(),
            line: 0,
            text: format!("module `{module}` stands on no floor; add it to FLOORS in xtask/src/tidy/floors.rs"),
        });
        return;
    };
    for (line, used) in imports(path, code) {
        if used == module || used == "self" {
            continue;
        }
        let Some(other) = floor(&used) else { continue };
        let excepted = SIBLINGS.iter().any(|(who, whom, _)| *who == module && *whom == used);
        if other < own || excepted {
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

/// The top-level modules that the code names, with the line of each.
fn imports(path: &str, code: &[String]) -> Vec<(usize, String)> {
    let text = code.join("\n");
    let prefix = if path == "src/main.rs" { "packmule" } else { "crate" };
    let mut all = after(&text, prefix);
    // `super::` once for each level above the file names the crate's root.
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let root = vec!["super"; inner.split('/').count()].join("::");
    all.extend(after(&text, &root));
    all.sort();
    all.dedup();
    all
}

/// What stands behind `prefix::` in `text`: one name, or each first name in braces; with its line, from 1.
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
        assert!(found("src/bundle/reader.rs", "use crate::oci::Digest;\nuse crate::bundle::frame;").is_empty());
        assert!(found("src/stream.rs", "use crate::content::Source;").is_empty());
        assert_eq!(found("src/content.rs", "use crate::stream::Checked;").len(), 1);
        assert_eq!(
            found("src/bundle/reader.rs", "use crate::{\n    oci::{Digest, registry},\n    registry::Client,\n};"),
            ["src/bundle/reader.rs:3: `bundle` (floor 2) uses `registry` (floor 2), a sibling; imports go down only"]
        );
        assert_eq!(found("src/oci/digest.rs", "fn f() { crate::cli::exit() }").len(), 1);
        assert_eq!(found("src/oci/digest.rs", "use super::super::bundle;").len(), 1);
        assert!(found("src/oci/digest.rs", "use super::bundle;").is_empty());
        assert_eq!(found("src/oci.rs", "use super::bundle;").len(), 1);
        assert!(found("src/main.rs", "packmule::cli::run()").is_empty());
    }

    #[test]
    fn a_module_on_no_floor_is_named() {
        assert!(found("src/cellar.rs", "")[0].contains("`cellar` stands on no floor"));
    }
}
