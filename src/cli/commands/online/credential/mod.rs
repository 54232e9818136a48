//! `credential`: creates, changes, shows and checks the `[credential.N]` tables of packmule.toml, and keeps their
//! comments.
//!
//! Only the sources of secrets are written and shown, never a secret. The loader checks new content
//! before it replaces the file.

mod absent;
mod change;
mod check;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use serde_json::{Value, json};
use toml_edit::{DocumentMut, InlineTable, Item, Table};

use self::absent::absent;
use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::cli::network::Network;
use crate::cli::network::config::credential::Who;
use crate::cli::network::config::{self, Config, ConfigFiles, Kind, Username};
use crate::cli::network::{registries, replace};
use crate::cli::output::Outcome;
use crate::identity::{self, Audience, Cloud};

/// `credential …`
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Create a credential, or change the given keys: host=HOST, username=USER, password.env=VAR,
    /// token.file=PATH, password.command="PROGRAM WORD...", identity=system|workload|cli,
    /// identity.client_id=ID, cloud=public|usgov|china, account_key.file=PATH, profile=NAME; KEY=
    /// removes a key
    #[command(visible_aliases = ["create", "update"])]
    Set {
        /// Name of the credential
        name: String,
        /// Key to set or to remove; repeatable
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = change::Change::parse)]
        changes: Vec<change::Change>,
        #[command(flatten)]
        config: ConfigFiles,
    },
    /// Show a credential, without its secrets; of an identity its principal id, for granting rights
    Show {
        /// Name of the credential
        name: String,
        #[command(flatten)]
        network: Box<Network>,
    },
    /// Delete a credential that nothing uses
    Delete {
        /// Name of the credential
        name: String,
        #[command(flatten)]
        config: ConfigFiles,
    },
    /// Check a credential step by step: token, key vault, secrets, containers, login at registries
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

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage; class io if the file cannot be written; for `check`, class source if a registry
    /// refuses the login.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        match self.command {
            Command::Set { name, changes, config } => set(&name, &changes, &config, session),
            Command::Show { name, network } => show(&name, &network, session),
            Command::Delete { name, config } => delete(&name, &config, session),
            Command::Check { name, network } => check::check(&name, &network, session),
            Command::List { config } => {
                let config = config.load(session.world)?;
                let mut text = String::new();
                let mut list = Vec::new();
                for (name, one) in &config.credentials {
                    let kind = one.kind.name();
                    let host = one.host.as_deref().unwrap_or("any host that names it");
                    text.push_str(&format!("{name}  {kind}  {host}  {}\n", one.at));
                    list.push(json!({ "name": name, "kind": kind, "host": one.host, "file": one.at.file, "line": one.at.line }));
                }
                Ok(Outcome::new(text, json!({ "credentials": list })))
            }
        }
    }
}

