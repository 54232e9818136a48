//! `rule`: creates, changes, shows and tries the `[rule.N]` tables of packmule.toml, and keeps their
//! comments.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};
use toml_edit::{Array, InlineTable, Item, Table, TableLike};

use crate::base::fault::{Class, Fault, escape};
use crate::cli::Session;
use crate::cli::args::carry::destination::fit_for_layout;
use crate::cli::network::config::rules::Placed;
use crate::cli::network::config::{Config, ConfigFiles};
use crate::cli::network::edit::{edit, parse, target};
use crate::cli::network::{Network, rule_sources};
use crate::cli::output::Outcome;
use crate::decide::rules::{Found, Globs, Rule, Rules};
use crate::oci::{Digest, Tag};
use crate::operate::serve::{Cache, Setup, Synced, What};

/// `rule …`
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Create a rule, or change the given keys: source=HOST/PATH/*, target=PATH/*, credential=NAME,
    /// tags.include=3.*,4.*, tags.exclude=*-rc*, platforms=linux/amd64, types.include=, types.exclude=,
    /// referrers=true, sync=passive, sync.every=12h, refresh=15m, serve_stale=true; KEY= removes a key
    #[command(visible_aliases = ["create", "update"])]
    Set {
        /// Name of the rule
        name: String,
        /// Key to set or to remove; repeatable
        #[arg(value_name = "KEY=VALUE", required = true)]
        changes: Vec<String>,
        #[command(flatten)]
        config: ConfigFiles,
    },
    /// Show a rule
    Show {
        /// Name of the rule
        name: String,
        #[command(flatten)]
        config: ConfigFiles,
    },
    /// Delete a rule; the content that it fetched stays in the cache
    Delete {
        /// Name of the rule
        name: String,
        #[command(flatten)]
        config: ConfigFiles,
    },
    /// List all rules
    List {
        #[command(flatten)]
        config: ConfigFiles,
    },
    /// Check that all rules fit together
    Check {
        #[command(flatten)]
        config: ConfigFiles,
    },
    /// Fetch into a cache what a rule, or each rule, is to keep: its tags to include, else the tags that
    /// are kept
    Sync {
        /// Name of the rule
        name: Option<String>,
        /// Layout of the cache
        #[arg(long, value_name = "DIR")]
        cache: PathBuf,
        /// Only this tag
        #[arg(long, value_name = "TAG", value_parser = |text: &str| Tag::new(text).map_err(|error| error.to_string()))]
        tag: Option<Tag>,
        /// Only ask what the tags name, and show what would be fetched
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        network: Box<Network>,
    },
    /// Show which rule a name is found by, and its name at the upstream
    Test {
        /// Name as clients pull it: NAME, NAME:TAG or NAME@DIGEST, or with the source's host as containerd asks
        /// a mirror
        image: String,
        #[command(flatten)]
        config: ConfigFiles,
    },
}

const HELP: &str =
    "write for example source=docker.io/library/* target=lib/* tags.include=3.*; see `packmule rule set --help`";

fn absent(name: &str) -> Fault {
    Fault::usage(format!("rule {name:?}: expected a rule of that name, found none"), "see `packmule rule list`")
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage; class io if the file cannot be written.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        match self.command {
            Command::Set { name, changes, config } => set(&name, &changes, &config, session),
            Command::Show { name, config } => {
                let config = config.load(session.world)?;
                let (text, result) = shown(config.rule(&name).ok_or_else(|| absent(&name))?);
                Ok(Outcome::new(text, result))
            }
            Command::Delete { name, config } => delete(&name, &config, session),
            Command::List { config } => {
                let config = config.load(session.world)?;
                let line = |placed: &Placed| {
                    let Placed { rule, at } = placed;
                    let credential = rule.credential.as_deref().unwrap_or("-");
                    format!("{}  {} -> {}  {credential}  {at}\n", rule.name, rule.source, rule.target)
                };
                let text = config.rules.iter().map(line).collect::<String>();
                let list: Vec<Value> = config.rules.iter().map(|placed| shown(placed).1).collect();
                Ok(Outcome::new(text, json!({ "rules": list })))
            }
            Command::Check { config } => check(&config.load(session.world)?, session),
            Command::Sync { name, cache, tag, dry_run, network } => {
                sync(name.as_deref(), &cache, (tag.as_ref(), dry_run), &network, session)
            }
            Command::Test { image, config } => test(&image, &config.load(session.world)?.rules()?),
        }
    }
}

/// Returns everything that a rule says.
fn shown(placed: &Placed) -> (String, Value) {
    let Placed { rule, at } = placed;
    let Rule { name, source, target, credential, filter, sync, refresh, serve_stale } = rule;
    let globs = |globs: &Globs| {
        let all =
            |list: &[crate::signing::policy::Glob]| list.iter().map(|one| one.as_str().to_owned()).collect::<Vec<_>>();
        json!({ "include": all(&globs.include), "exclude": all(&globs.exclude) })
    };
    let platforms: Vec<String> = filter.platforms.iter().map(ToString::to_string).collect();
    let sync = sync.map_or_else(|| json!("passive"), |every| json!({ "every": format!("{}s", every.as_secs()) }));
    let lines = [
        ("name", json!(name)),
        ("source", json!(source.to_string())),
        ("target", json!(target.to_string())),
        ("credential", json!(credential)),
        ("tags", globs(&filter.tags)),
        ("platforms", json!(platforms)),
        ("types", globs(&filter.types)),
        ("referrers", json!(filter.referrers)),
        ("sync", sync),
        ("refresh", json!(format!("{}s", refresh.as_secs()))),
        ("serve_stale", json!(serve_stale)),
        ("at", json!(at.to_string())),
    ];
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let text = lines.iter().map(|(key, value)| format!("{key:12} {}\n", escape(&word(value)))).collect();
    (text, lines.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Returns warnings of rules that work, but perhaps not as meant.
pub fn warnings(config: &Config, rules: &Rules) -> Vec<String> {
    let twice = rules.ambiguities().into_iter().map(|both| {
        format!("{} and {} have one source: `--map rules` cannot tell where it goes", both.first, both.second)
    });
    let hub = rules.all().iter().filter(|rule| rule.source.host() == "docker.io" && rule.credential.is_none());
    let hub = hub.filter(|rule| !matches!(config.credential_for("docker.io", rule.source.path()), Ok(Some(_))));
    let hub =
        hub.map(|rule| format!("rule {:?}: docker.io without a credential answers few requests an hour", rule.name));
    twice.chain(hub).collect()
}

fn check(config: &Config, session: &Session<'_>) -> Result<Outcome, Fault> {
    let rules = config.rules()?;
    let warnings = warnings(config, &rules);
    warnings.iter().for_each(|warning| session.flow.warn(warning.as_str()));
    let count = rules.all().len();
    Ok(Outcome::new(format!("good       {count} rules\n"), json!({ "rules": count, "warnings": warnings })))
}

/// Synchronizes the rules of a cache.
fn sync(
    name: Option<&str>,
    dir: &Path,
    (tag, is_dry): (Option<&Tag>, bool),
    network: &Network,
    session: &Session<'_>,
) -> Result<Outcome, Fault> {
    let rules = network.rules(session)?;
    if let Some(name) = name.filter(|name| !rules.all().iter().any(|rule| rule.name == **name)) {
        return Err(absent(name));
    }
    let own: Vec<usize> =
        (0..rules.all().len()).filter(|at| name.is_none_or(|name| rules.all()[*at].name == name)).collect();
    let sources = rule_sources::of_rules(network, &rules, session)?;
    fit_for_layout(&session.path(dir), &dir.display().to_string(), session)?;
    let path = session.path(dir);
    let cache = Cache::open(&session.flow, Setup { rules, sources, dir: Some(&path), most: None, wanted: None })?;
    let (mut text, mut list, mut faults) = (String::new(), Vec::new(), Vec::new());
    for at in own {
        for Synced { rule, repository, tag, what } in cache.sync(at, tag, is_dry)? {
            let (word, digest) = match what {
                What::Current(digest) => ("current", Some(digest)),
                What::Fetched(digest) => (if is_dry { "to fetch" } else { "fetched" }, Some(digest)),
                What::LeftOut => ("left out", None),
                What::Failed(error) => {
                    faults.push(error.into_fault(Class::Source));
                    ("FAILED", None)
                }
            };
            text.push_str(&format!("{word:10} {repository}:{tag}\n"));
            let digest = digest.map(|digest| digest.to_string());
            list.push(
                json!({ "rule": rule, "reference": format!("{repository}:{tag}"), "outcome": word, "digest": digest }),
            );
        }
    }
    let outcome = Outcome::new(text, json!({ "dry_run": is_dry, "tags": list }));
    Ok(match Fault::from_list(faults) {
        Some(fault) => outcome.failed(fault),
        None => outcome,
    })
}

fn test(image: &str, rules: &Rules) -> Result<Outcome, Fault> {
    let wrong = |what: &dyn std::fmt::Display| {
        Fault::usage(format!("image {}: {what}", escape(image)), "write NAME, NAME:TAG or HOST/NAME:TAG")
    };
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest.parse::<Digest>().map_err(|error| wrong(&error))?)),
        None => (image, None),
    };
    let (name, tag) = match name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
        Some((name, tag)) => (name, Some(Tag::new(tag).map_err(|error| wrong(&error))?)),
        None => (name, None),
    };
    let by_source = || name.split_once('/').and_then(|(host, path)| rules.by_source(host, path));
    let Some(Found { rule, upstream, .. }) = rules.by_name(name).or_else(by_source) else {
        return Err(wrong(&"expected a name that a rule covers, found none").help("see `packmule rule list`"));
    };
    let is_left_out = tag.as_ref().is_some_and(|tag| !rule.filter.tags.admit(tag.as_str()));
    let mut at_source = upstream.to_string();
    tag.iter().for_each(|tag| at_source.push_str(&format!(":{tag}")));
    digest.iter().for_each(|digest| at_source.push_str(&format!("@{digest}")));
    let mut text = format!("rule       {}\nupstream   {at_source}\n", rule.name);
    if is_left_out {
        text.push_str("left out   by the rule's tags\n");
    }
    Ok(Outcome::new(text, json!({ "rule": rule.name, "upstream": at_source, "left_out": is_left_out })))
}

fn set(name: &str, changes: &[String], files: &ConfigFiles, session: &Session<'_>) -> Result<Outcome, Fault> {
    let path = target(files, session)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) {
        let what = "rule: expected a name of letters, digits, - _ and ., found something else";
        return Err(Fault::usage(what, "choose another name"));
    }
    let config = edit(&path, session, |document, old| {
        let all = document.entry("rule").or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        let inline = all.is_inline_table();
        let all = all.as_table_like_mut().ok_or_else(|| absent(name))?;
        if all.get(name).is_none() {
            let made = if inline { Item::Value(InlineTable::new().into()) } else { Item::Table(Table::new()) };
            all.insert(name, made);
        }
        let one = all.get_mut(name).and_then(Item::as_table_like_mut).ok_or_else(|| absent(name))?;
        changes.iter().try_for_each(|change| apply(change, one, old.rule(name)))?;
        let after = parse(&path, &document.to_string())?;
        after.check_rules()?;
        after.rules().map(drop)
    })?;
    let (text, result) = shown(config.rule(name).ok_or_else(|| absent(name))?);
    warnings(&config, &config.rules()?).into_iter().for_each(|warning| session.flow.warn(warning));
    Ok(Outcome::new(text, result))
}

/// Sets or removes one key of a rule's table. `old` is the rule as it was.
fn apply(change: &str, table: &mut dyn TableLike, old: Option<&Placed>) -> Result<(), Fault> {
    let wrong = |what: String| Err(Fault::new(Class::Usage, what).help(HELP));
    let Some((key, value)) = change.split_once('=') else {
        return wrong(format!("rule set: expected KEY=VALUE, found {:?}", escape(change)));
    };
    if let (Some(old), "source" | "target") = (old, key) {
        let side = if key == "source" { &old.rule.source } else { &old.rule.target };
        if side.to_string() != value {
            let what = format!("rule {:?}: expected {key} {side} to stay, found {:?}", old.rule.name, escape(value));
            return Err(Fault::usage(what, format!("delete it first: packmule rule delete {}", old.rule.name)));
        }
    }
    let (outer, inner) = key.split_once('.').map_or((key, None), |(outer, inner)| (outer, Some(inner)));
    let list = || value.split(',').map(str::trim).filter(|one| !one.is_empty()).collect::<Array>();
    let item: toml_edit::Value = match (outer, inner) {
        ("source" | "target" | "credential" | "refresh", None) => value.into(),
        ("platforms", None) => list().into(),
        ("referrers" | "serve_stale", None) => match value {
            "" => "".into(),
            "true" => true.into(),
            "false" => false.into(),
            _ => return wrong(format!("{key}: expected true or false, found {:?}", escape(value))),
        },
        ("sync", None) if matches!(value, "" | "passive") => value.into(),
        ("sync", Some("every")) => {
            let mut every = InlineTable::new();
            every.insert("every", value.into());
            every.into()
        }
        ("tags" | "types", Some("include" | "exclude")) => {
            let mut choice = InlineTable::new();
            for other in ["include", "exclude"].into_iter().filter(|other| Some(*other) != inner) {
                let kept = table.get(outer).and_then(Item::as_table_like).and_then(|all| all.get(other)?.as_value());
                kept.into_iter().for_each(|kept| drop(choice.insert(other, kept.clone())));
            }
            if !value.is_empty() {
                choice.insert(inner.unwrap_or_default(), list().into());
            }
            if choice.is_empty() {
                table.remove(outer);
                return Ok(());
            }
            choice.fmt();
            choice.into()
        }
        ("tags" | "types", None) if value.is_empty() => "".into(),
        _ => return wrong(format!("rule set: expected a known key, found {:?}", escape(key))),
    };
    if value.is_empty() && !matches!(outer, "tags" | "types") || value.is_empty() && inner.is_none() {
        table.remove(outer);
        return Ok(());
    }
    // Keeps the space and comments around the old value.
    let decor = table.get(outer).and_then(Item::as_value).map(|old| old.decor().clone());
    let mut item = item;
    decor.into_iter().for_each(|decor| *item.decor_mut() = decor);
    table.insert(outer, Item::Value(item));
    Ok(())
}

fn delete(name: &str, files: &ConfigFiles, session: &Session<'_>) -> Result<Outcome, Fault> {
    let path = target(files, session)?;
    edit(&path, session, |document, _| {
        let all = document.get_mut("rule").and_then(Item::as_table_like_mut);
        all.and_then(|all| all.remove(name)).map(|_| ()).ok_or_else(|| absent(name))
    })?;
    let shown = path.display().to_string();
    Ok(Outcome::new(format!("deleted    {name}, {shown}\n"), json!({ "name": name, "file": shown })))
}
