//! Reads `trust.toml`: the checks across its tables (`spec/policy.md`).
//!
//! Turns bytes into a policy. The caller reads key files, since it knows their location. Every
//! error is of class usage and names file and line.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::DeTable;

use super::glob::Glob;
use super::rules::Rules;
use super::section::{Entry, Section};
use super::tables::{File, Key, Member, Rule, Unknown};
use super::{Policy, Sections};
use crate::base::fault::{Class, Fault, differs, expects};
use crate::base::time::{Moment, span};
use crate::oci::descriptor::MAX_SIZE;
use crate::signing::PublicKey;
use crate::signing::claims::is_channel;
use crate::toml_file::error::{At, Text, nearest};
use crate::toml_file::spelling::Table;

/// Largest policy file in bytes. Leaves room for thousands of keys.
pub const MAX_FILE: u64 = 4 << 20;
/// Maximum seconds from creation to expiry if a policy requires `expires` without stating a limit:
/// 366 days. Without a limit, an expiry in the year 9999 would satisfy the requirement.
const LIFETIME: i64 = 366 * 86_400;

/// Parses a policy. `path` is used in messages. `now`, in seconds since 1970, decides which keys
/// have ended. `load` reads the public key from a file named in the policy.
///
/// # Errors
/// Class usage, with the line, if the file is not a valid policy. Errors of `load`, also with the
/// line.
pub fn parse(
    path: &Path,
    bytes: &[u8],
    now: i64,
    mut load: impl FnMut(&str) -> Result<PublicKey, Fault>,
) -> Result<Policy, Fault> {
    let text = text_of(path, bytes)?;
    let file = Text { file: path, text, schema: "trust" };
    let table = DeTable::parse(text).map_err(|error| file.refused(&error))?;
    let tables = File::deserialize(toml::de::Deserializer::from(table)).map_err(|error| file.refused(&error))?;
    let mut keys: HashMap<String, PublicKey> = HashMap::new();
    let (mut entries, mut ended) = (BTreeMap::new(), HashSet::new());
    // In file order, so that the second of two duplicates is reported.
    let mut named: Vec<_> = tables.key.iter().collect();
    named.sort_by_key(|(_, key)| key.span().start);
    for (name, key) in named {
        let entry = entry(name, key, file, &mut load, &mut keys)?;
        if until(name, key.get_ref(), file)?.is_some_and(|end| now >= end.unix()) {
            ended.extend(entry.keyids.iter().cloned());
        }
        entries.insert(name.as_str(), entry);
    }
    let version = version(&tables, file)?;
    let at = file.at(&(0..0));
    if entries.is_empty() {
        return Err(at.wrong(differs("", "at least one [key.NAME]", "none"), "add a key that may sign"));
    }
    let mut channels = BTreeMap::new();
    for (name, rule) in &tables.channel {
        let at = file.at(&rule.span());
        if !is_channel(name) {
            let what = expects(format_args!("channel {name:?}"), "1 to 31 of a-z 0-9 _ -, a letter or digit first");
            return Err(at.wrong(what, "write it as exports name it"));
        }
        channels
            .insert(name.clone(), section(&format!("channel {name}"), rule.get_ref(), file, &at, (&entries, version))?);
    }
    let no_channel = match &tables.no_channel {
        None => None,
        Some(rule) => {
            let (at, rule) = (file.at(&rule.span()), rule.get_ref());
            if let Some(epoch) = &rule.epoch {
                return Err(file.at(&epoch.span()).wrong("no_channel: epoch: only channels have one", "remove it"));
            }
            if let Some(members) = &rule.require.bundle {
                let what = "no_channel: require.bundle: only bundles of channels have these";
                return Err(file.at(&members.span()).wrong(what, "remove it, or name a channel"));
            }
            if let Some(expires) = &rule.limits.expires {
                let what = "no_channel: limits.expires: only bundles of channels expire";
                return Err(file.at(&expires.span()).wrong(what, "remove it, or name a channel"));
            }
            let mut section = section("no_channel", rule, file, &at, (&entries, version))?;
            section.rules.epoch = None;
            Some(section)
        }
    };
    if channels.is_empty() && no_channel.is_none() {
        let what = differs("", "[channel.NAME] or [no_channel]", "neither: every bundle would be refused");
        return Err(at.wrong(what, "say whose signatures count"));
    }
    Ok(Policy::of_sections(keys, Sections { channels, no_channel }, ended))
}

