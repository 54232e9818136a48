//! Errors in TOML files that people write, with the line and one line of advice.
//!
//! Opens no files. Never repeats a value of the file, since it may be a secret in a configuration.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::base::fault::{Class, Description, Fault, differs, expects};

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// Path of the file.
    pub file: PathBuf,
    /// Line number, starting at 1.
    pub line: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

impl At {
    /// Makes a fault at this line.
    pub fn wrong(&self, what: impl Into<Description>, help: impl Into<String>) -> Fault {
        Fault::new(Class::Usage, what.into().within(format_args!("{self}"))).help(help)
    }
}

/// A file with its text, for finding line numbers.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// Path of the file.
    pub file: &'a Path,
    /// Whole text of the file.
    pub text: &'a str,
    /// Name of the schema for `packmule schema`.
    pub schema: &'static str,
}

impl Text<'_> {
    /// Returns the line where a span begins.
    pub fn at(&self, span: &Range<usize>) -> At {
        let before = self.text.as_bytes().iter().take(span.start);
        At { file: self.file.to_owned(), line: 1 + before.filter(|byte| **byte == b'\n').count() }
    }

    fn see(&self) -> String {
        format!("see `packmule schema {}`", self.schema)
    }

    /// Converts an error of the parser to a fault with our own text.
    pub fn refused(&self, error: &toml::de::Error) -> Fault {
        let at = self.at(&error.span().unwrap_or_default());
        let message = error.message();
        let quoted =
            |text: &str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect() };
        for (word, name) in [("unknown field ", "key"), ("unknown variant ", "word")] {
            let Some(rest) = message.strip_prefix(word) else { continue };
            let (found, known) = rest.split_once(", expected ").unwrap_or((rest, ""));
            let found = quoted(found).pop().unwrap_or_default();
            let known = quoted(known);
            let what = expects(format_args!("unknown {name} {found:?}"), format_args!("one of {}", known.join(", ")));
            return at.wrong(what, nearest(&found, &known, self.schema));
        }
        for word in ["invalid type: ", "invalid value: "] {
            let Some((found, expected)) = message.strip_prefix(word).and_then(|rest| rest.rsplit_once(", expected "))
            else {
                continue;
            };
            // The value follows the kind.
            let kind = found.split(['"', '`']).next().unwrap_or_default().trim();
            return at.wrong(differs("", expected, kind), self.see());
        }
        let what = message.lines().next().unwrap_or_default();
        at.wrong(what, format!("write it as TOML; {}", self.see()))
    }
}

/// Returns advice for a word that is not in `known`, in a file with this schema.
pub fn nearest(word: &str, known: &[String], schema: &str) -> String {
    let near = known.iter().map(|one| (strsim::jaro_winkler(word, one), one)).filter(|(score, _)| *score > 0.7);
    match near.max_by(|one, other| one.0.total_cmp(&other.0)) {
        Some((_, one)) => format!("did you mean {one}?"),
        None => format!("see `packmule schema {schema}`"),
    }
}
