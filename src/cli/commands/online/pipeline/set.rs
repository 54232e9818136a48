//! `pipeline set` and `pipeline delete`: change the tables of the configuration, and keep their
//! comments.

use serde_json::json;
use toml_edit::{Array, InlineTable, Item, Table, TableLike, Value};

use super::show::shown;
use crate::base::fault::{Class, Fault, differs, escape};
use crate::cli::Session;
use crate::cli::network::config::ConfigFiles;
use crate::cli::network::edit::{edit, parse, target};
use crate::cli::output::Outcome;
use crate::cli::pipelines::find::{find, split};

const HELP: &str = "see `packmule pipeline set --help`";

/// Kind of the value of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Number,
    Bool,
    /// Texts separated by commas; also one.
    List,
    /// Selectors, one a change.
    Selectors,
}

/// Keys of `[export.N]`. A `*` stands for any name.
const EXPORT: [(&str, Form); 28] = [
    ("artifacts", Form::Selectors),
    ("artifacts.images_in", Form::Selectors),
    ("storage", Form::Text),
    ("dir", Form::Text),
    ("name", Form::Text),
    ("stage", Form::Text),
    ("channel", Form::Text),
    ("epoch", Form::Number),
    ("expires", Form::Text),
    ("base", Form::List),
    ("sign", Form::List),
    ("passphrase.file", Form::Text),
    ("passphrase.env", Form::Text),
    ("passphrase.command", Form::List),
    ("passphrase.systemd", Form::Text),
    ("passphrase.keyvault", Form::Text),
    ("release.signatures", Form::Number),
    ("release.repositories", Form::List),
    ("platforms", Form::List),
    ("index", Form::Text),
    ("referrers", Form::List),
    ("foreign", Form::Bool),
    ("annotations.*", Form::Text),
    ("volume_size", Form::Text),
    ("overwrite", Form::Bool),
    ("allow_partial", Form::Bool),
    ("release", Form::Text),
    ("passphrase", Form::Text),
];

/// Keys of `[import.N]`.
const IMPORT: [(&str, Form); 22] = [
    ("storage", Form::Text),
    ("dir", Form::Text),
    ("to", Form::Text),
    ("policy", Form::Text),
    ("map", Form::List),
    ("keep_host", Form::Bool),
    ("tag_conflict", Form::Text),
    ("keep_going", Form::Bool),
    ("delete_source", Form::Bool),
    ("trigger", Form::Bool),
    ("interval", Form::Text),
    ("receipt.dir", Form::Text),
    ("receipt.sign", Form::List),
    ("receipt.passphrase.file", Form::Text),
    ("receipt.passphrase.env", Form::Text),
    ("receipt.passphrase.command", Form::List),
    ("receipt.passphrase.systemd", Form::Text),
    ("receipt.passphrase.keyvault", Form::Text),
    ("receipt.emit.*", Form::Text),
    ("receipt", Form::Text),
    ("receipt.passphrase", Form::Text),
    ("receipt.emit", Form::Text),
];

/// Keys that hold tables, and can only be removed whole.
const TABLES: [&str; 5] = ["release", "passphrase", "receipt", "receipt.passphrase", "receipt.emit"];

fn kind_and_name(name: &str) -> Result<(&'static str, &str), Fault> {
    split(name).ok_or_else(|| {
        let what = format!("pipeline {:?}: expected export.N or import.N", escape(name));
        Fault::usage(what, "write for example `packmule pipeline set export.monthly channel=apps`")
    })
}

/// Creates or changes a pipeline.
pub(super) fn set(
    full: &str,
    changes: &[String],
    files: &ConfigFiles,
    session: &Session<'_>,
) -> Result<Outcome, Fault> {
    let (kind, name) = kind_and_name(full)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        let what = "pipeline: expected a name of at most 64 letters, digits, - and _, found another";
        return Err(Fault::usage(what, "choose another name"));
    }
    let path = target(files, session)?;
    let config = edit(&path, session, |document, _| {
        let broken = || Fault::usage(differs(kind, "a table", "another value"), "repair it by hand");
        let all = document.entry(kind).or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        let inline = all.is_inline_table();
        let all = all.as_table_like_mut().ok_or_else(broken)?;
        if all.get(name).is_none() {
            let made = if inline { Item::Value(InlineTable::new().into()) } else { Item::Table(Table::new()) };
            all.insert(name, made);
        }
        let one = all.get_mut(name).and_then(Item::as_table_like_mut).ok_or_else(broken)?;
        let (own, rest): (Vec<&String>, Vec<&String>) =
            changes.iter().partition(|change| change.starts_with("artifacts"));
        artifacts(kind, &own, one)?;
        rest.into_iter().try_for_each(|change| apply(kind, change, one))?;
        let after = parse(&path, &document.to_string())?;
        after.check_pipelines()
    })?;
    let (text, result) = shown(find(&config, full)?);
    Ok(Outcome::new(text, result))
}

