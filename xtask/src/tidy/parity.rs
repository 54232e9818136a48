//! Checks `spec/parity.md`: it contains every row of the acceptance list once, with existing tests,
//! or with "not yet".

use super::{File, Finding};
use std::collections::{BTreeMap, BTreeSet};

/// Path of the page.
const PAGE: &str = "spec/parity.md";

/// The rows: letter, and number of rows.
const ROWS: &[(char, usize)] = &[('T', 23), ('I', 14), ('C', 14)];

/// Words that may replace a test.
const NOT_YET: [&str; 2] = ["not yet", "not here"];

/// Reports rows that are missing, unknown or empty, and tests that do not exist.
pub fn check(files: &[File], found: &mut Vec<Finding>) {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else { return };
    let mut missing: BTreeSet<String> =
        ROWS.iter().flat_map(|&(letter, count)| (1..=count).map(move |number| format!("{letter}{number}"))).collect();
    let known = missing.clone();
    let tests = tests(files);
    for (number, line) in page.text.lines().enumerate() {
        let mut report = |text: String| found.push(Finding { path: PAGE.into(), line: number + 1, text });
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (Some(row), Some(last)) = (cells.first(), cells.last()) else { continue };
        if !is_row(row) || cells.len() < 2 {
            continue;
        }
        if !known.contains(*row) {
            report(format!("{row} is not a row of the list"));
        } else if !missing.remove(*row) {
            report(format!("{row} is listed twice"));
        }
        let names: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        if names.is_empty() && !NOT_YET.iter().any(|words| last.contains(words)) {
            report(format!("{row} has neither a test nor \"not yet\""));
        }
        for name in names {
            let (folder, test) = name.rsplit_once("::").unwrap_or(("", name));
            if !tests.get(test).is_some_and(|paths| paths.iter().any(|path| path.contains(folder))) {
                report(format!("{row}: there is no test `{name}`"));
            }
        }
    }
    for row in missing {
        found.push(Finding { path: PAGE.into(), line: 0, text: format!("row {row} is missing") });
    }
}

fn is_row(cell: &str) -> bool {
    let mut chars = cell.chars();
    chars.next().is_some_and(|letter| letter.is_ascii_uppercase())
        && !chars.as_str().is_empty()
        && chars.all(|c| c.is_ascii_digit())
}

/// Returns every function after `#[test]`, with the files that contain one of that name.
fn tests(files: &[File]) -> BTreeMap<&str, Vec<&str>> {
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.strip_suffix(".rs").is_some()) {
        let mut marked = false;
        for line in file.text.lines().map(str::trim) {
            if line == "#[test]" {
                marked = true;
            } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| marked) {
                let end = rest.find(['(', '<']).unwrap_or(rest.len());
                all.entry(&rest[..end]).or_default().push(&file.path);
                marked = false;
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let all: String = ROWS
            .iter()
            .flat_map(|&(letter, n)| (1..=n).map(move |i| format!("| {letter}{i} | x | not yet |\n")))
            .collect();
        let page = rows.lines().fold(all, |page, row| {
            let id = row.split('|').nth(1).unwrap().trim();
            page.replace(&format!("| {id} | x | not yet |\n"), &format!("{row}\n"))
        });
        let files =
            [file(PAGE, &page), file("tests/cli/a.rs", "#[test]\n#[cfg(unix)]\nfn t1_any() {}\nfn t2_none() {}\n")];
        let mut found = Vec::new();
        check(&files, &mut found);
        found.iter().map(|finding| finding.text.clone()).collect()
    }

    #[test]
    fn each_row_names_tests_that_exist() {
        assert!(of("").is_empty());
        assert!(of("| T1 | any | `t1_any` |\n| T2 | y | `cli::t1_any`, rest not yet |").is_empty());
        assert_eq!(of("| T2 | y | `t2_none` |"), ["T2: there is no test `t2_none`"]);
        assert_eq!(of("| T1 | y | `attacks::t1_any` |"), ["T1: there is no test `attacks::t1_any`"]);
        assert_eq!(of("| T3 | y |  |"), ["T3 has neither a test nor \"not yet\""]);
        assert_eq!(of("| T3 | y | not yet |\n| C9 | y | not yet |\n").len(), 0);
    }

    #[test]
    fn rows_are_complete_and_stand_once() {
        let file = |text: &str| [File { path: PAGE.into(), text: text.into() }];
        let mut found = Vec::new();
        check(&file("| T1 | a | not yet |\n| T1 | a | not yet |\n| T99 | a | not yet |\n"), &mut found);
        let texts: Vec<&str> = found.iter().map(|finding| finding.text.as_str()).collect();
        assert_eq!(texts[..2], ["T1 is listed twice", "T99 is not a row of the list"]);
        assert_eq!(texts.len(), 2 + 22 + 14 + 14);
    }
}
