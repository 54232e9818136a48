//! `credential`: creates and changes the `[credential.N]` tables of packmule.toml and keeps their
//! comments.
//!
//! Only the sources of secrets are written and shown, never a secret. The loader checks new content
//! before it replaces the file.

use std::sync::Arc;

use clap::Subcommand;
use serde_json::{Value, json};
use toml_edit::{Array, InlineTable, Item, Table};

use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::cli::network::Network;
use crate::cli::network::config::{self, ConfigFiles, Kind, Username};
use crate::cli::network::edit::{edit, target};
use crate::cli::network::{logins, registries};
use crate::cli::output::Outcome;

/// `credential …`
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Create a credential, or change the given keys: host=HOST, username=USER, password.env=VAR,
    /// token.file=PATH, password.command="PROGRAM WORD..."; KEY= removes a key
    #[command(visible_aliases = ["create", "update"])]
    Set {
        /// Name of the credential
        name: String,
        /// Key to set or to remove; repeatable
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = Change::parse)]
        changes: Vec<Change>,
        #[command(flatten)]
        config: ConfigFiles,
    },
    /// Show a credential, without its secrets
    Show {
        /// Name of the credential
        name: String,
        #[command(flatten)]
        config: ConfigFiles,
    },
    /// Delete a credential that nothing uses
    Delete {
        /// Name of the credential
        name: String,
        #[command(flatten)]
        config: ConfigFiles,
    },
    /// Read the secrets of a credential, and log in if it has a host
    Check {
        /// Name of the credential
        name: String,
        #[command(flatten)]
        network: Box<Network>,
    },
    /// List all credentials
    List {
        #[command(flatten)]
        config: ConfigFiles,
    },
}

/// `KEY=VALUE`; the value is not shown, since it may be a misplaced secret.
#[derive(Clone)]
struct Change {
    key: String,
    kind: Option<String>,
    value: String,
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Change {
    /// Parses a change. Never fails, since the argument parser would repeat the text; an invalid
    /// key is refused later.
    #[allow(clippy::unnecessary_wraps, reason = "the signature that the parser expects")]
    fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').unwrap_or(("", text));
        let (key, kind) = key.split_once('.').map_or((key, None), |(key, kind)| (key, Some(kind.to_owned())));
        Ok(Self { key: key.to_owned(), kind, value: value.to_owned() })
    }

    fn apply(&self, table: &mut dyn toml_edit::TableLike) -> Result<(), Fault> {
        let usage = |what: &str, help: &str| Err(Fault::new(Class::Usage, what.to_owned()).help(help));
        let help =
            "write host=HOST, username=USER, password.env=VAR, password.file=PATH, token.systemd=NAME; KEY= removes";
        let secret = matches!(self.key.as_str(), "username" | "password" | "token");
        if self.value.is_empty() && (secret || matches!(self.key.as_str(), "host" | "identity" | "cloud")) {
            table.remove(&self.key);
            return Ok(());
        }
        let item = match (self.key.as_str(), self.kind.as_deref()) {
            ("host" | "username" | "identity" | "cloud", None) => self.value.as_str().into(),
            ("password" | "token", None) => {
                let what = format!("{}: expected the source of the secret, found a value", self.key);
                return usage(
                    &what,
                    "if it was the secret, change it, since others may have seen it; then write for example password.file=PATH",
                );
            }
            ("username" | "password" | "token", Some("command")) => {
                let words: Array = self.value.split_whitespace().collect();
                source("command", words.into())
            }
            ("username" | "password" | "token", Some(kind @ ("file" | "env" | "systemd" | "keyvault"))) => {
                source(kind, self.value.as_str().into())
            }
            ("identity", Some(key @ ("client_id" | "object_id" | "resource_id" | "tenant"))) => {
                let mut inner = table.get("identity").and_then(Item::as_inline_table).cloned().unwrap_or_default();
                inner.insert(key, self.value.as_str().into());
                inner.into()
            }
            _ => return usage("credential set: expected KEY=VALUE with a known key, found another", help),
        };
        // Keeps the space and comments around the old value.
        let decor = table.get(&self.key).and_then(Item::as_value).map(|old| old.decor().clone());
        let mut item = item;
        if let Some(decor) = decor {
            *item.decor_mut() = decor;
        }
        table.insert(&self.key, Item::Value(item));
        Ok(())
    }
}

fn source(kind: &str, value: toml_edit::Value) -> toml_edit::Value {
    let mut table = InlineTable::new();
    table.insert(kind, value);
    table.into()
}

fn absent(name: &str) -> Fault {
    Fault::new(Class::Usage, format!("credential {name:?}: expected a credential of that name, found none"))
        .help("see `packmule credential list`")
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage; class io if the file cannot be written; for `check`, class source if a registry
    /// refuses the login.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        match self.command {
            Command::Set { name, changes, config } => set(&name, &changes, &config, session),
            Command::Show { name, config } => {
                let config = config.load(session.world)?;
                let one = config.credentials.get(&name).ok_or_else(|| absent(&name))?;
                let (text, result) = shown(&name, one);
                Ok(Outcome::new(text, result))
            }
            Command::Delete { name, config } => delete(&name, &config, session),
            Command::Check { name, network } => check(&name, &network, session),
            Command::List { config } => {
                let config = config.load(session.world)?;
                let mut text = String::new();
                let mut list = Vec::new();
                for (name, one) in &config.credentials {
                    let kind = match one.kind {
                        Kind::Password { .. } => "password",
                        Kind::Token(_) => "token",
                        Kind::Identity => "identity",
                    };
                    let host = one.host.as_deref().unwrap_or("any host that names it");
                    text.push_str(&format!("{name}  {kind}  {host}  {}\n", one.at));
                    list.push(json!({ "name": name, "kind": kind, "host": one.host, "file": one.at.file, "line": one.at.line }));
                }
                Ok(Outcome::new(text, json!({ "credentials": list })))
            }
        }
    }
}