/// Returns the file as text. Refuses text that other programs might read differently.
fn text_of<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, Fault> {
    let at = |end: usize| At { file: path.to_owned(), line: bytes[..end].split(|byte| *byte == b'\n').count() };
    if bytes.len() as u64 > MAX_FILE {
        return Err(Fault::new(Class::Usage, expects(path.display(), format_args!("at most {MAX_FILE} bytes")))
            .help("split it by channels"));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(at(0).wrong(differs("", "plain text", "a byte order mark"), "save it as UTF-8 without BOM"));
    }
    if let Some(end) = bytes.iter().position(|byte| *byte == b'\r') {
        return Err(
            at(end).wrong(differs("", "lines that end in LF", "a carriage return"), "save it with Unix line ends")
        );
    }
    std::str::from_utf8(bytes).map_err(|error| {
        at(error.valid_up_to()).wrong(differs("", "text", "bytes that are not UTF-8"), "save it as UTF-8")
    })
}

fn entry(
    name: &str,
    key: &Spanned<Table<Key>>,
    file: Text<'_>,
    load: &mut impl FnMut(&str) -> Result<PublicKey, Fault>,
    keys: &mut HashMap<String, PublicKey>,
) -> Result<Entry, Fault> {
    let (span, key) = (key.span(), key.get_ref());
    for (word, text) in [("holder", &key.holder), ("role", &key.role)] {
        let clean = !text.get_ref().trim().is_empty() && !text.get_ref().chars().any(char::is_control);
        if !clean {
            let what = differs(format_args!("key {name:?}: {word}"), "a name", "none");
            return Err(file.at(&text.span()).wrong(what, "name its holder and its role"));
        }
    }
    // Called only for errors, since it counts lines from the start.
    let at = || file.at(&key.public.span());
    let files = key.public.get_ref().list();
    if files.is_empty() {
        return Err(at().wrong(differs(format_args!("key {name:?}"), "a public key's file", "none"), "name it"));
    }
    let mut keyids = Vec::with_capacity(files.len());
    for public in files {
        let key = load(public).map_err(|fault| fault.within(at()))?;
        let keyid = key.id().to_owned();
        if keys.insert(keyid.clone(), key).is_some() {
            let what = format!("key {name:?}: {keyid} is listed twice in this file");
            return Err(file.at(&span).wrong(what, "keep one of them; a holder with two roles needs two keys"));
        }
        keyids.push(keyid);
    }
    let (holder, role) = (key.holder.get_ref().clone(), key.role.get_ref().clone());
    Ok(Entry { name: name.to_owned(), holder, role, keyids })
}

/// Returns the version stated in the file, otherwise 0.
fn version(tables: &File, file: Text<'_>) -> Result<u64, Fault> {
    let Some(version) = &tables.version else { return Ok(0) };
    if *version.get_ref() > MAX_SIZE {
        let what = expects("version", "a number up to 2^53 - 1");
        return Err(file.at(&version.span()).wrong(what, "count from 1"));
    }
    Ok(*version.get_ref())
}

/// Returns the moment from which signatures of an entry no longer count.
fn until(name: &str, key: &Key, file: Text<'_>) -> Result<Option<Moment>, Fault> {
    let Some(text) = &key.until else { return Ok(None) };
    Moment::parse_end(text.get_ref()).map(Some).ok_or_else(|| {
        let what = expects(format_args!("key {name:?}: until"), "a day or a moment in UTC");
        file.at(&text.span()).wrong(what, "write it as \"2027-01-31\" or \"2027-01-31T12:00:00Z\"")
    })
}

