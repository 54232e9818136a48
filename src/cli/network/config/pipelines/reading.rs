//! Values that both kinds of pipelines have, and the table that is being read.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;

use crate::base::fault::Fault;
use crate::cli::network::config::words::Words;
use crate::keys::pkcs11::uri::SCHEME;
use crate::toml_file::error::{At, Text};

/// Where bundles go or come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The container of a `[storage]` table.
    Storage(String),
    /// A directory.
    Directory(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(name) => write!(f, "storage:{name}"),
            Self::Directory(dir) => write!(f, "{}", dir.display()),
        }
    }
}

/// A table that is being read: its name for messages, and where it is.
pub struct Reading<'a> {
    /// Names the table in messages.
    pub subject: String,
    /// The file.
    pub file: Text<'a>,
    /// Position of the table.
    pub at: At,
    /// Directory of the file.
    pub dir: &'a Path,
}

impl Reading<'_> {
    /// Returns a fault at the table.
    pub fn wrong(&self, what: impl fmt::Display, help: impl Into<String>) -> Fault {
        self.at.wrong(format!("{}: {what}", self.subject), help)
    }

    /// Returns a fault at a value.
    pub fn wrong_at<T>(&self, value: &Spanned<T>, what: impl fmt::Display, help: impl Into<String>) -> Fault {
        self.file.at(&value.span()).wrong(format!("{}: {what}", self.subject), help)
    }

    /// Resolves a path in the file.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.dir.join(path)
    }

    /// Returns the place that `storage` or `dir` names.
    pub fn place(&self, storage: Option<&Spanned<String>>, dir: Option<&PathBuf>) -> Result<Place, Fault> {
        match (storage, dir) {
            (Some(name), None) => Ok(Place::Storage(name.get_ref().clone())),
            (None, Some(dir)) => Ok(Place::Directory(self.path(dir))),
            (Some(_), Some(_)) => Err(self.wrong("expected storage or dir, found both", "keep one of them")),
            (None, None) => Err(self.wrong("expected storage or dir, found neither", "add one of them")),
        }
    }

    /// Returns keys that sign; files are relative to the configuration's directory.
    pub fn keys(&self, words: Option<Words>) -> Vec<PathBuf> {
        let key = |text: String| {
            if text.starts_with(SCHEME) { PathBuf::from(text) } else { self.path(text.as_ref()) }
        };
        words.map(Words::into_list).unwrap_or_default().into_iter().map(key).collect()
    }

    /// Checks the name of a pipeline.
    pub fn check_name(&self, name: &str) -> Result<(), Fault> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !name.is_empty() && name.len() <= 64 && name.bytes().all(plain) {
            return Ok(());
        }
        Err(self.wrong("expected a name of at most 64 letters, digits, - and _", "choose another name"))
    }
}
