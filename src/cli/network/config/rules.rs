//! The `[rule.N]` tables: types for the parser and the schema, and the rules that they mean.
//!
//! Whether rules fit together is decided by [`crate::decide::rules`].

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use toml::Spanned;

use crate::base::fault::Fault;
use crate::decide::rules::{Filter, Globs, Pattern, Rule as Meant};
use crate::oci::Platform;
use crate::signing::policy::Glob;
use crate::toml_file::error::{At, Text};
use crate::toml_file::spelling::Table;

/// Shortest time between two looks at an upstream that a rule may ask for.
const SHORTEST: i64 = 1;

/// A rule of the artifact cache.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Repository at an upstream, HOST/REPOSITORY, or all below a path or of a host: HOST/PATH/*,
    /// HOST/*.
    #[schemars(with = "String")]
    pub source: Spanned<String>,
    /// Name in the cache: REPOSITORY, or PATH/* for a source with a star.
    #[schemars(with = "String")]
    pub target: Spanned<String>,
    /// Name of the credential for the upstream.
    #[schemars(with = "Option<String>")]
    pub credential: Option<Spanned<String>>,
    /// Tags that may be fetched.
    #[schemars(with = "Option<Choice>")]
    pub tags: Option<Table<Choice>>,
    /// Platforms of images that may be fetched: OS/ARCH or OS/ARCH/VARIANT.
    #[schemars(with = "Option<Vec<String>>")]
    pub platforms: Option<Spanned<Vec<String>>>,
    /// Artifact types that may be fetched, or media types of configs.
    #[schemars(with = "Option<Choice>")]
    pub types: Option<Table<Choice>>,
    /// Whether referrers may be fetched.
    pub referrers: Option<bool>,
    /// When to fetch without being asked: passive, or every so often.
    pub sync: Option<Sync>,
    /// Time after which a tag is looked at again: 15m.
    #[schemars(with = "Option<String>")]
    pub refresh: Option<Spanned<String>>,
    /// Whether to serve the kept copy while the upstream fails.
    pub serve_stale: Option<bool>,
}

/// Patterns to include and to exclude; * stands for anything.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Choice {
    /// Patterns of which one must match; none: everything.
    pub include: Vec<String>,
    /// Patterns of which none may match.
    pub exclude: Vec<String>,
}

/// When content is fetched without being asked for.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum Sync {
    /// Never.
    Passive(Passive),
    /// At an interval.
    Active(Active),
}

/// The word for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Passive {
    /// Only pulls fetch.
    Passive,
}

/// An interval.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Active {
    /// The interval: 12h.
    pub every: String,
}

impl<'de> Deserialize<'de> for Sync {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Sync;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"passive\" or a table with every")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Sync, E> {
                match text {
                    "passive" => Ok(Sync::Passive(Passive::Passive)),
                    other => Err(E::unknown_variant(other, &["passive"])),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Sync, A::Error> {
                Active::deserialize(MapAccessDeserializer::new(access)).map(Sync::Active)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A rule with its position.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The rule.
    pub rule: Meant,
    /// Position of the table.
    pub at: At,
}

fn globs(choice: Option<Table<Choice>>) -> Globs {
    let Choice { include, exclude } = choice.map(Table::into_inner).unwrap_or_default();
    let all = |texts: Vec<String>| texts.into_iter().map(Glob::new).collect();
    Globs { include: all(include), exclude: all(exclude) }
}

fn span(text: &str) -> Option<Duration> {
    let seconds = crate::base::time::span(text).filter(|seconds| *seconds >= SHORTEST)?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// Returns what a table means.
pub(super) fn rule(name: &str, table: Spanned<Table<Rule>>, file: Text<'_>) -> Result<Placed, Fault> {
    let at = file.at(&table.span());
    let Rule { source, target, credential, tags, platforms, types, referrers, sync, refresh, serve_stale } =
        table.into_inner().into_inner();
    let side = |key: &str, value: &Spanned<String>, parse: fn(&str) -> Result<Pattern, String>| {
        parse(value.get_ref()).map_err(|error| {
            let what = format!("rule {name:?}: {key}: {error}");
            file.at(&value.span()).wrong(what, "write for example source = \"docker.io/library/*\", target = \"lib/*\"")
        })
    };
    let (source, target) = (side("source", &source, Pattern::source)?, side("target", &target, Pattern::target)?);
    let mut rule = Meant::new(name, source, target).map_err(|error| {
        at.wrong(format!("rule {name:?}: {error}"), "write source = \"HOST/PATH/*\", target = \"PATH/*\"")
    })?;
    let wrong_time = |key: &str, at: &At| {
        at.wrong(format!("rule {name:?}: {key}: expected a time such as 15m"), "write a number of s, m, h or d")
    };
    rule.credential = credential.map(Spanned::into_inner);
    let mut read = Vec::new();
    if let Some(platforms) = platforms {
        for text in platforms.get_ref() {
            read.push(text.parse::<Platform>().map_err(|error| {
                file.at(&platforms.span()).wrong(format!("rule {name:?}: {error}"), "write for example linux/amd64")
            })?);
        }
    }
    rule.filter =
        Filter { tags: globs(tags), platforms: read, types: globs(types), referrers: referrers.unwrap_or(true) };
    if let Some(text) = refresh {
        rule.refresh = span(text.get_ref()).ok_or_else(|| wrong_time("refresh", &file.at(&text.span())))?;
    }
    if let Some(Sync::Active(Active { every })) = sync {
        rule.sync = Some(span(&every).ok_or_else(|| wrong_time("sync", &at))?);
    }
    rule.serve_stale = serve_stale.unwrap_or(true);
    Ok(Placed { rule, at })
}
