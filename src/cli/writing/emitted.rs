//! Generated files in a directory: all of them are written under temporary names first, then each
//! gets its own. Only files that begin with the mark of their kind are replaced.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::newfile::Draft;
use crate::base::fault::{Class, Fault};
use crate::cli::pem::shown;
use crate::cli::session::Session;
use crate::operate::emit::{Emitted, File as Generated, Kind};
use crate::outfile::{Place, begins, check_folder, look, unmounted};
use crate::system;

/// Noun for a file in messages.
const NOUN: &str = "file of this kind";

/// Outcome for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Written,
    /// An earlier one was replaced.
    Replaced,
    /// It was there with the same content.
    Unchanged,
}

impl Change {
    /// Returns the word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Replaced => "replaced",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Files in a directory.
#[derive(Debug, Default)]
pub struct Put {
    /// Files of this run, with their paths as shown.
    pub files: Vec<(String, Change)>,
    /// Files of an earlier run that are not among them.
    pub stale: Vec<String>,
}

impl Put {
    /// Returns a value for programs.
    pub fn json(&self) -> Value {
        let files: Vec<Value> =
            self.files.iter().map(|(path, change)| json!({ "path": path, "state": change.word() })).collect();
        json!({ "files": files, "stale": self.stale })
    }
}

/// Puts the files of `emit` into `dir`, which is created, and names those that are stale in a
/// warning.
///
/// # Errors
/// Those of [`put_all`].
pub fn put(dir: &Path, emitted: &Emitted, session: &Session<'_>) -> Result<Put, Fault> {
    let files = put_all(dir, &emitted.files, &emitted.kind.mark(), session)?;
    let stale: Vec<String> = stale(dir, &session.path(dir), emitted).map_err(|error| failed(dir, &error))?;
    for path in &stale {
        session.flow.warn(format!("{path}: written by an earlier emit, and for no host of these receipts: remove it"));
    }
    Ok(Put { files, stale })
}

/// Puts files that begin with `mark` into `dir`, which is created.
///
/// # Errors
/// Class usage if another file is in the way, before anything is written; class io.
pub fn put_all(
    dir: &Path,
    files: &[Generated],
    mark: &str,
    session: &Session<'_>,
) -> Result<Vec<(String, Change)>, Fault> {
    let full = session.path(dir);
    check_folder(&full, &shown(dir))?;
    unmounted(&full).into_iter().for_each(|warning| session.flow.warn(warning));
    let mut planned = Vec::new();
    for file in files {
        let (path, target) = (dir.join(&file.path), full.join(&file.path));
        let subject = shown(&path);
        let place = look(&target, |found: &File| begins(found, mark.as_bytes()));
        let change = match place.map_err(|refusal| refusal.into_fault(&subject, NOUN))? {
            Place::Free => Change::Written,
            Place::Own if has(&target, &file.text) => Change::Unchanged,
            Place::Own => Change::Replaced,
            Place::Stream(_) => {
                let what = format!("{subject}: expected a file, found a device or pipe");
                return Err(Fault::usage(what, "name a directory of files, or leave out -o"));
            }
        };
        planned.push((path, target, change, &file.text));
    }
    let mut drafts = Vec::new();
    for (path, target, change, text) in &planned {
        if *change == Change::Unchanged {
            continue;
        }
        let draft = folder(target).and_then(|()| Draft::beside(target, 0o644));
        let draft = draft.and_then(|draft| draft.fill(text.as_bytes()).map(|()| draft));
        drafts.push((path, *change, draft.map_err(|error| failed(path, &error))?));
    }
    for (path, change, draft) in drafts {
        let named = if change == Change::Replaced { draft.replace() } else { draft.settle() };
        named.map_err(|error| failed(path, &error))?;
    }
    Ok(planned.iter().map(|(path, _, change, _)| (shown(path), *change)).collect())
}

fn failed(path: &Path, error: &io::Error) -> Fault {
    Fault::new(Class::Io, format!("{}: {error}", shown(path))).help("name a directory that you can write to")
}

/// Creates the folder of a file.
fn folder(target: &Path) -> io::Result<()> {
    target.parent().map_or(Ok(()), system::make_folders)
}

/// Whether the file has exactly this content.
fn has(path: &Path, text: &str) -> bool {
    let mut bytes = Vec::new();
    let Ok(file) = system::open_file(path) else { return false };
    file.take(text.len() as u64 + 1).read_to_end(&mut bytes).is_ok_and(|_| bytes == text.as_bytes())
}

/// Returns the files in `dir` that an earlier run wrote and this one did not. Only a tree of hosts
/// can have them.
fn stale(dir: &Path, full: &Path, emitted: &Emitted) -> io::Result<Vec<String>> {
    if emitted.kind != Kind::Containerd || !full.exists() {
        return Ok(Vec::new());
    }
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(full)? {
        let path = Path::new(&entry?.file_name()).join("hosts.toml");
        let is_ours = emitted.files.iter().any(|file| Path::new(&file.path) == path);
        let open = || system::open_file(&full.join(&path)).ok();
        if !is_ours && open().is_some_and(|file| begins(&file, emitted.kind.mark().as_bytes()).unwrap_or(false)) {
            found.push(dir.join(path));
        }
    }
    found.sort();
    Ok(found.iter().map(|path| shown(path)).collect())
}
