//! `--lock`: what was resolved, as a list that `-f` reads.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::cli::pem::shown;
use crate::cli::writing::newfile::Draft;
use crate::decide::select::{Referrers, Wanted};
use crate::decide::selector::Selector;
use crate::oci::Digest;
use crate::outfile::{Place, begins, look};

/// First bytes of every lock, by which an earlier one is recognized.
const HEAD: &str = "# packmule lock: what an export resolved, for `packmule export -f`\n";
const NOUN: &str = "lock";

/// The target of `--lock`.
pub struct Lock {
    shown: String,
    target: PathBuf,
}

impl Lock {
    /// Checks `path` before any work.
    ///
    /// # Errors
    /// Class usage for a file that is not an earlier lock, or the name of a bundle's file; class io.
    pub fn open(path: &Path, session: &Session<'_>) -> Result<Self, Fault> {
        let lock = Self { shown: format!("--lock {}", shown(path)), target: session.path(path) };
        lock.place()?;
        Ok(lock)
    }

    fn place(&self) -> Result<Place, Fault> {
        let is_own = |file: &File| begins(file, HEAD.as_bytes());
        look(&self.target, is_own).map_err(|refusal| refusal.into_fault(&self.shown, NOUN))
    }

    /// Writes the lock; replaces an earlier one. Each line has a selector with the digest that it
    /// resolved to.
    ///
    /// # Errors
    /// Class io; class usage if another file has appeared there.
    pub fn write(&self, resolved: &[(String, Wanted, Digest)]) -> Result<(), Fault> {
        let mut lines: Vec<String> = resolved.iter().map(|(at, wanted, digest)| line(at, wanted, *digest)).collect();
        lines.sort();
        lines.dedup();
        let text = format!("{HEAD}{}\n", lines.join("\n"));
        let failed = |error: &io::Error| {
            Fault::new(Class::Io, format!("{}: {error}", self.shown))
                .help("name a file in a directory that you can write to")
        };
        let place = self.place()?;
        if let Place::Stream(mut stream) = place {
            return stream.write_all(text.as_bytes()).map_err(|error| failed(&error));
        }
        let draft = Draft::beside(&self.target, 0o644).and_then(|draft| draft.fill(text.as_bytes()).map(|()| draft));
        let draft = draft.map_err(|error| failed(&error))?;
        let named = if matches!(place, Place::Own) { draft.replace() } else { draft.settle() };
        named.map_err(|error| failed(&error))
    }
}

/// Returns the selector of one resolved reference. `at` is the place that it was selected from:
/// empty for registries, else `oci:DIR:`, `bundle:BUNDLE:`, `docker-archive:FILE:` or `file:PATH`.
fn line(at: &str, wanted: &Wanted, digest: Digest) -> String {
    let tag = wanted.reference.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    let repository = &wanted.reference.repository;
    let mut name = wanted.as_name.as_ref().map(|(repository, tag)| {
        let tag = tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        format!("{repository}{tag}")
    });
    let source = if at.starts_with("oci:") {
        // A layout finds a digest whatever its name is; the name is given again.
        if name.is_none() && !repository.host().is_empty() {
            name = Some(format!("{repository}{tag}"));
        }
        format!("{at}{digest}")
    } else if at.starts_with("file:") {
        // The path alone: it has no digest.
        at.to_owned()
    } else {
        format!("{at}{repository}{tag}@{digest}")
    };
    let mut keys: Vec<(&str, String)> = Vec::new();
    keys.extend(wanted.filters.platforms.iter().map(|platform| ("platform", platform.to_string())));
    match &wanted.filters.referrers {
        Referrers::All => {}
        Referrers::None => keys.push(("referrers", "none".to_owned())),
        Referrers::Types(types) => keys.extend(types.iter().map(|kind| ("referrers", kind.clone()))),
    }
    keys.extend(name.map(|name| ("as", name)));
    let escaped = |text: &str| text.replace(',', "\\,");
    let keys: String = keys.iter().map(|(key, value)| format!(",{key}={}", escaped(value))).collect();
    let text = format!("{}{keys}", escaped(&source));
    // Shown as selectors are, where it is one.
    Selector::parse(&text).map_or(text, |selector| selector.to_string())
}
