//! Finds cycles between files of `src/`: a value is defined below the code that uses it, so that
//! imports between files form no cycle.
//!
//! An import is a path in the text: `crate::…`, `super::…`, `self::…` and the modules that a file
//! declares itself. A name that a module re-exports leads to the file that defines it; the
//! re-export itself is not an import. Method calls are not recognized.

use super::source;
use super::{File, Finding};
use std::collections::{BTreeMap, BTreeSet};

/// One file of `src/`: its code, the modules that it declares, and the names that it re-exports.
struct Unit<'a> {
    path: &'a str,
    /// Path of the file in the module tree. Empty for `lib.rs`.
    module: Vec<String>,
    /// Paths in the code, each as segments from the crate root.
    named: Vec<Vec<String>>,
    /// Names in `use` that are visible from elsewhere, and the paths that they stand for.
    exports: BTreeMap<String, Vec<String>>,
}

/// Reports every cycle of files that import each other once, at its first file.
pub fn check(files: &[File], found: &mut Vec<Finding>) {
    for group in groups(files) {
        found.push(Finding {
            path: group[0].clone(),
            line: 0,
            text: format!("imports form a cycle: {}; move what both need into a file of its own", group.join(", ")),
        });
    }
}

/// Returns the groups of files that import each other in a cycle, each sorted.
pub fn groups(files: &[File]) -> Vec<Vec<String>> {
    let units: Vec<Unit> = files.iter().filter_map(unit).collect();
    let by_module: BTreeMap<&[String], usize> = units.iter().enumerate().map(|(i, u)| (&u.module[..], i)).collect();
    let edges: Vec<BTreeSet<usize>> = units
        .iter()
        .enumerate()
        .map(|(own, unit)| {
            unit.named.iter().filter_map(|path| resolve(&units, &by_module, path, 0)).filter(|&to| to != own).collect()
        })
        .collect();
    let mut groups: Vec<Vec<String>> = circles(&edges)
        .into_iter()
        .map(|circle| {
            let mut names: Vec<String> = circle.into_iter().map(|at| units[at].path.to_owned()).collect();
            names.sort();
            names
        })
        .collect();
    groups.sort();
    groups
}

/// Reads one file. Returns `None` if it is not in `src/`, or is a test.
fn unit(file: &File) -> Option<Unit<'_>> {
    let inner = file.path.strip_prefix("src/")?.strip_suffix(".rs")?;
    if inner == "main" || inner.ends_with("/tests") || inner.contains("/tests/") {
        return None;
    }
    let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
        module.pop();
    }
    let text = source::code(&file.path, &file.text).join("\n");
    let (mut named, mut exports) = (Vec::new(), BTreeMap::new());
    let declared = declared(&text);
    for (start, before) in starts(&text, &declared) {
        let used = is_use(before);
        for tree in expand(&text[start..]) {
            let Some(path) = absolute(&module, &tree.path, &declared) else { continue };
            if used.is_some() {
                exports.insert(tree.name, path.clone());
            }
            if used != Some(Use::Public) {
                named.push(path);
            }
        }
    }
    Some(Unit { path: &file.path, module, named, exports })
}

/// Returns the names after `mod` in the code.
fn declared(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| {
            let at = line.trim_start();
            let rest =
                ["mod ", "pub mod ", "pub(crate) mod ", "pub(super) mod "].iter().find_map(|p| at.strip_prefix(p))?;
            rest.strip_suffix(';').map(str::to_owned)
        })
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Public,
    Private,
}

/// Whether a path follows `use`, and whether it is visible from outside. `before` is the line up to
/// the path.
fn is_use(before: &str) -> Option<Use> {
    let head = before.trim_start().strip_suffix("use ")?;
    Some(if head.starts_with("pub") { Use::Public } else { Use::Private })
}

