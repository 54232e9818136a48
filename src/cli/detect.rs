//! Tells whether a path given to `inspect` or `--base` names a receipt, an audit log, or neither.
//!
//! Looks only at the first bytes; parses nothing.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::Session;
use crate::audit::head::place;
use crate::audit::line;
use crate::receipt;
use crate::system;

/// Number of bytes looked at: the maximum line of an audit log.
const LOOKED: usize = line::MAX_LINE;

/// An open file that is not a bundle.
pub enum Paper {
    /// A receipt.
    Receipt(PathBuf, File),
    /// An audit log.
    Log(PathBuf, File),
}

/// Returns the path of the plain file that `text` names, with or without the ending `.json`. Opens
/// nothing.
pub fn path(text: impl AsRef<OsStr>, session: &Session<'_>) -> Option<PathBuf> {
    let typed = session.path(Path::new(text.as_ref()));
    let mut longer = typed.clone().into_os_string();
    longer.push(".json");
    let plain = |path: &PathBuf| path.metadata().is_ok_and(|found| found.is_file());
    [typed, PathBuf::from(longer)].into_iter().find(plain)
}

/// Returns what lies at `path`, whose absolute path without links is `full`; `heads` is the
/// directory of the heads of audit logs.
pub fn look(path: PathBuf, full: &Path, heads: Option<&Path>) -> Option<Paper> {
    let file = system::open_followed(&path).ok()?;
    let length = usize::try_from(file.metadata().ok()?.len()).unwrap_or(LOOKED);
    let mut bytes = vec![0; LOOKED.min(length)];
    system::read_exact_at(&file, &mut bytes, 0).ok()?;
    if bytes.starts_with(receipt::BEGINS) {
        return Some(Paper::Receipt(path, file));
    }
    // These quotes cannot occur inside a string of another JSON file: they would be escaped.
    let mark = format!("\"format\":\"{}\"", line::FORMAT);
    let is_marked = || bytes.windows(mark.len()).any(|window| window == mark.as_bytes());
    let is_known = || heads.is_some_and(|heads| place(heads, full).exists());
    (bytes.starts_with(line::BEGINS) || is_marked() || is_known()).then_some(Paper::Log(path, file))
}

/// Returns the receipt or audit log that `text` names.
pub fn find(text: impl AsRef<OsStr>, session: &Session<'_>) -> Option<Paper> {
    let path = path(text, session)?;
    let full = session.full_path(&path);
    look(path, &full, session.heads().as_deref())
}
