//! Faults of TOML files that people write, with the line and one advice.
//!
//! Opens nothing. No value of the file is repeated here: in a configuration it may be a secret.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::base::fault::{Class, Fault};

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

impl At {
    /// A fault here.
    pub fn wrong(&self, what: impl fmt::Display, help: impl Into<String>) -> Fault {
        Fault::new(Class::Usage, format!("{self}: {what}")).help(help)
    }
}

/// A file with its text, to find lines in.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// The file.
    pub file: &'a Path,
    /// All of it.
    pub text: &'a str,
    /// Its name for `packmule schema`.
    pub schema: &'static str,
}

impl Text<'_> {
    /// The line where a span begins.
    pub fn at(&self, span: &Range<usize>) -> At {
        let before = self.text.as_bytes().iter().take(span.start);
        At { file: self.file.to_owned(), line: 1 + before.filter(|byte| **byte == b'\n').count() }
    }

    fn see(&self) -> String {
        format!("see `packmule schema {}`", self.schema)
    }

    /// Returns the fault for an error of the parser, in our words.
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
            let what = format!("unknown {name} {found:?}: expected one of {}", known.join(", "));
            return at.wrong(what, nearest(&found, &known, self.schema));
        }
        for word in ["invalid type: ", "invalid value: "] {
            let Some((found, expected)) = message.strip_prefix(word).and_then(|rest| rest.rsplit_once(", expected "))
            else {
                continue;
            };
            // The value stands after the kind.
            let kind = found.split(['"', '`']).next().unwrap_or_default().trim();
            return at.wrong(format!("expected {expected}, found {kind}"), self.see());
        }
        let what = message.lines().next().unwrap_or_default();
        at.wrong(what, format!("write it as TOML; {}", self.see()))
    }
}

/// Advice for a word that is none of `known`, in a file of this schema.
pub fn nearest(word: &str, known: &[String], schema: &str) -> String {
    let near = known.iter().map(|one| (strsim::jaro_winkler(word, one), one)).filter(|(score, _)| *score > 0.7);
    match near.max_by(|one, other| one.0.total_cmp(&other.0)) {
        Some((_, one)) => format!("did you mean {one}?"),
        None => format!("see `packmule schema {schema}`"),
    }
}
