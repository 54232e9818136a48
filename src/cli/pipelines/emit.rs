//! `receipt.emit`: files for clusters from all receipts of a pipeline.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::cli::network::config::pipelines::Receipt as Receipts;
use crate::cli::receipt::load;
use crate::cli::writing::emitted::put;
use crate::operate::emit::{Options, write};
use crate::receipt::Receipt;
use crate::system;

/// Makes the files of all kinds. Returns for each kind what was written.
///
/// # Errors
/// Class io; those of making the files.
pub(super) fn all(receipts: &Receipts, session: &Session<'_>) -> Result<Vec<Value>, Fault> {
    if receipts.emit.is_empty() {
        return Ok(Vec::new());
    }
    let found = read(&session.path(&receipts.dir))?;
    let mut all = Vec::new();
    for (kind, dir) in &receipts.emit {
        let (kind, name) = (*kind, kind.name());
        let emitted = write(&found, kind, &Options::default())?;
        for one in &emitted.unmapped {
            session
                .flow
                .warn(format!("emit {name}: {} is not mapped to {}: {}", one.source, one.destination, one.reason));
        }
        let mut written = put(dir, &emitted, session)?.json();
        written["kind"] = json!(name);
        all.push(written);
    }
    Ok(all)
}

/// Reads all receipts in a directory. Other files are passed over.
fn read(dir: &Path) -> Result<Vec<Receipt>, Fault> {
    let io = |error: std::io::Error| {
        Fault::new(Class::Io, format!("receipts {}: {error}", dir.display())).help("check that it can be read")
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        // Signatures have a name with an ending of their own.
        let is_signed =
            path.file_stem().is_some_and(|stem| Path::new(stem).extension().is_some_and(|end| end == "sig"));
        if path.extension().is_some_and(|end| end == "json") && !is_signed {
            paths.push(path);
        }
    }
    paths.sort();
    let open = |path: &PathBuf| system::open_file(path).ok().and_then(|file| load(path, file).ok());
    Ok(paths.iter().filter_map(open).collect())
}
