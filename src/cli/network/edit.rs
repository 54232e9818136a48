//! Changes of a configuration file that keep its comments. The loader checks new content before it
//! replaces the file.

use std::path::{Path, PathBuf};

use toml_edit::DocumentMut;

use super::config::{self, Config, ConfigFiles};
use super::replace;
use crate::base::fault::{Class, Fault};
use crate::cli::Session;

/// Returns the file to change: the one named, else the one that is read, else the user's own.
///
/// # Errors
/// Class usage: several files are named.
pub fn target(files: &ConfigFiles, session: &Session<'_>) -> Result<PathBuf, Fault> {
    match files.places(session.world).as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            let own = session.world.settings().unwrap_or_else(|| session.world.etc.clone());
            Ok(own.join("packmule/packmule.toml"))
        }
        _ => Err(Fault::new(Class::Usage, "--config: expected one file to change, found several").help("name one")),
    }
}

/// Changes the file with `change`, which receives the document and the configuration parsed from
/// it. The result must be a valid configuration, which is returned.
///
/// # Errors
/// Class usage for a file that is not a valid configuration, before or after; class io and lock if it
/// cannot be replaced; those of `change`.
pub fn edit(
    path: &Path,
    session: &Session<'_>,
    change: impl FnOnce(&mut DocumentMut, &Config) -> Result<(), Fault>,
) -> Result<Config, Fault> {
    let before = match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        _ => Some(config::read(path, session.world)?),
    };
    let text = before.as_deref().unwrap_or_default();
    // The loader parses first, since its errors name the line.
    let old = parse(path, text)?;
    let mut document: DocumentMut = text.parse().map_err(|_| {
        Fault::new(Class::Usage, format!("configuration {}: expected TOML", path.display())).help("repair it by hand")
    })?;
    change(&mut document, &old)?;
    let after = document.to_string();
    let new = parse(path, &after)?;
    replace::replace(path, before.as_ref().map(String::as_bytes), after.as_bytes()).map_err(|error| {
        Fault::new(replace::class(&error), format!("configuration {}: {error}", path.display()))
            .help("name another file with --config")
    })?;
    Ok(new)
}

/// Parses the text with the loader. Variables may be unset here.
///
/// # Errors
/// Class usage.
pub fn parse(path: &Path, text: &str) -> Result<Config, Fault> {
    let mut config = Config::default();
    config.add(path, text, None)?;
    Ok(config)
}
