//! One `[import.N]` table: where bundles arrive, where their content goes, and what is left of them.

use std::path::PathBuf;
use std::time::Duration;

use super::reading::{Place, Reading};
use super::tables::{self, Conflict};
use crate::base::fault::Fault;
use crate::cli::args::place::Destination;
use crate::cli::network::config::credential;
use crate::operate::emit::Kind;
use crate::operate::import::TagConflict;
use crate::secret::Secret;
use crate::toml_file::error::{At, nearest};

/// Time between two looks of a watcher, unless the table says otherwise.
const INTERVAL: Duration = Duration::from_secs(30);

/// An import pipeline.
#[derive(Clone, Debug)]
pub struct Import {
    /// Its name.
    pub name: String,
    /// Where bundles arrive.
    pub place: Place,
    /// The destination as configured, for messages and receipts.
    pub to: String,
    /// The destination.
    pub destination: Destination,
    /// Policy file; `None` for the usual one.
    pub policy: Option<PathBuf>,
    /// Maps as configured.
    pub maps: Vec<String>,
    /// Directory for relative paths in maps.
    pub dir: PathBuf,
    /// Whether the source's host stays in the names.
    pub keep_host: bool,
    /// Treatment of tags that name something else at the destination.
    pub tag_conflict: TagConflict,
    /// Whether failures of the destination are recorded, and the other artifacts go on.
    pub keep_going: bool,
    /// Whether to remove a bundle once all of it was read back.
    pub delete_source: bool,
    /// Whether a watcher serves this pipeline.
    pub trigger: bool,
    /// Time between two looks of a watcher.
    pub interval: Duration,
    /// Receipts of what arrived.
    pub receipt: Option<Receipt>,
    /// Position of the table.
    pub at: At,
}

/// Receipts.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Directory that they are written to.
    pub dir: PathBuf,
    /// Keys that sign them.
    pub sign: Vec<PathBuf>,
    /// Passphrase of all keys.
    pub passphrase: Option<Secret>,
    /// Files to make from all of them: kind and directory.
    pub emit: Vec<(Kind, PathBuf)>,
}

/// Reads a table.
pub fn read(name: &str, table: tables::Import, reading: &Reading<'_>) -> Result<Import, Fault> {
    let place = reading.place(table.storage.as_ref(), table.dir.as_ref())?;
    let Some(to) = table.to else {
        return Err(reading.wrong("expected to, found none", "add to = \"HOST/PREFIX\" or \"oci:DIR\""));
    };
    let destination = Destination::parse(to.get_ref()).map_err(|fault| {
        reading.wrong_at(&to, format_args!("to: {}", fault.what), "write HOST, HOST/PREFIX or oci:DIR")
    })?;
    let destination = match destination {
        Destination::Layout(dir) => Destination::Layout(reading.path(&dir)),
        registry @ Destination::Registry { .. } => registry,
    };
    let interval = match &table.interval {
        None => INTERVAL,
        Some(text) => crate::base::time::span(text.get_ref())
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs)
            .ok_or_else(|| {
                reading.wrong_at(text, "interval: expected a time such as 30s", "write a number of s, m, h or d")
            })?,
    };
    let receipt = table.receipt.as_ref().map(|table| receipt(table, reading)).transpose()?;
    let delete_source = table.delete_source.unwrap_or_default();
    if delete_source && receipt.is_none() {
        let what = "delete_source: expected receipt.dir as well, found none: a bundle is deleted only with its receipt on disk";
        return Err(reading.wrong(what, "add receipt = { dir = \"DIR\" }, or remove delete_source"));
    }
    Ok(Import {
        name: name.to_owned(),
        place,
        to: to.into_inner(),
        destination,
        policy: table.policy.map(|path| reading.path(&path)),
        maps: table.map.map(|words| words.into_inner().into_list()).unwrap_or_default(),
        dir: reading.dir.to_owned(),
        keep_host: table.keep_host.unwrap_or_default(),
        tag_conflict: match table.tag_conflict.as_deref().copied().unwrap_or_default() {
            Conflict::Fail => TagConflict::Fail,
            Conflict::Keep => TagConflict::Keep,
            Conflict::Move => TagConflict::Move,
            Conflict::Advance => TagConflict::Advance,
        },
        keep_going: table.keep_going.unwrap_or_default(),
        delete_source,
        trigger: table.trigger.unwrap_or(true),
        interval,
        receipt,
        at: reading.at.clone(),
    })
}

fn receipt(
    table: &toml::Spanned<crate::toml_file::spelling::Table<tables::Receipt>>,
    reading: &Reading<'_>,
) -> Result<Receipt, Fault> {
    let tables::Receipt { dir, sign, passphrase, emit } = table.get_ref().clone().into_inner();
    let Some(dir) = dir else {
        return Err(reading.wrong_at(table, "receipt: expected dir, found none", "add dir"));
    };
    if sign.is_none() && passphrase.is_some() {
        let what = "receipt: passphrase: expected sign as well, found none";
        return Err(reading.wrong_at(table, what, "add sign, or remove passphrase"));
    }
    let passphrase =
        passphrase.map(|source| credential::secret("receipt: passphrase", source, reading.dir)).transpose();
    let passphrase = passphrase.map_err(|(what, help)| reading.wrong_at(table, what, help))?;
    let mut files = Vec::new();
    if let Some(emit) = emit {
        for (name, dir) in &**emit.get_ref() {
            let Some(kind) = Kind::of(name) else {
                let known: Vec<String> = Kind::ALL.into_iter().map(|kind| kind.name().to_owned()).collect();
                let what = format!("receipt: emit: unknown kind {name:?}: expected one of {}", known.join(", "));
                return Err(reading.wrong_at(&emit, what, nearest(name, &known, "config")));
            };
            files.push((kind, reading.path(dir)));
        }
    }
    Ok(Receipt { dir: reading.path(&dir), sign: reading.keys(sign), passphrase, emit: files })
}
