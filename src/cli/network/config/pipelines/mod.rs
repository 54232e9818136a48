//! Pipelines in the configuration: `[export.N]` and `[import.N]`.
//!
//! Decides what the keys of a table mean together. Opens nothing and reads no secret.

mod artifacts;
mod export;
mod import;
pub mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;

pub use self::export::{Export, Release};
pub use self::import::{EMITTED, Import, Receipt};
use super::Config;
use super::tables::Words;
use crate::base::fault::Fault;
use crate::toml_file::error::{At, Text, nearest};
use crate::toml_file::spelling::Table;

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
struct Reading<'a> {
    subject: String,
    file: Text<'a>,
    at: At,
    dir: &'a Path,
}

impl Reading<'_> {
    /// Returns a fault at the table.
    fn wrong(&self, what: impl fmt::Display, help: impl Into<String>) -> Fault {
        self.at.wrong(format!("{}: {what}", self.subject), help)
    }

    /// Returns a fault at a value.
    fn wrong_at<T>(&self, value: &Spanned<T>, what: impl fmt::Display, help: impl Into<String>) -> Fault {
        self.file.at(&value.span()).wrong(format!("{}: {what}", self.subject), help)
    }

    /// Resolves a path in the file.
    fn path(&self, path: &Path) -> PathBuf {
        self.dir.join(path)
    }

    /// Returns the place that `storage` or `dir` names.
    fn place(&self, storage: Option<&Spanned<String>>, dir: Option<&PathBuf>) -> Result<Place, Fault> {
        match (storage, dir) {
            (Some(name), None) => Ok(Place::Storage(name.get_ref().clone())),
            (None, Some(dir)) => Ok(Place::Directory(self.path(dir))),
            (Some(_), Some(_)) => Err(self.wrong("expected storage or dir, found both", "keep one of them")),
            (None, None) => Err(self.wrong("expected storage or dir, found neither", "add one of them")),
        }
    }

    /// Returns keys that sign; files are relative to the configuration's directory.
    fn keys(&self, words: Option<Words>) -> Vec<PathBuf> {
        let key = |text: String| {
            if text.starts_with(crate::keys::pkcs11::uri::SCHEME) {
                PathBuf::from(text)
            } else {
                self.path(text.as_ref())
            }
        };
        words.map(Words::into_list).unwrap_or_default().into_iter().map(key).collect()
    }
}

impl Words {
    /// Returns all strings.
    pub fn into_list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(list) => list,
        }
    }
}

impl Config {
    /// Adds the pipelines of one file.
    pub(super) fn add_pipelines(
        &mut self,
        exports: BTreeMap<String, Spanned<Table<tables::Export>>>,
        imports: BTreeMap<String, Spanned<Table<tables::Import>>>,
        file: Text<'_>,
        dir: &Path,
    ) -> Result<(), Fault> {
        for (name, table) in exports {
            let (subject, at) = (format!("export {name:?}"), file.at(&table.span()));
            if let Some(other) = self.exports.get(&name) {
                return Err(at.wrong(format!("{subject}: also defined in {}", other.at), "keep one of them"));
            }
            let reading = Reading { subject, file, at, dir };
            reading.check_name(&name)?;
            let export = export::read(&name, table.into_inner().into_inner(), &reading)?;
            self.exports.insert(name, export);
        }
        for (name, table) in imports {
            let (subject, at) = (format!("import {name:?}"), file.at(&table.span()));
            if let Some(other) = self.imports.get(&name) {
                return Err(at.wrong(format!("{subject}: also defined in {}", other.at), "keep one of them"));
            }
            let reading = Reading { subject, file, at, dir };
            reading.check_name(&name)?;
            let import = import::read(&name, table.into_inner().into_inner(), &reading)?;
            self.imports.insert(name, import);
        }
        Ok(())
    }

    /// Checks that what pipelines name exists.
    ///
    /// # Errors
    /// Class usage.
    pub fn check_pipelines(&self) -> Result<(), Fault> {
        let exports = self.exports.values().map(|one| ("export", &one.name, &one.place, &one.at));
        let imports = self.imports.values().map(|one| ("import", &one.name, &one.place, &one.at));
        for (kind, name, place, at) in exports.chain(imports) {
            let Place::Storage(storage) = place else { continue };
            if self.storage.contains_key(storage) {
                continue;
            }
            let known: Vec<_> = self.storage.keys().cloned().collect();
            let help = match nearest(storage, &known, "config") {
                near if near.starts_with("did you") => near,
                _ => format!("add [storage.{storage}]"),
            };
            return Err(at.wrong(format!("{kind} {name:?}: there is no storage {storage:?}"), help));
        }
        Ok(())
    }
}

impl Reading<'_> {
    fn check_name(&self, name: &str) -> Result<(), Fault> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !name.is_empty() && name.len() <= 64 && name.bytes().all(plain) {
            return Ok(());
        }
        Err(self.wrong("expected a name of at most 64 letters, digits, - and _", "choose another name"))
    }
}
