//! Checks links and file names: everything that a page or a comment refers to exists.
//!
//! Markdown: relative links, with their `#section`. Everywhere: names of the form `spec/NAME.EXT`.

use super::{File, Finding};
use std::collections::BTreeSet;

/// Reports every broken relative link and every name of a missing file in `spec/`.
pub fn check(files: &[File], found: &mut Vec<Finding>) {
    let there: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for file in files.iter().filter(|file| is_text(&file.path)) {
        let markdown = is_markdown(&file.path);
        for (number, line) in file.text.lines().enumerate() {
            let mut report = |text: String| found.push(Finding { path: file.path.clone(), line: number + 1, text });
            for name in spec_names(line).filter(|name| !there.contains(name.as_str())) {
                report(format!("names {name}, which does not exist"));
            }
            if !markdown {
                continue;
            }
            // Text in backticks is an example, not a link.
            let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
            for target in targets(&prose) {
                if let Some(wrong) = leads_nowhere(files, &there, &file.path, target) {
                    report(wrong);
                }
            }
        }
    }
}

fn is_text(path: &str) -> bool {
    [".rs", ".md", ".py", ".toml"].iter().any(|ending| path.ends_with(ending))
        && !path.starts_with("testdata/")
        && path != "CHANGELOG.md"
}

fn is_markdown(path: &str) -> bool {
    path.strip_suffix(".md").is_some()
}

/// Returns the names of the form `spec/NAME.EXT` in a line.
fn spec_names(line: &str) -> impl Iterator<Item = String> {
    let part = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    line.match_indices("spec/").filter_map(move |(at, _)| {
        if line[..at].chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)) {
            return None;
        }
        let name: String = line[at..].chars().take_while(|c| part(*c)).collect();
        let name = name.trim_end_matches(['.', '/']);
        let (_, ending) = name.rsplit_once('.')?;
        ["md", "py"].contains(&ending).then(|| name.to_owned())
    })
}

/// Returns the targets of the links in a line of Markdown.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](").filter_map(|(at, open)| {
        let rest = &line[at + open.len()..];
        rest.find(')').map(|end| rest[..end].trim())
    })
}

/// Returns the problem with a link of a page, or `None` if it is valid or leads out of the tree.
fn leads_nowhere(files: &[File], there: &BTreeSet<&str>, page: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") || target.is_empty() {
        return None;
    }
    let (path, section) = target.split_once('#').map_or((target, None), |(path, section)| (path, Some(section)));
    let full = if path.is_empty() { page.to_owned() } else { join(page, path) };
    let folder = format!("{}/", full.trim_end_matches('/'));
    if !there.contains(full.as_str()) {
        let is_folder = there.iter().any(|path| path.starts_with(&folder));
        return (!is_folder).then(|| format!("links to {target}, which does not exist"));
    }
    let section = section.filter(|_| is_markdown(&full))?;
    let linked = files.iter().find(|file| file.path == full)?;
    let known = linked.text.lines().any(|line| line.starts_with('#') && slug(line) == section);
    (!known).then(|| format!("links to {target}; {full} has no such section"))
}

/// Resolves a path relative to the page that contains it.
fn join(page: &str, path: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Returns the anchor of a heading: lower case, blanks as `-`, punctuation removed.
fn slug(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, text: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let files =
            [file("spec/frame.md", "# Frames\n\n## Stored frames: `x`\n"), file("src/a/b.rs", ""), file(path, text)];
        let mut found = Vec::new();
        check(&files, &mut found);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_of_a_page_that_does_not_exist_is_reported() {
        let dead = concat!("spec", "/tar.md");
        assert_eq!(
            of("src/x.rs", &format!("//! a\n// See `{dead}`.\n")),
            [format!("src/x.rs:2: names {dead}, which does not exist")]
        );
        assert!(of("src/x.rs", "//! See `spec/frame.md`. And spec/frame.md.\n").is_empty());
        assert!(of("src/x.rs", "//! distribution-spec/spec.md\n").is_empty());
    }

    #[test]
    fn links_of_a_page_lead_to_files_folders_and_sections() {
        assert!(
            of("spec/volume.md", "[x](frame.md) `[a](b)` [y](frame.md#stored-frames-x) [z](../src) [w](https://a/b)\n")
                .is_empty()
        );
        for dead in ["tar.md", "frame.md#packed", "../srcs"] {
            assert_eq!(of("spec/volume.md", &format!("[x]({dead})\n")).len(), 1, "{dead}");
        }
        assert!(of("README.md", "# Here\n[x](#here)\n").is_empty());
        assert_eq!(of("README.md", "# Here\n[x](#there)\n").len(), 1);
    }
}
