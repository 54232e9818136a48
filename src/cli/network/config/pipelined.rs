//! The pipelines in a configuration: read from its files, and checked against its other tables.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;

use super::Config;
use super::pipelines::reading::{Place, Reading};
use super::pipelines::{export, import, tables};
use crate::base::fault::Fault;
use crate::toml_file::error::{Text, nearest};
use crate::toml_file::spelling::Table;

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

#[cfg(test)]
#[path = "pipelines/tests.rs"]
mod tests;
