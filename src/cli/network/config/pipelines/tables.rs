//! The `[export.N]` and `[import.N]` tables as they are in the file: types for the parser and for the
//! JSON Schema.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use toml::Spanned;

use crate::cli::network::config::words::Words;
use crate::secret;
use crate::toml_file::spelling::{Table, Word};

/// An export pipeline.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// Artifacts to take: selectors, or tables with their keys, or lists by images_in.
    #[schemars(with = "Option<Vec<Taken>>")]
    pub artifacts: Option<Vec<Spanned<Taken>>>,
    /// Name of the storage table of the container that the bundle goes to.
    #[schemars(with = "Option<String>")]
    pub storage: Option<Spanned<String>>,
    /// Directory that the bundle goes to, instead.
    pub dir: Option<PathBuf>,
    /// Name of the bundle; without it, a channel names it.
    #[schemars(with = "Option<String>")]
    pub name: Option<Spanned<String>>,
    /// Directory where the bundle is written before it leaves.
    pub stage: Option<PathBuf>,
    /// Channel that the bundle belongs to.
    #[schemars(with = "Option<String>")]
    pub channel: Option<Spanned<String>>,
    /// Epoch of the channel.
    pub epoch: Option<u64>,
    /// Time after which the bundle is stale: 35d.
    #[schemars(with = "Option<String>")]
    pub expires: Option<Spanned<String>>,
    /// Content that the bundle may leave out: last, bundles and receipts.
    pub base: Option<Words>,
    /// Private keys that sign: PEM files, or pkcs11:….
    pub sign: Option<Words>,
    /// Passphrase of all keys.
    pub passphrase: Option<secret::Source>,
    /// Conditions that must hold before anything leaves.
    #[schemars(with = "Option<Release>")]
    pub release: Option<Spanned<Table<Release>>>,
    /// Platforms of an index to take: OS/ARCH or OS/ARCH/VARIANT.
    #[schemars(with = "Option<Vec<String>>")]
    pub platforms: Option<Spanned<Vec<String>>>,
    /// Treatment of an index of which platforms removes entries.
    #[schemars(with = "Option<Index>")]
    pub index: Option<Word<Index>>,
    /// Referrers to take: all, none, or artifact types.
    #[schemars(with = "Option<Words>")]
    pub referrers: Option<Spanned<Words>>,
    /// Whether to fetch layers that are marked as non-distributable.
    pub foreign: Option<bool>,
    /// Annotations of the signed manifest.
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub annotations: Option<Spanned<Table<BTreeMap<String, String>>>>,
    /// Maximum size of a volume: SIZE, none, dvd, bd or fat32.
    #[schemars(with = "Option<String>")]
    pub volume_size: Option<Spanned<String>>,
    /// Whether to replace an existing bundle of the name.
    pub overwrite: Option<bool>,
    /// Whether to leave out content that cannot be fetched, and say so in the signed manifest.
    pub allow_partial: Option<bool>,
}

/// Something to take: a selector, or a table with its keys.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Taken {
    /// A selector.
    Selector(String),
    /// A table.
    Table(Artifact),
}

impl<'de> Deserialize<'de> for Taken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Taken;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a selector or a table with ref or images_in")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Taken, E> {
                Ok(Taken::Selector(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Taken, A::Error> {
                Artifact::deserialize(MapAccessDeserializer::new(map)).map(Taken::Table)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// An artifact with the keys of selectors, or a list.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Source: HOST/REPO:TAG, HOST/NAMESPACE/*, oci:DIR, file:PATH and others.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Name in the bundle.
    #[serde(rename = "as")]
    pub rename: Option<String>,
    /// Platforms of an index to take.
    pub platforms: Option<Words>,
    /// Referrers to take: all, none, or artifact types.
    pub referrers: Option<Words>,
    /// Range of versions that tags must be in.
    pub semver: Option<String>,
    /// Expression that tags must match.
    pub regex: Option<String>,
    /// Number of the newest versions to take.
    pub latest: Option<u32>,
    /// Patterns of tags to leave out.
    pub exclude: Option<Words>,
    /// File of a list of images, as for export -f; alone.
    pub images_in: Option<PathBuf>,
}

/// Conditions that must hold before anything leaves.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Number of signatures that the bundle must have.
    pub signatures: Option<u32>,
    /// Patterns of the repositories that may leave; * stands for anything.
    pub repositories: Option<Vec<String>>,
}

/// Treatment of an index of which a filter removes entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Index {
    /// Make a new index of the remaining entries.
    #[default]
    Rebuild,
    /// Keep the original index, with entries missing.
    Sparse,
    /// Carry both.
    Keep,
}

/// An import pipeline.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// Name of the storage table of the container that bundles arrive in.
    #[schemars(with = "Option<String>")]
    pub storage: Option<Spanned<String>>,
    /// Directory that bundles arrive in, instead.
    pub dir: Option<PathBuf>,
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets are the syntax that the schema shows")]
    /// Destination: HOST[:PORT][/PREFIX] or oci:DIR.
    #[schemars(with = "String")]
    pub to: Option<Spanned<String>>,
    /// Policy file; the usual one if there is none.
    pub policy: Option<PathBuf>,
    /// Names below the destination: FROM=TO, FROM/*=TO/*, @FILE, or rules.
    #[schemars(with = "Option<Words>")]
    pub map: Option<Spanned<Words>>,
    /// Whether the source's host stays in the names.
    pub keep_host: Option<bool>,
    /// Treatment of tags that name something else at the destination.
    #[schemars(with = "Option<Conflict>")]
    pub tag_conflict: Option<Word<Conflict>>,
    /// Whether failures of the destination are recorded, and the other artifacts go on.
    pub keep_going: Option<bool>,
    /// Whether to remove the bundle from where it arrived, once all of it was read back.
    pub delete_source: Option<bool>,
    /// Whether `pipeline watch` serves this pipeline.
    pub trigger: Option<bool>,
    /// Time between two looks of `pipeline watch`: 30s.
    #[schemars(with = "Option<String>")]
    pub interval: Option<Spanned<String>>,
    /// Receipts of what arrived.
    #[schemars(with = "Option<Receipt>")]
    pub receipt: Option<Spanned<Table<Receipt>>>,
}

/// Treatment of tags that name something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Conflict {
    /// Push nothing and list all conflicts.
    #[default]
    Fail,
    /// Keep the destination's tag.
    Keep,
    /// Move the tag.
    Move,
    /// Move the tag if it names what imports of the bundle's channel set it to.
    Advance,
}

/// Receipts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Directory that receipts are written to.
    pub dir: Option<PathBuf>,
    /// Private keys that sign them.
    pub sign: Option<Words>,
    /// Passphrase of all keys.
    pub passphrase: Option<secret::Source>,
    /// Files to make from each receipt: kind and directory.
    #[schemars(with = "Option<BTreeMap<String, PathBuf>>")]
    pub emit: Option<Spanned<Table<BTreeMap<String, PathBuf>>>>,
}
