//! One `[export.N]` table: what is exported, how, and what must hold before it leaves.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::artifacts::{self, Artifacts};
use super::reading::{Place, Reading};
use super::tables::{self, Index};
use crate::base::fault::Fault;
use crate::bundle::Name;
use crate::bundle::write::{DEFAULT_VOLUME, check_volume_size};
use crate::cli::args::carry::size;
use crate::cli::network::config::credential;
use crate::cli::network::config::words::Words;
use crate::decide::select::{Filters, IndexMode, Referrers};
use crate::oci::Platform;
use crate::oci::descriptor::MAX_SIZE;
use crate::secret::Secret;
use crate::signing::claims::is_channel;
use crate::signing::envelope::MAX_SIGNATURES;
use crate::signing::policy::Glob;
use crate::toml_file::error::At;

/// An export pipeline.
#[derive(Clone, Debug)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// Artifacts that it takes.
    pub artifacts: Artifacts,
    /// Where bundles go.
    pub place: Place,
    /// Name of the bundle; `None` if the channel names it.
    pub bundle: Option<Name>,
    /// Directory where bundles are written before they leave.
    pub stage: Option<PathBuf>,
    /// Channel of the bundles.
    pub channel: Option<String>,
    /// Epoch of the channel.
    pub epoch: Option<u64>,
    /// Time after which a bundle is stale, as configured.
    pub expires: Option<String>,
    /// Content that bundles may leave out: `last`, or paths of bundles and receipts.
    pub bases: Vec<String>,
    /// Keys that sign.
    pub sign: Vec<PathBuf>,
    /// Passphrase of all keys.
    pub passphrase: Option<Secret>,
    /// Conditions that must hold before anything leaves.
    pub release: Release,
    /// Filters, where a selector has none of its own.
    pub filters: Filters,
    /// Treatment of an index of which a filter removes entries.
    pub index: IndexMode,
    /// Whether to fetch layers that are marked as non-distributable.
    pub foreign: bool,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// Maximum size of a volume in bytes.
    pub volume_size: u64,
    /// Whether to replace an existing bundle of the name.
    pub overwrite: bool,
    /// Whether to leave out content that cannot be fetched.
    pub allow_partial: bool,
    /// Position of the table.
    pub at: At,
}

/// Conditions that must hold before anything leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// Number of signatures that the bundle must have.
    pub signatures: usize,
    /// Repositories that may leave; `None` for all.
    pub repositories: Option<Vec<Glob>>,
}

/// Reads a table.
pub fn read(name: &str, table: tables::Export, reading: &Reading<'_>) -> Result<Export, Fault> {
    let place = reading.place(table.storage.as_ref(), table.dir.as_ref())?;
    let artifacts = artifacts::read(table.artifacts.unwrap_or_default(), reading)?;
    if artifacts == Artifacts::default() {
        return Err(reading.wrong("expected artifacts, found none", "add artifacts = [{ ref = \"HOST/REPO:TAG\" }]"));
    }
    if let Some(channel) = table.channel.as_ref().filter(|channel| !is_channel(channel.get_ref())) {
        let what = "channel: expected 1 to 31 of a-z 0-9 _ -, a letter or digit first";
        return Err(reading.wrong_at(channel, what, "choose a name such as apps"));
    }
    let bundle = match (&table.name, &table.channel) {
        (Some(name), None) => Some(Name::new(name.get_ref()).map_err(|error| {
            reading.wrong_at(name, format_args!("name: {}", error.what), "choose a name such as apps")
        })?),
        (None, Some(_)) => None,
        (Some(name), Some(_)) => {
            let what = "expected name or channel, found both";
            return Err(reading.wrong_at(name, what, "remove name: bundles of a channel are named CHANNEL-SEQUENCE"));
        }
        (None, None) => return Err(reading.wrong("expected name or channel, found neither", "add one of them")),
    };
    let bases = table.base.map(Words::into_list).unwrap_or_default();
    let needs_channel = [
        ("epoch", table.epoch.is_some()),
        ("expires", table.expires.is_some()),
        ("base = \"last\"", bases.iter().any(|one| one == "last")),
    ];
    if let Some((key, _)) = needs_channel.iter().find(|(_, given)| *given && table.channel.is_none()) {
        return Err(reading.wrong(format_args!("{key}: expected channel as well, found none"), "add channel"));
    }
    if table.epoch.is_some_and(|epoch| epoch > MAX_SIZE) {
        return Err(reading.wrong("epoch: expected a number below 2^53, found a larger one", "write a smaller number"));
    }
    if let Some(text) = table.expires.as_ref().filter(|text| !is_time(text.get_ref())) {
        return Err(reading.wrong_at(text, "expires: expected a time such as 35d", "write a number of s, m, h or d"));
    }
    let release = release(table.release, reading)?;
    let sign = reading.keys(table.sign);
    if sign.len() > MAX_SIGNATURES {
        return Err(
            reading.wrong(format_args!("sign: expected at most {MAX_SIGNATURES} keys, found more"), "name fewer")
        );
    }
    if sign.is_empty() && release.signatures == 0 {
        let what = "expected sign or release.signatures, found neither: nobody would sign the bundle";
        return Err(reading.wrong(what, "name a key in sign, or the number of signatures to wait for in release"));
    }
    if sign.is_empty() && table.passphrase.is_some() {
        return Err(reading.wrong("passphrase: expected sign as well, found none", "add sign, or remove passphrase"));
    }
    let passphrase = table.passphrase.map(|source| credential::secret("passphrase", source, reading.dir)).transpose();
    let passphrase = passphrase.map_err(|(what, help)| reading.wrong(what, help))?;
    let stage = table.stage.map(|stage| reading.path(&stage));
    if matches!(place, Place::Storage(_)) && stage.is_none() {
        let what = "expected stage with storage, found none";
        return Err(reading.wrong(what, "name a directory for bundles that have not left yet: stage = \"DIR\""));
    }
    if matches!(place, Place::Directory(_)) && stage.is_some() && release.signatures == 0 {
        let what = "stage: expected only with storage or release.signatures";
        return Err(reading.wrong(what, "remove stage: the bundle is written where it stays"));
    }
    let volume_size = match &table.volume_size {
        None => DEFAULT_VOLUME,
        Some(text) => {
            size::volume(text.get_ref()).and_then(|size| check_volume_size(size).map(|()| size)).map_err(|fault| {
                reading.wrong_at(text, format_args!("volume_size: {}", fault.what), "write it as 700MiB")
            })?
        }
    };
    Ok(Export {
        name: name.to_owned(),
        artifacts,
        place,
        bundle,
        stage,
        channel: table.channel.map(toml::Spanned::into_inner),
        epoch: table.epoch,
        expires: table.expires.map(toml::Spanned::into_inner),
        bases: bases.into_iter().map(|base| anchored(base, reading)).collect(),
        sign,
        passphrase,
        release,
        filters: filters(table.platforms, table.referrers, reading)?,
        index: match table.index.as_deref().copied().unwrap_or_default() {
            Index::Rebuild => IndexMode::Rebuild,
            Index::Sparse => IndexMode::Sparse,
            Index::Keep => IndexMode::Keep,
        },
        foreign: table.foreign.unwrap_or_default(),
        annotations: annotations(table.annotations, reading)?,
        volume_size,
        overwrite: table.overwrite.unwrap_or_default(),
        allow_partial: table.allow_partial.unwrap_or_default(),
        at: reading.at.clone(),
    })
}