/// Returns the start of each path in the text, with the line up to there.
fn starts<'a>(text: &'a str, declared: &BTreeSet<String>) -> Vec<(usize, &'a str)> {
    let mut all = Vec::new();
    let first = ["crate", "super", "self"].into_iter().chain(declared.iter().map(String::as_str));
    for word in first {
        for (at, _) in text.match_indices(&format!("{word}::")) {
            let before = &text[..at];
            let glued = before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || "_:$'".contains(c));
            // After a brace or a comma of `use x::{…}` the path belongs to that tree, which is
            // expanded as a whole.
            if glued || within_use(before) {
                continue;
            }
            all.push((at, &before[before.rfind('\n').map_or(0, |end| end + 1)..]));
        }
    }
    all
}

/// Whether the text ends inside the braces of a `use`.
fn within_use(before: &str) -> bool {
    let from = before.rfind(';').map_or(0, |end| end + 1);
    let item = &before[from..];
    let Some(at) = item.rfind("use ") else { return false };
    let tail = &item[at..];
    tail.contains("::{") && tail.matches('{').count() > tail.matches('}').count()
}

/// One leaf of a tree of paths.
struct Leaf {
    path: Vec<String>,
    /// Name that it has here: the last segment, or the name after `as`.
    name: String,
}

/// Returns every leaf of the path, or of the tree of paths, at the start of `text`.
fn expand(text: &str) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    tree(text, &[], &mut leaves);
    leaves
}

/// Reads one tree after `before`. Returns its length in bytes.
fn tree(text: &str, before: &[String], leaves: &mut Vec<Leaf>) -> usize {
    let mut path = before.to_vec();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let skipped = rest.len() - rest.trim_start().len();
        let rest = rest.trim_start();
        if let Some(inside) = rest.strip_prefix('{') {
            let mut offset = 0;
            loop {
                let blank = inside[offset..].len() - inside[offset..].trim_start_matches([' ', '\n', ',']).len();
                offset += blank;
                if offset >= inside.len() || inside[offset..].starts_with('}') {
                    return at + skipped + 1 + offset + 1;
                }
                let length = tree(&inside[offset..], &path, leaves);
                if length == 0 {
                    return at + skipped + 1 + offset;
                }
                offset += length;
            }
        }
        let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '*').collect();
        if word.is_empty() {
            break;
        }
        at += skipped + word.len();
        path.push(word);
        match text[at..].strip_prefix("::") {
            Some(_) => at += 2,
            None => break,
        }
    }
    let Some(last) = path.last() else { return at };
    let mut name = last.clone();
    if let Some(other) = text[at..].strip_prefix(" as ") {
        name = other.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        at += " as ".len() + name.len();
    }
    leaves.push(Leaf { path, name });
    at
}

/// Returns the path from the crate root, or `None` if it leads out of the crate.
fn absolute(module: &[String], path: &[String], declared: &BTreeSet<String>) -> Option<Vec<String>> {
    let mut base = module.to_vec();
    let mut rest = path;
    match rest.first()?.as_str() {
        "crate" => (base, rest) = (Vec::new(), &rest[1..]),
        "self" => rest = &rest[1..],
        "super" => {}
        first if declared.contains(first) => {}
        _ => return None,
    }
    while rest.first().is_some_and(|word| word == "super") {
        base.pop()?;
        rest = &rest[1..];
    }
    base.extend(rest.iter().filter(|word| *word != "self").cloned());
    Some(base)
}

/// Returns the file that defines the item of a path.
fn resolve(units: &[Unit], by_module: &BTreeMap<&[String], usize>, path: &[String], depth: usize) -> Option<usize> {
    let length = (0..=path.len()).rev().find(|&length| by_module.contains_key(&path[..length]))?;
    let at = by_module[&path[..length]];
    let Some(name) = path.get(length) else { return Some(at) };
    match units[at].exports.get(name) {
        Some(target) if depth < 8 && target != path => {
            let full: Vec<String> = target.iter().chain(&path[length + 1..]).cloned().collect();
            resolve(units, by_module, &full, depth + 1)
        }
        _ => Some(at),
    }
}

