//! Phrases that are hard to read, and the words to use instead (`CONTRIBUTING.md`, English).
//!
//! Looks at single lines, so a phrase that is broken across two lines is not found.

use crate::tidy::{File, Finding, source};

/// Beginnings that a paragraph of a doc comment must not have.
const BEGINNINGS: [&str; 2] = ["The same", "What"];

/// Phrases in lower case that must not be used, and the words to use instead.
const PHRASES: &[(&str, &str)] = &[
    ("lacks", "has no, is missing"),
    ("beside", "next to, also, compared with"),
    ("leave it away", "remove it, omit it"),
    ("left away", "omitted"),
    ("taken away", "removed"),
    ("to be had", "available"),
    ("otherwise than", "differently from"),
    ("on its own account", "for its own sake"),
    ("in its turn", "in order"),
    ("stands twice", "is repeated, is listed twice"),
    ("speaks of", "refers to"),
    ("all the same", "anyway"),
    ("so many", "the number, this many"),
    ("the very", "exactly, the same"),
    ("anew", "again"),
    ("seldom", "rarely"),
    ("yardstick", "reference"),
    ("mend", "fix, repair"),
];

/// Reports paragraphs of doc comments with a refused beginning.
pub fn beginnings(file: &File, found: &mut Vec<Finding>) {
    let mut is_start = true;
    for (number, line) in file.text.lines().enumerate() {
        let line = line.trim_start();
        let Some(text) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(str::trim) else {
            is_start = true;
            continue;
        };
        for start in BEGINNINGS.iter().filter(|start| is_start && begins(text, start)) {
            found.push(Finding {
                path: file.path.clone(),
                line: number + 1,
                text: format!("a doc comment begins with `{start}`; begin with a verb or a noun"),
            });
        }
        is_start = text.is_empty() || text.starts_with("# ");
    }
}

/// Reports refused phrases in comments and strings of `src/`, in pages of `spec/` and in `README.md`.
pub fn check(file: &File, found: &mut Vec<Finding>) {
    let is_in = |folder: &str, end: &str| file.path.starts_with(folder) && file.path.ends_with(end);
    let lines = if is_in("src/", ".rs") {
        source::prose(&file.text)
    } else if is_in("spec/", ".md") || file.path == "README.md" {
        file.text.lines().map(str::to_owned).collect()
    } else {
        return;
    };
    for (number, line) in lines.iter().enumerate() {
        let line = line.to_lowercase();
        for (phrase, instead) in PHRASES.iter().filter(|(phrase, _)| contains(&line, phrase)) {
            found.push(Finding {
                path: file.path.clone(),
                line: number + 1,
                text: format!("contains `{phrase}`; use plain English: {instead}"),
            });
        }
    }
}

fn begins(text: &str, start: &str) -> bool {
    text.strip_prefix(start).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
}

/// Whether `line` contains `phrase` as whole words that are not part of a name.
fn contains(line: &str, phrase: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '`' | '{' | '}');
    line.match_indices(phrase)
        .any(|(at, _)| !line[..at].ends_with(is_name) && !line[at + phrase.len()..].starts_with(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::each;

    fn one(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.into(), text: format!("//! x\n\n{text}") };
        each(&[file]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn doc_comments_begin_with_a_verb_or_a_noun() {
        for start in BEGINNINGS {
            for path in ["src/oci.rs", "tests/a.rs", "xtask/src/a.rs"] {
                for wrong in
                    [format!("/// {start} x."), format!("//! {start}, x."), format!("/// X.\n///\n/// {start} x.")]
                {
                    assert_eq!(one(path, &wrong).len(), 1, "{path}: {wrong}");
                }
                assert_eq!(one(path, &format!("    /// # Errors\n    /// {start} x.")).len(), 1);
            }
            for right in [format!("/// X\n/// {start} x."), format!("/// {start}ever x."), format!("// {start} x.")] {
                assert!(one("src/oci.rs", &right).is_empty(), "{right}");
            }
        }
    }

    #[test]
    fn phrases_are_named_with_the_words_to_use() {
        for (phrase, instead) in PHRASES {
            let capital = phrase[..1].to_uppercase() + &phrase[1..];
            for (path, wrong) in [
                ("src/oci.rs", format!("/// It {phrase} it.")),
                ("src/oci.rs", format!("let x = 1; // {capital}: x")),
                ("src/oci.rs", format!("let x = \"{phrase}\";")),
                ("spec/frame.md", format!("{capital} it.")),
                ("README.md", format!("It {phrase}.")),
            ] {
                let found = one(path, &wrong);
                assert!(found.len() == 1 && found[0].contains(instead), "{path}: {wrong}: {found:?}");
            }
            assert!(one("tests/a.rs", &format!("// It {phrase} it.")).is_empty());
            assert!(one("src/oci.rs", &format!("// It un{phrase}, {phrase}ing, `{phrase}`.")).is_empty());
        }
    }

    #[test]
    fn names_in_code_are_not_phrases() {
        assert!(one("src/oci.rs", "let lacks = beside(1, '\"'); // fine\nlet set_beside = lacks;").is_empty());
        assert_eq!(one("src/oci.rs", "let lacks = \"it lacks x\";").len(), 1);
    }
}