/// Names and values that are shown of a credential.
type Lines = Vec<(&'static str, String)>;

/// Returns what a credential contains, without the secrets that its sources hold.
fn lines(name: &str, one: &config::Credential) -> Lines {
    let mut lines = vec![("name", name.to_owned())];
    lines.extend(one.host.iter().map(|host| ("host", host.clone())));
    let plain = |name: &Username| match name {
        Username::Plain(text) => Some(text.clone()),
        Username::Secret(_) => None,
    };
    match &one.kind {
        Kind::Password { username, .. } => lines.extend(plain(username).map(|text| ("username", text))),
        Kind::AccessKey { id, .. } => lines.extend(plain(id).map(|text| ("access_key_id", text))),
        Kind::Profile(profile) => lines.push(("profile", profile.clone())),
        Kind::Identity(who, cloud) => {
            lines.push(("identity", who_shown(who)));
            lines.push(("cloud", cloud_shown(cloud)));
        }
        Kind::Token(_) | Kind::AccountKey(_) | Kind::ServiceAccount(_) => {}
    }
    lines.extend(one.kind.secrets().into_iter().map(|(key, secret)| (key, secret.source.to_string())));
    lines.push(("at", one.at.to_string()));
    lines
}

fn who_shown(who: &Who) -> String {
    match who {
        Who::Managed(managed) => managed.to_string(),
        Who::Workload => "workload".to_owned(),
        Who::Tool => "the user of the Azure CLI".to_owned(),
        Who::Application { tenant, client, .. } => format!("application {client} in tenant {tenant}"),
    }
}

fn cloud_shown(cloud: &Cloud) -> String {
    let known = [("public", Cloud::public()), ("usgov", Cloud::usgov()), ("china", Cloud::china())];
    match known.iter().find(|(_, known)| known == cloud) {
        Some((name, _)) => (*name).to_owned(),
        None => format!("{}, storage {}, vault {}", cloud.authority, cloud.storage, cloud.vault),
    }
}

fn shown(lines: Lines) -> (String, Value) {
    let text = lines.iter().map(|(key, value)| format!("{key:10} {}\n", crate::base::fault::escape(value))).collect();
    let result = lines.into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
    (text, Value::Object(result))
}

fn show(name: &str, network: &Network, session: &Session<'_>) -> Result<Outcome, Fault> {
    let config = Arc::new(network.config.load(session.world)?);
    let one = config.credentials.get(name).ok_or_else(|| absent(name))?;
    let mut lines = lines(name, one);
    if matches!(one.kind, Kind::Identity(..)) {
        let sources = registries::sources(network, session, Arc::clone(&config))?;
        // The token for vaults, since it is there that rights are granted to it first.
        let token = sources.identity(name).and_then(|identity| identity.token(Audience::Vault, false));
        match token {
            Ok(token) => match identity::claims(&token).principal {
                Some(principal) => lines.push(("principal", principal)),
                None => session.flow.warn(format!("credential {name}: its token names no principal id")),
            },
            // What the file says is still of use, for example on another machine.
            Err(error) => session.flow.warn(format!("credential {name}: principal id not known: {}", error.what)),
        }
    }
    let (text, result) = shown(lines);
    Ok(Outcome::new(text, result))
}

/// Returns the file to change: the one named, else the one that is read, else the user's own.
fn target(files: &ConfigFiles, session: &Session<'_>) -> Result<PathBuf, Fault> {
    match files.places(session.world).as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            let own = session.world.settings().unwrap_or_else(|| session.world.etc.clone());
            Ok(own.join("packmule/packmule.toml"))
        }
        _ => Err(Fault::new(Class::Usage, "--config: expected one file to change, found several").help("name one")),
    }
}

/// Changes the file with `change`, which receives the document and the configuration parsed from
/// it. The result must be a valid configuration, which is returned.
fn edit(
    path: &Path,
    session: &Session<'_>,
    change: impl FnOnce(&mut DocumentMut, &Config) -> Result<(), Fault>,
) -> Result<Config, Fault> {
    let before = match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        _ => Some(config::read(path, session.world)?),
    };
    let text = before.as_deref().unwrap_or_default();
    // The loader parses first, since its errors name the line.
    let old = parse(path, text)?;
    let mut document: DocumentMut = text.parse().map_err(|_| {
        Fault::new(Class::Usage, format!("configuration {}: expected TOML", path.display())).help("repair it by hand")
    })?;
    change(&mut document, &old)?;
    let after = document.to_string();
    let new = parse(path, &after)?;
    replace::replace(path, before.as_ref().map(String::as_bytes), after.as_bytes()).map_err(|error| {
        Fault::new(replace::class(&error), format!("configuration {}: {error}", path.display()))
            .help("name another file with --config")
    })?;
    Ok(new)
}

/// Parses the text with the loader. Variables may be unset here.
fn parse(path: &Path, text: &str) -> Result<Config, Fault> {
    let mut config = Config::default();
    config.add(path, text, None)?;
    Ok(config)
}

fn set(name: &str, changes: &[change::Change], files: &ConfigFiles, session: &Session<'_>) -> Result<Outcome, Fault> {
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
    let (text, result) = shown(lines(name, one));
    Ok(Outcome::new(text, result))
}

fn delete(name: &str, files: &ConfigFiles, session: &Session<'_>) -> Result<Outcome, Fault> {
    let path = target(files, session)?;
    edit(&path, session, |document, config| {
        if let Some(user) = config.registries.iter().find(|registry| registry.credential.as_deref() == Some(name)) {
            let what = format!("credential {name:?}: registry {:?} uses it, {}", user.host, user.at);
            return Err(Fault::new(Class::Usage, what).help("remove it there first"));
        }
        let mut storage = config.storage.iter();
        if let Some((user, table)) = storage.find(|(_, table)| table.credential.as_deref() == Some(name)) {
            let what = format!("credential {name:?}: storage {user:?} uses it, {}", table.at);
            return Err(Fault::new(Class::Usage, what).help("remove it there first"));
        }
        let all = document.get_mut("credential").and_then(Item::as_table_like_mut);
        all.and_then(|all| all.remove(name)).map(|_| ()).ok_or_else(|| absent(name))
    })?;
    let shown = path.display().to_string();
    Ok(Outcome::new(format!("deleted    {name}, {shown}\n"), json!({ "name": name, "file": shown })))
}