fn section(
    name: &str,
    rule: &Rule,
    file: Text<'_>,
    at: &At,
    (known, version): (&BTreeMap<&str, Entry>, u64),
) -> Result<Section, Fault> {
    let mut entries = Vec::with_capacity(rule.keys.get_ref().len());
    let mut named = BTreeSet::new();
    for key in rule.keys.get_ref() {
        let at = || file.at(&key.span());
        let Some(entry) = known.get(key.get_ref().as_str()) else {
            let all: Vec<String> = known.keys().map(|name| (*name).to_owned()).collect();
            let what = format!("{name}: keys: there is no key {:?}", key.get_ref());
            return Err(at().wrong(what, nearest(key.get_ref(), &all, "trust")));
        };
        if !named.insert(entry.name.as_str()) {
            return Err(at().wrong(format!("{name}: keys: {:?} is listed twice", entry.name), "keep one of them"));
        }
        entries.push(entry.clone());
    }
    if entries.is_empty() {
        return Err(
            at.wrong(differs(format_args!("{name}: keys"), "at least one", "none"), "name whose signatures count")
        );
    }
    let holders: BTreeSet<&str> = entries.iter().map(|entry| entry.holder.as_str()).collect();
    let holders = holders.len();
    let threshold = match &rule.threshold {
        None => holders,
        Some(number) => match usize::try_from(*number.get_ref()) {
            Ok(count) if (1..=holders).contains(&count) => count,
            _ => {
                let what = differs(
                    name,
                    format_args!("a threshold from 1 to {holders}, the distinct holders of its keys"),
                    number.get_ref(),
                );
                return Err(file
                    .at(&number.span())
                    .wrong(what, "use a number in this range, or remove it to require all"));
            }
        },
    };
    for role in &rule.roles {
        if !entries.iter().any(|entry| entry.role == *role.get_ref()) {
            let roles: BTreeSet<String> = entries.iter().map(|entry| entry.role.clone()).collect();
            let roles: Vec<String> = roles.into_iter().collect();
            let what = format!("{name}: roles: none of its keys has the role {:?}", role.get_ref());
            return Err(file.at(&role.span()).wrong(what, nearest(role.get_ref(), &roles, "trust")));
        }
    }
    Ok(Section {
        name: name.to_owned(),
        entries,
        threshold,
        roles: rule.roles.iter().map(|role| role.get_ref().clone()).collect(),
        rules: rules(name, rule, file, version)?,
    })
}

fn rules(name: &str, rule: &Rule, file: Text<'_>, version: u64) -> Result<Rules, Fault> {
    let size = |word: &str, text: &Option<Spanned<String>>| {
        let Some(text) = text else { return Ok(None) };
        crate::base::size::parse(text.get_ref()).map(Some).ok_or_else(|| {
            let what = expects(format_args!("{name}: limits.{word}"), "a number of bytes");
            file.at(&text.span()).wrong(what, "write it as 200GiB")
        })
    };
    let globs = |word: &str, list: &Option<Spanned<Vec<String>>>| match list {
        Some(list) if list.get_ref().is_empty() => {
            let what = differs(format_args!("{name}: {word}"), "at least one", "none: every bundle would be refused");
            Err(file.at(&list.span()).wrong(what, "remove it to allow any"))
        }
        Some(list) => Ok(Some(list.get_ref().iter().cloned().map(Glob::new).collect())),
        None => Ok(None),
    };
    let demanded = rule.require.bundle.as_ref().map_or(&[][..], |members| members.get_ref());
    if let Some(epoch) = rule.epoch.as_ref().filter(|epoch| *epoch.get_ref() > i64::MAX as u64) {
        let what = expects(format_args!("{name}: epoch"), "a number up to 2^63 - 1");
        return Err(file.at(&epoch.span()).wrong(what, "write the one that its bundles have"));
    }
    let ceiling = rule.limits.expires.as_ref().map(|text| {
        span(text.get_ref()).filter(|seconds| *seconds > 0).ok_or_else(|| {
            let what = expects(format_args!("{name}: limits.expires"), "a span of time above 0");
            file.at(&text.span()).wrong(what, "write it as 90d")
        })
    });
    let ceiling = ceiling.transpose()?;
    let patterns = |list: &[Spanned<String>]| list.iter().map(|kind| Glob::new(kind.get_ref().clone())).collect();
    let asks = |wanted: fn(Member) -> bool| demanded.iter().any(|member| wanted(**member));
    Ok(Rules {
        repositories: globs("repositories", &rule.repositories)?,
        tags: globs("tags", &rule.tags)?,
        types: globs("types", &rule.types)?,
        bundle: size("bundle", &rule.limits.bundle)?,
        blob: size("blob", &rule.limits.blob)?,
        epoch: Some(rule.epoch.as_ref().map_or(0, |epoch| *epoch.get_ref())),
        expires: asks(|member| matches!(member, Member::Expires)) || ceiling.is_some(),
        lifetime: ceiling.or_else(|| asks(|member| matches!(member, Member::Expires)).then_some(LIFETIME)),
        sequence: asks(|member| matches!(member, Member::Sequence | Member::Previous)),
        previous: asks(|member| matches!(member, Member::Previous)),
        referrers: patterns(&rule.require.referrers),
        except: patterns(&rule.require.except),
        refuse_unknown: matches!(*rule.unknown_signatures, Unknown::Refuse),
        version: Some(version),
    })
}
