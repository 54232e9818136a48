//! Reads the tallies to join, before anything of the bundle, and finds out whether they can be believed:
//! by their signatures, which are judged later, or because only the operator can have written them.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::base::fault::{Class, Fault, differs, escape};
use crate::base::shard::{MOST, Shard};
use crate::bundle::Name;
use crate::bundle::check::seen::MAX_FILE;
use crate::cli::args::bundle::name_of;
use crate::cli::receipt::signature_path;
use crate::cli::{Session, trusted_file};
use crate::operate::tallies::File;
use crate::signing::envelope;
use crate::system::{self, Found};

/// Reads the tallies that `typed` names: files, or the tallies of the bundle in directories.
///
/// # Errors
/// Class usage if there are none, or if a tally without signatures could be somebody else's; class io.
pub fn read(typed: &[PathBuf], bundle: &OsStr, session: &Session<'_>) -> Result<Vec<File>, Fault> {
    let mut paths = Vec::new();
    for path in typed {
        let full = session.path(path);
        if full.is_dir() {
            let name = name_of(bundle, session)?;
            paths.extend(tallies_in(&full, &name)?);
        } else if !is_signatures(&full) {
            // Signature files are read with their tallies; a shell's `*.json` names both.
            paths.push(full);
        }
    }
    if paths.is_empty() {
        let shown: Vec<String> = typed.iter().map(|path| escape(&path.to_string_lossy())).collect();
        let what = differs(format_args!("--join {}", shown.join(" ")), "the tallies of the shards", "none");
        return Err(Fault::usage(what, "name the files that `packmule verify --shard I/N -o FILE` wrote"));
    }
    paths.iter().map(|path| one(path, session)).collect()
}

fn is_signatures(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".sig.json")
}

/// Returns the tallies of a bundle in a directory, by their names.
fn tallies_in(dir: &Path, bundle: &Name) -> Result<Vec<PathBuf>, Fault> {
    let io = |error: std::io::Error| {
        Fault::new(Class::Io, format!("--join {}: {error}", escape(&dir.to_string_lossy())))
            .help("name a directory that you can read, or the tallies themselves")
    };
    let is_tally = |name: &str| {
        let stem = name.strip_prefix(bundle.as_str()).and_then(|rest| rest.strip_prefix('.'));
        let shard = stem.and_then(|stem| stem.strip_suffix(".json")).map(|stem| stem.replace("-of-", "/"));
        shard.is_some_and(|shard| Shard::parse(&shard).is_some())
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        if name.to_str().is_some_and(is_tally) && paths.len() <= MOST as usize {
            paths.push(dir.join(name));
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads one tally. Who wrote it is asked only if nobody signed it.
fn one(path: &Path, session: &Session<'_>) -> Result<File, Fault> {
    let name = escape(&path.to_string_lossy());
    let signatures = plain(&signature_path(path), envelope::MAX_FILE as u64)?.filter(|bytes| !bytes.is_empty());
    let bytes = match &signatures {
        Some(_) => plain(path, MAX_FILE as u64)?.ok_or_else(|| {
            Fault::new(Class::Io, format!("tally {name}: no such file")).help("name an existing file")
        })?,
        None => {
            let kind = trusted_file::Kind { noun: "tally", option: "--join", most: MAX_FILE as u64 };
            trusted_file::read_bytes(path, &kind, session.world)?
        }
    };
    Ok(File { name, bytes, signatures })
}

/// Reads a plain file, at most one byte more than `most`; `None` if there is none.
fn plain(path: &Path, most: u64) -> Result<Option<Vec<u8>>, Fault> {
    let io = |error: std::io::Error| {
        Fault::new(Class::Io, format!("tally {}: {error}", escape(&path.to_string_lossy())))
            .help("check that the file can be read, and run the command again")
    };
    let file = match system::open_file(path) {
        Ok(file) => file,
        Err(unopened) if unopened.found == Found::Nothing => return Ok(None),
        Err(unopened) => return Err(io(unopened.error)),
    };
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(io)?;
    Ok(Some(bytes))
}
