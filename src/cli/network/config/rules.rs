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

use super::{At, Config, Text, nearest};
use crate::base::fault::Fault;
use crate::decide::rules::{Filter, Globs, Pattern, Rule as Meant, Rules};
use crate::oci::Platform;
use crate::signing::policy::Glob;
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

impl Config {
    /// Adds the rules of one file.
    pub(super) fn add_rules(
        &mut self,
        tables: std::collections::BTreeMap<String, Spanned<Table<Rule>>>,
        file: Text<'_>,
    ) -> Result<(), Fault> {
        for (name, table) in tables {
            let placed = rule(&name, table, file)?;
            if let Some(other) = self.rules.iter().find(|other| other.rule.name == name) {
                let what = format!("rule {name:?}: also defined in {}", other.at);
                return Err(placed.at.wrong(what, "keep one of them"));
            }
            self.rules.push(placed);
        }
        Ok(())
    }

    /// Checks that the credential of each rule exists and is for its host.
    ///
    /// # Errors
    /// Class usage.
    pub fn check_rules(&self) -> Result<(), Fault> {
        for Placed { rule, at } in &self.rules {
            let Some(name) = &rule.credential else { continue };
            let Some(credential) = self.credentials.get(name) else {
                let known: Vec<_> = self.credentials.keys().cloned().collect();
                let help = match nearest(name, &known, "config") {
                    near if near.starts_with("did you") => near,
                    _ => format!("add [credential.{name}]"),
                };
                return Err(at.wrong(format!("rule {:?}: there is no credential {name:?}", rule.name), help));
            };
            let asked = self.asked_host(rule.source.host());
            if let Some(host) = credential.host.as_ref().filter(|host| **host != asked) {
                let what = format!(
                    "rule {:?}: credential {name:?} is only for {host:?}, but the host asked is {asked:?}",
                    rule.name
                );
                return Err(at.wrong(what, "make a credential for this host, or remove its host"));
            }
        }
        Ok(())
    }

    /// Returns all rules together.
    ///
    /// # Errors
    /// Class usage: rules whose targets overlap.
    pub fn rules(&self) -> Result<Rules, Fault> {
        Rules::new(self.rules.iter().map(|placed| placed.rule.clone()).collect())
    }

    /// Returns the rule with this name.
    pub fn rule(&self, name: &str) -> Option<&Placed> {
        self.rules.iter().find(|placed| placed.rule.name == name)
    }
}

/// Parses the text of one file without variables, only for its rules.
#[cfg(test)]
fn only(text: &str) -> Result<Config, Fault> {
    let mut config = Config::default();
    config.add(std::path::Path::new("/x/packmule.toml"), text, Some(&std::collections::BTreeMap::new()))?;
    config.check()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c1_c10_a_table_is_a_rule_with_its_filters() {
        let text = r#"
            credential.hub = { host = "docker.io", username = "u", password = { env = "X" } }
            [rule.hub]
            source = "docker.io/library/*"
            target = "lib/*"
            credential = "hub"
            tags = { include = ["3.*"], exclude = ["*-rc*"] }
            platforms = ["linux/amd64"]
            types = { exclude = ["application/vnd.in-toto+json"] }
            referrers = false
            sync = { every = "12h" }
            refresh = "1m"
            serve_stale = false
            [rule]
            one = { source = "quay.io/a/b", target = "b", sync = "passive" }
        "#;
        let config = only(text).unwrap();
        let hub = &config.rule("hub").unwrap().rule;
        assert_eq!((hub.source.to_string(), hub.target.to_string()), ("docker.io/library/*".into(), "lib/*".into()));
        assert_eq!((hub.credential.as_deref(), hub.refresh.as_secs()), (Some("hub"), 60));
        assert_eq!(
            (hub.sync.map(|time| time.as_secs()), hub.serve_stale, hub.filter.referrers),
            (Some(43_200), false, false)
        );
        assert!(hub.filter.tags.admit("3.20") && !hub.filter.tags.admit("3.20-rc1") && !hub.filter.tags.admit("4"));
        assert!(hub.filter.types.admit("x") && !hub.filter.types.admit("application/vnd.in-toto+json"));
        assert_eq!(hub.filter.platforms.len(), 1);
        let one = &config.rule("one").unwrap().rule;
        assert_eq!((one.sync, one.refresh.as_secs(), one.serve_stale, one.filter.referrers), (None, 900, true, true));
        assert_eq!(config.rules().unwrap().all().len(), 2);
    }

    #[test]
    fn c1_wrong_tables_are_refused_with_their_line() {
        let good = "source = \"quay.io/*\", target = \"q/*\"";
        for (rule, line, said) in [
            ("{ source = \"quay.io/*\" }".to_owned(), 2, "target"),
            ("{ source = \"quay.io/*\", target = \"q\" }".to_owned(), 2, "both source and target"),
            ("{ source = \"a/*\", target = \"q/*\" }".to_owned(), 2, "source"),
            ("{ source = \"quay.io/*\", target = \"q*\" }".to_owned(), 2, "target"),
            (format!("{{ {good}, refresh = \"soon\" }}"), 2, "refresh"),
            (format!("{{ {good}, refresh = \"0s\" }}"), 2, "refresh"),
            (format!("{{ {good}, sync = \"active\" }}"), 2, "passive"),
            (format!("{{ {good}, sync = {{ every = \"x\" }} }}"), 2, "sync"),
            (format!("{{ {good}, platforms = [\"linux\"] }}"), 2, "platform"),
            (format!("{{ {good}, credential = \"none\" }}"), 2, "no credential"),
            (format!("{{ {good}, credential = \"c\" }}"), 2, "only for"),
            (format!("{{ {good}, colour = 1 }}"), 2, "colour"),
            (format!("{{ {good}, tags = [\"1\"] }}"), 2, "table"),
        ] {
            let text =
                format!("[rule]\na = {rule}\n[credential]\nc = {{ host = \"ghcr.io\", token = {{ env = \"X\" }} }}");
            let fault = only(&text).expect_err(&rule);
            assert!(
                fault.what.starts_with(&format!("/x/packmule.toml:{line}: ")) && fault.what.contains(said),
                "{fault}"
            );
            assert!(fault.help.is_some());
        }
    }
}