fn form(kind: &str, key: &str) -> Result<Form, Fault> {
    let keys: &[(&str, Form)] = if kind == "export" { &EXPORT } else { &IMPORT };
    let fits = |known: &str| {
        known == key
            || known.strip_suffix('*').is_some_and(|start| key.strip_prefix(start).is_some_and(|rest| !rest.is_empty()))
    };
    let found = keys.iter().find(|(known, _)| fits(known)).map(|(_, form)| *form);
    found.ok_or_else(|| {
        let known: Vec<String> = keys.iter().map(|(known, _)| (*known).to_owned()).collect();
        let near = crate::toml_file::error::nearest(key, &known, "config");
        let help = if near.starts_with("did you") { near } else { HELP.to_owned() };
        Fault::new(Class::Usage, differs(kind, "a known key", format_args!("{:?}", escape(key)))).help(help)
    })
}

fn parts(change: &str) -> Result<(&str, &str), Fault> {
    change.split_once('=').ok_or_else(|| {
        Fault::new(Class::Usage, differs("pipeline set", "KEY=VALUE", format_args!("{:?}", escape(change)))).help(HELP)
    })
}

/// Sets or removes one key.
fn apply(kind: &str, change: &str, table: &mut dyn TableLike) -> Result<(), Fault> {
    let (key, value) = parts(change)?;
    let form = form(kind, key)?;
    // Names of annotations contain dots.
    let path: Vec<&str> = match key.strip_prefix("annotations.") {
        Some(name) => vec!["annotations", name],
        None => key.split('.').collect(),
    };
    if value.is_empty() {
        remove(table, &path);
        return Ok(());
    }
    if TABLES.contains(&key) {
        let what = differs(key, "one of its keys, or nothing to remove it", "a value");
        return Err(Fault::new(Class::Usage, what).help(HELP));
    }
    let wrong = |expected: &str| {
        let what = differs(key, expected, format_args!("{:?}", escape(value)));
        Fault::new(Class::Usage, what).help(HELP)
    };
    let list = || value.split(',').map(str::trim).filter(|one| !one.is_empty()).collect::<Array>();
    let item: Value = match form {
        Form::Text | Form::Selectors => value.into(),
        Form::Number => value.parse::<i64>().map_err(|_| wrong("a number"))?.into(),
        Form::Bool => value.parse::<bool>().map_err(|_| wrong("true or false"))?.into(),
        Form::List => match (key, list().len()) {
            // One text is more readable than a list of one.
            ("base" | "sign" | "referrers" | "map" | "receipt.sign", 1) => value.trim().into(),
            _ => list().into(),
        },
    };
    // A SECRET has one source.
    if let Some(at) = path.iter().position(|part| *part == "passphrase") {
        remove(table, &path[..=at]);
    }
    insert(table, &path, item)
}

/// Removes a key, and the tables that are empty without it.
fn remove(table: &mut dyn TableLike, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        table.remove(first);
        return;
    }
    let Some(inner) = table.get_mut(first).and_then(Item::as_table_like_mut) else { return };
    remove(inner, rest);
    if inner.is_empty() {
        table.remove(first);
    }
}

/// Sets a key below the tables of `path`, which are made where they are missing. Keeps the space and
/// comments around an old value.
fn insert(table: &mut dyn TableLike, path: &[&str], mut item: Value) -> Result<(), Fault> {
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    if rest.is_empty() {
        let decor = table.get(first).and_then(Item::as_value).map(|old| old.decor().clone());
        decor.into_iter().for_each(|decor| *item.decor_mut() = decor);
        table.insert(first, Item::Value(item));
        return Ok(());
    }
    if table.get(first).is_none() {
        table.insert(first, Item::Value(InlineTable::new().into()));
    }
    let inner = table
        .get_mut(first)
        .and_then(Item::as_table_like_mut)
        .ok_or_else(|| Fault::usage(differs(first, "a table", "another value"), "repair it by hand"))?;
    insert(inner, rest, item)
}

/// Replaces the list of artifacts by those of all changes together; one without a value empties it.
fn artifacts(kind: &str, changes: &[&String], table: &mut dyn TableLike) -> Result<(), Fault> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut all = Array::new();
    for change in changes {
        let (key, value) = parts(change)?;
        form(kind, key)?;
        match (key, value) {
            (_, "") => {}
            ("artifacts", selector) => all.push(selector),
            (_, file) => {
                let mut list = InlineTable::new();
                list.insert("images_in", file.into());
                all.push(list);
            }
        }
    }
    if all.is_empty() {
        table.remove("artifacts");
        return Ok(());
    }
    insert(table, &["artifacts"], all.into())
}

/// Deletes a pipeline.
pub(super) fn delete(name: &str, files: &ConfigFiles, session: &Session<'_>) -> Result<Outcome, Fault> {
    let path = target(files, session)?;
    let mut full = String::new();
    edit(&path, session, |document, old| {
        full = find(old, name)?.full_name();
        let (kind, short) = kind_and_name(&full)?;
        let all = document.get_mut(kind).and_then(Item::as_table_like_mut);
        let removed = all.and_then(|all| all.remove(short));
        removed.map(drop).ok_or_else(|| Fault::new(Class::Bug, format!("pipeline {full}: not in the document")))
    })?;
    let shown = path.display().to_string();
    Ok(Outcome::new(format!("deleted    {full}, {shown}\n"), json!({ "name": full, "file": shown })))
}