/// Returns what a credential contains, without the secrets that its sources hold.
fn shown(name: &str, one: &config::Credential) -> (String, Value) {
    let mut lines = vec![("name", name.to_owned())];
    lines.extend(one.host.iter().map(|host| ("host", host.clone())));
    match &one.kind {
        Kind::Password { username, password } => {
            let user = match username {
                Username::Plain(text) => text.clone(),
                Username::Secret(secret) => secret.source.to_string(),
            };
            lines.extend([("username", user), ("password", password.source.to_string())]);
        }
        Kind::Token(token) => lines.push(("token", token.source.to_string())),
        Kind::Identity => lines.push(("identity", "not usable in this version".to_owned())),
    }
    lines.push(("at", one.at.to_string()));
    let text = lines.iter().map(|(key, value)| format!("{key:10} {}\n", crate::base::fault::escape(value))).collect();
    let result = lines.into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
    (text, Value::Object(result))
}

fn set(name: &str, changes: &[Change], files: &ConfigFiles, session: &Session<'_>) -> Result<Outcome, Fault> {
    let path = target(files, session)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) {
        let what = "credential: expected a name of letters, digits, - _ and ., found something else";
        return Err(Fault::new(Class::Usage, what).help("choose another name"));
    }
    let config = edit(&path, session, |document, _| {
        let all = document.entry("credential").or_insert_with(|| {
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
        changes.iter().try_for_each(|change| change.apply(one))
    })?;
    let one = config.credentials.get(name).ok_or_else(|| absent(name))?;
    let (text, result) = shown(name, one);
    Ok(Outcome::new(text, result))
}

fn delete(name: &str, files: &ConfigFiles, session: &Session<'_>) -> Result<Outcome, Fault> {
    let path = target(files, session)?;
    edit(&path, session, |document, config| {
        if let Some(user) = config.registries.iter().find(|registry| registry.credential.as_deref() == Some(name)) {
            let what = format!("credential {name:?}: registry {:?} uses it, {}", user.host, user.at);
            return Err(Fault::new(Class::Usage, what).help("remove it there first"));
        }
        if let Some(user) = config.rules.iter().find(|placed| placed.rule.credential.as_deref() == Some(name)) {
            let what = format!("credential {name:?}: rule {:?} uses it, {}", user.rule.name, user.at);
            return Err(Fault::new(Class::Usage, what).help("remove it there first"));
        }
        let all = document.get_mut("credential").and_then(Item::as_table_like_mut);
        all.and_then(|all| all.remove(name)).map(|_| ()).ok_or_else(|| absent(name))
    })?;
    let shown = path.display().to_string();
    Ok(Outcome::new(format!("deleted    {name}, {shown}\n"), json!({ "name": name, "file": shown })))
}

fn check(name: &str, network: &Network, session: &Session<'_>) -> Result<Outcome, Fault> {
    let config = network.config.load(session.world)?;
    let one = config.credentials.get(name).ok_or_else(|| absent(name))?;
    let read = logins::read(one, &session.world.surroundings())
        .map_err(|error| Fault::new(Class::Usage, format!("credential {name}: {}", error.what)).help(error.help))?;
    let mut hosts: Vec<String> = match &one.host {
        Some(host) => vec![host.clone()],
        None => {
            let users = config.registries.iter().filter(|registry| registry.credential.as_deref() == Some(name));
            users.map(|registry| registry.host.clone()).collect()
        }
    };
    hosts.sort();
    hosts.dedup();
    let mut text = format!("readable   {name}\n");
    if hosts.is_empty() {
        text.push_str("not tried  no host uses it\n");
    }
    let registries = registries::open_with(network, session, Arc::new(config), read)?;
    let mut list = Vec::new();
    let mut faults = Vec::new();
    for host in hosts {
        let tried = registries.log_in(&host);
        match &tried {
            Ok(true) => text.push_str(&format!("accepted   {host}\n")),
            Ok(false) => text.push_str(&format!("not tried  {host} asks for no login\n")),
            Err(_) => text.push_str(&format!("REFUSED    {host}\n")),
        }
        list.push(
            json!({ "host": host, "tried": tried.as_ref().ok(), "accepted": tried.as_ref().ok() == Some(&true) }),
        );
        faults.extend(tried.err().map(|error| error.into_fault(Class::Source)));
    }
    let outcome = Outcome::new(text, json!({ "name": name, "readable": true, "hosts": list }));
    Ok(match Fault::from_list(faults) {
        Some(fault) => outcome.failed(fault),
        None => outcome,
    })
}