/// Returns the strongly connected components of more than one file, by Tarjan's algorithm.
fn circles(edges: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    struct Walk<'a> {
        edges: &'a [BTreeSet<usize>],
        order: Vec<Option<usize>>,
        low: Vec<usize>,
        open: Vec<usize>,
        next: usize,
        parts: Vec<Vec<usize>>,
    }
    impl Walk<'_> {
        fn visit(&mut self, at: usize) {
            self.order[at] = Some(self.next);
            self.low[at] = self.next;
            self.next += 1;
            self.open.push(at);
            for &to in &self.edges[at] {
                match self.order[to] {
                    None => {
                        self.visit(to);
                        self.low[at] = self.low[at].min(self.low[to]);
                    }
                    Some(order) if self.open.contains(&to) => self.low[at] = self.low[at].min(order),
                    Some(_) => {}
                }
            }
            if self.order[at] == Some(self.low[at]) {
                let from = self.open.iter().position(|&open| open == at).unwrap_or(0);
                let part = self.open.split_off(from);
                if part.len() > 1 {
                    self.parts.push(part);
                }
            }
        }
    }
    let count = edges.len();
    let mut walk =
        Walk { edges, order: vec![None; count], low: vec![0; count], open: Vec::new(), next: 0, parts: Vec::new() };
    for at in 0..count {
        if walk.order[at].is_none() {
            walk.visit(at);
        }
    }
    walk.parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let files: Vec<File> =
            files.iter().map(|(path, text)| File { path: (*path).into(), text: format!("//! x\n{text}") }).collect();
        groups(&files)
    }

    #[test]
    fn two_files_that_import_each_other_are_named() {
        let circle = of(&[
            ("src/a/mod.rs", "mod b;\nmod c;\n"),
            ("src/a/b.rs", "use super::c::C;\n"),
            ("src/a/c.rs", "fn f() -> super::b::B {}\n"),
        ]);
        assert_eq!(circle, [["src/a/b.rs", "src/a/c.rs"]]);
        let chain = of(&[
            ("src/a/mod.rs", "mod b;\nmod c;\n"),
            ("src/a/b.rs", "use super::c::C;\n"),
            ("src/a/c.rs", "pub struct C;\n"),
        ]);
        assert!(chain.is_empty());
    }

    #[test]
    fn a_re_export_leads_to_the_file_that_holds_the_name() {
        let through = of(&[
            ("src/a/mod.rs", "mod b;\nmod c;\npub use self::b::{B as Bee, X};\n"),
            ("src/a/b.rs", "use super::c;\n"),
            ("src/a/c.rs", "use crate::a::{Bee, self};\n"),
        ]);
        assert_eq!(through, [["src/a/b.rs", "src/a/c.rs"]]);
        let only_exported =
            of(&[("src/a/mod.rs", "mod b;\npub use self::b::B;\npub struct A;\n"), ("src/a/b.rs", "use super::A;\n")]);
        assert!(only_exported.is_empty());
    }

    #[test]
    fn a_module_that_drives_its_child_and_holds_what_the_child_needs_is_a_circle() {
        for drive in ["use self::b::run;\n", "fn f() { b::run() }\n", "use crate::{a::b::{run, C}};\n"] {
            let found =
                of(&[("src/a.rs", &format!("mod b;\n{drive}pub struct A;\n")), ("src/a/b.rs", "use super::A;\n")]);
            assert_eq!(found, [["src/a.rs", "src/a/b.rs"]], "{drive}");
        }
    }

    #[test]
    fn tests_and_comments_import_nothing() {
        let found = of(&[
            ("src/a.rs", "mod b;\npub struct A;\n// b::run\n#[cfg(test)]\nmod tests {\n    use super::b::run;\n}\n"),
            ("src/a/b.rs", "use super::A;\n"),
            ("src/a/tests.rs", "use super::b;\nuse super::A;\n"),
        ]);
        assert!(found.is_empty());
    }
}