/// Returns whether a text is a span or a moment.
fn is_time(text: &str) -> bool {
    crate::base::time::span(text).is_some_and(|seconds| seconds > 0) || text.parse::<jiff::Timestamp>().is_ok()
}

/// Resolves the path of a base.
fn anchored(base: String, reading: &Reading<'_>) -> String {
    if base == "last" || crate::cli::args::container::is_container(&base) {
        return base;
    }
    reading.path(base.as_ref()).to_string_lossy().into_owned()
}

fn release(
    table: Option<toml::Spanned<crate::toml_file::spelling::Table<tables::Release>>>,
    reading: &Reading<'_>,
) -> Result<Release, Fault> {
    let Some(table) = table else { return Ok(Release::default()) };
    let signatures = table.get_ref().signatures.unwrap_or_default();
    let repositories = table.get_ref().repositories.clone();
    let is_within = usize::try_from(signatures).is_ok_and(|count| count <= MAX_SIGNATURES);
    if !is_within || table.get_ref().signatures == Some(0) {
        let what = format!("release.signatures: expected 1 to {MAX_SIGNATURES}, found {signatures}");
        return Err(reading.wrong_at(&table, what, "write the number of signatures that must be there"));
    }
    if repositories.as_ref().is_some_and(|list| list.iter().any(String::is_empty)) {
        let what = "release.repositories: expected patterns, found an empty one";
        return Err(reading.wrong_at(&table, what, "write for example \"docker.io/library/*\""));
    }
    if table.get_ref().signatures.is_none() && repositories.is_none() {
        let what = "release: expected signatures or repositories, found neither";
        return Err(reading.wrong_at(&table, what, "add one of them, or remove release"));
    }
    let repositories = repositories.map(|list| list.into_iter().map(Glob::new).collect());
    Ok(Release { signatures: usize::try_from(signatures).unwrap_or(MAX_SIGNATURES), repositories })
}

fn filters(
    platforms: Option<toml::Spanned<Vec<String>>>,
    referrers: Option<toml::Spanned<Words>>,
    reading: &Reading<'_>,
) -> Result<Filters, Fault> {
    let mut filters = Filters::default();
    if let Some(platforms) = platforms {
        for text in platforms.get_ref() {
            let platform = text.parse::<Platform>();
            filters.platforms.push(platform.map_err(|error| {
                reading.wrong_at(&platforms, format_args!("platforms: {error}"), "write for example linux/amd64")
            })?);
        }
    }
    if let Some(words) = referrers {
        filters.referrers = Referrers::parse("referrers", &words.get_ref().clone().into_list())
            .map_err(|fault| reading.wrong_at(&words, &fault.what, "write \"all\", \"none\", or artifact types"))?;
    }
    Ok(filters)
}

fn annotations(
    table: Option<toml::Spanned<crate::toml_file::spelling::Table<BTreeMap<String, String>>>>,
    reading: &Reading<'_>,
) -> Result<BTreeMap<String, String>, Fault> {
    let Some(table) = table else { return Ok(BTreeMap::new()) };
    for (key, value) in &**table.get_ref() {
        if key.starts_with(crate::operate::export::RESERVED) {
            let what = format!("annotations: {key}: expected another name, found one that starts with packmule.");
            return Err(reading.wrong_at(&table, what, "choose another name: export itself sets these"));
        }
        if crate::base::redact::has_secret(value) {
            let what = format!("annotations: {key}: expected no secret, found one");
            return Err(reading.wrong_at(&table, what, "leave it out, since anyone can read a manifest"));
        }
    }
    Ok(table.into_inner().into_inner())
}
