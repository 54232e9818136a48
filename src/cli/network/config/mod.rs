//! packmule.toml: finds, checks and parses the files, and answers what they say about registries,
//! containers and their logins.
//!
//! A file that another user could have written is refused. Secrets are only named in it and are
//! read elsewhere ([`crate::secret`]); no error repeats a value. sign and key do not use this
//! module; verify, inspect, cat and unpack only for a bundle in a container.

pub mod credential;
mod expand;
mod host;
mod pipelined;
pub mod pipelines;
mod ruled;
pub mod rules;
pub mod storage;
pub mod tables;
pub mod words;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use self::credential::{Credential, Kind, Username};
use self::host::host;
pub use self::storage::Storage;
use super::rate::rate;
use crate::base::fault::Fault;
use crate::cli::world::World;
use crate::oci::Repository;
pub use crate::toml_file::error::At;
use crate::toml_file::error::{Text, nearest};
use crate::toml_file::spelling::Table;

/// Maximum size of a configuration file, in bytes.
const MAX: u64 = 1 << 20;

/// `--config`
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ConfigFiles {
    /// Configuration file; repeatable [default: packmule/packmule.toml in $XDG_CONFIG_HOME, else in
    /// /etc]
    #[arg(long = "config", value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// The content of all configuration files together.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `[registry]` tables.
    pub registries: Vec<Registry>,
    /// `[credential]` tables, by name.
    pub credentials: BTreeMap<String, Credential>,
    /// `[storage]` tables, by name.
    pub storage: BTreeMap<String, Storage>,
    /// `[export]` tables, by name.
    pub exports: BTreeMap<String, pipelines::Export>,
    /// `[import]` tables, by name.
    pub imports: BTreeMap<String, pipelines::Import>,
    /// `[rule]` tables.
    pub rules: Vec<rules::Placed>,
}

/// One `[registry."HOST[/NAMESPACE]"]` table.
#[derive(Clone, Debug)]
pub struct Registry {
    /// Host, as in references.
    pub host: String,
    /// Namespace; empty for the whole host.
    pub namespace: String,
    /// Name of a credential.
    pub credential: Option<String>,
    /// The table; paths of files in it are relative to `dir`.
    pub table: tables::Registry,
    /// Bytes per second.
    pub limit_rate: Option<u64>,
    /// Directory of the configuration file.
    pub dir: PathBuf,
    /// Position of the table.
    pub at: At,
}

impl ConfigFiles {
    /// Returns the files that are read: those named, or else the first default that exists.
    pub fn places(&self, world: &World) -> Vec<PathBuf> {
        if !self.files.is_empty() {
            return self.files.iter().map(|file| world.path(file)).collect();
        }
        let own = world.settings().map(|dir| dir.join("packmule/packmule.toml"));
        let all = own.into_iter().chain([world.etc.join("packmule/packmule.toml")]);
        all.filter(|path| path.symlink_metadata().is_ok()).take(1).collect()
    }

    /// Reads all files.
    ///
    /// # Errors
    /// Class usage: a file that is missing, that others could have written, or that is invalid.
    pub fn load(&self, world: &World) -> Result<Config, Fault> {
        let mut config = Config::default();
        for path in self.places(world) {
            let text = read(&path, world)?;
            config.add(&path, &text, Some(&world.env))?;
        }
        config.check()?;
        Ok(config)
    }
}

/// Reads a configuration file that only its owner, root or the current user, can have written.
///
/// # Errors
/// Class usage.
pub fn read(path: &Path, world: &World) -> Result<String, Fault> {
    crate::cli::trusted_file::read(
        path,
        &crate::cli::trusted_file::Kind { noun: "configuration", option: "--config", most: MAX },
        world,
    )
}

fn parse(file: Text<'_>, env: Option<&BTreeMap<OsString, OsString>>) -> Result<tables::File, Fault> {
    let mut table = DeTable::parse(file.text).map_err(|error| file.refused(&error))?;
    if let Some(env) = env {
        for (name, value) in table.get_mut().iter_mut() {
            // An unknown table is refused below.
            if let ("registry" | "credential" | "storage" | "export" | "import" | "rule", DeValue::Table(table)) =
                (name.get_ref().as_ref(), value.get_mut())
            {
                expand::table(table, env, file)?;
            }
        }
    }
    tables::File::deserialize(toml::de::Deserializer::from(table)).map_err(|error| file.refused(&error))
}

impl Config {
    /// Adds one file. Without `env` no variable is expanded: the file is only checked, and read
    /// again later.
    ///
    /// # Errors
    /// Class usage.
    pub fn add(&mut self, path: &Path, text: &str, env: Option<&BTreeMap<OsString, OsString>>) -> Result<(), Fault> {
        let file = Text { file: path, text, schema: "config" };
        let read = parse(file, env)?;
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        for (name, table) in read.credential {
            let at = file.at(&table.span());
            if let Some(other) = self.credentials.get(&name) {
                return Err(at.wrong(format!("credential {name:?}: also defined in {}", other.at), "keep one of them"));
            }
            let credential = credential::read(&name, table.into_inner().into_inner(), file, at, &dir)?;
            self.credentials.insert(name, credential);
        }
        for (name, table) in read.storage {
            let at = file.at(&table.span());
            if let Some(other) = self.storage.get(&name) {
                return Err(at.wrong(format!("storage {name:?}: also defined in {}", other.at), "keep one of them"));
            }
            let storage = storage::read(&name, table.into_inner().into_inner(), file, at, &dir)?;
            self.storage.insert(name, storage);
        }
        for (scope, table) in read.registry {
            let registry = registry(&scope, table, file, &dir)?;
            let same = |other: &&Registry| (&other.host, &other.namespace) == (&registry.host, &registry.namespace);
            if let Some(other) = self.registries.iter().find(same) {
                let what = format!("registry {scope:?}: also defined in {}", other.at);
                return Err(registry.at.wrong(what, "keep one of them"));
            }
            self.registries.push(registry);
        }
        self.add_pipelines(read.export, read.import, file, &dir)?;
        self.add_rules(read.rule, file)
    }

    /// Checks that the content of the files is consistent.
    ///
    /// # Errors
    /// Class usage.
    pub fn check(&self) -> Result<(), Fault> {
        for (name, storage) in &self.storage {
            let subject = format!("storage {name:?}");
            let named = storage.credential.as_ref();
            let credential = named.map(|named| self.named(named, &subject, &storage.at)).transpose()?;
            storage.check(credential).map_err(|(what, help)| storage.at.wrong(format!("{subject}: {what}"), help))?;
        }
        for registry in &self.registries {
            let Some(name) = &registry.credential else { continue };
            let subject = format!("registry {:?}", registry.host);
            let credential = self.named(name, &subject, &registry.at)?;
            if !credential.kind.is_login() {
                let what =
                    format!("{subject}: credential {name:?}: expected a login or an identity, found a key of a store");
                return Err(registry.at.wrong(what, "name a credential with username and password, token or identity"));
            }
            let (asked, _) = self.login_scope(registry);
            if let Some(host) = credential.host.as_ref().filter(|host| **host != asked) {
                let what = format!(
                    "registry {:?}: credential {name:?} is only for {host:?}, but the host asked is {asked:?}",
                    registry.host
                );
                return Err(registry.at.wrong(what, "make a credential for this host, or remove its host"));
            }
        }
        self.check_pipelines()?;
        self.check_rules()
    }

    /// Returns the credential that a table names.
    fn named(&self, name: &str, subject: &str, at: &At) -> Result<&Credential, Fault> {
        self.credentials.get(name).ok_or_else(|| {
            let known: Vec<_> = self.credentials.keys().cloned().collect();
            let help = match nearest(name, &known, "config") {
                near if near.starts_with("did you") => near,
                _ => format!("add [credential.{name}]"),
            };
            at.wrong(format!("{subject}: there is no credential {name:?}"), help)
        })
    }

    /// Returns the table of a container: the one whose `url` is the longest prefix of the address.
    pub fn storage_for(&self, address: &str) -> Option<(&str, &Storage)> {
        // `az://ACCOUNT` also stands for the account's host in the cloud of the table's identity.
        let hosts = self.storage.iter().map(|(name, storage)| {
            let credential = storage.credential.as_ref().and_then(|named| self.credentials.get(named));
            (name.as_str(), storage.address(&storage.cloud(credential)))
        });
        let hosts: Vec<(&str, String)> = hosts.collect();
        let urls = self.storage.iter().map(|(name, storage)| (name.as_str(), storage.url.as_str()));
        let name = storage::longest(address, urls.chain(hosts.iter().map(|(name, url)| (*name, url.as_str()))))?;
        self.storage.get_key_value(name).map(|(name, storage)| (name.as_str(), storage))
    }

    /// Returns the table of a whole host.
    pub fn registry(&self, host: &str) -> Option<&Registry> {
        self.registries.iter().find(|registry| registry.host == host && registry.namespace.is_empty())
    }

    /// Returns the host that is asked for repositories of `host`: an endpoint's, if there is one.
    fn asked_host(&self, host: &str) -> String {
        let table = self.registry(host).filter(|registry| registry.table.endpoint.is_some());
        table.map_or_else(|| host.to_owned(), |registry| self.login_scope(registry).0)
    }

    /// Returns the host that a table's login is sent to, and the path in front of the repositories
    /// there.
    fn login_scope(&self, registry: &Registry) -> (String, String) {
        let endpoint = self.registry(&registry.host).and_then(|whole| whole.table.endpoint.as_ref());
        let Some(address) = endpoint.map(|endpoint| endpoint.get_ref().as_str()) else {
            return (registry.host.clone(), registry.namespace.clone());
        };
        let (scheme, rest) = address.split_once("://").unwrap_or(("https", address));
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let default = if scheme == "https" { ":443" } else { ":80" };
        let parts = [prefix.trim_matches('/'), &registry.namespace];
        let path: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        (authority.strip_suffix(default).unwrap_or(authority).to_ascii_lowercase(), path.join("/"))
    }

    /// Returns the length of a table's scope and the credential that it names, if it covers the
    /// repository.
    fn covers<'a>(&self, registry: &'a Registry, host: &str, path: &str) -> Option<(usize, &'a str)> {
        let name = registry.credential.as_deref()?;
        let (asked, scope) = self.login_scope(registry);
        let rest = path.strip_prefix(scope.as_str());
        // Requests without a repository belong to the whole host.
        let whole = registry.namespace.is_empty() && path.is_empty();
        let inside = scope.is_empty() || whole || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        (asked == host && inside).then_some((scope.len(), name))
    }

    /// Returns the credential for a repository at the host that is really asked (`host`: an
    /// endpoint's, if there is one): the one named by the longest matching HOST/NAMESPACE, or else
    /// the only one for this host.
    ///
    /// # Errors
    /// Several credentials are for this host, and no table names one of them.
    pub fn credential_for(&self, host: &str, path: &str) -> Result<Option<(&str, &Credential)>, String> {
        let longest =
            self.registries.iter().filter_map(|one| self.covers(one, host, path)).max_by_key(|(length, _)| *length);
        if let Some((_, name)) = longest {
            return Ok(self.credentials.get_key_value(name).map(|(name, credential)| (name.as_str(), credential)));
        }
        let mut own = self.credentials.iter().filter(|(_, credential)| credential.host.as_deref() == Some(host));
        match (own.next(), own.next()) {
            (Some((one, _)), Some((two, _))) => Err(format!(
                "credentials {one} and {two} are both for {host}: choose by [registry.\"{host}\"] credential"
            )),
            (found, _) => Ok(found.map(|(name, credential)| (name.as_str(), credential))),
        }
    }
}

fn registry(
    scope: &str,
    table: Spanned<Table<tables::Registry>>,
    file: Text<'_>,
    dir: &Path,
) -> Result<Registry, Fault> {
    let at = file.at(&table.span());
    let table = table.into_inner().into_inner();
    let subject = format!("registry {scope:?}");
    let (name, namespace) = scope.split_once('/').unwrap_or((scope, ""));
    host(name, &at, &subject)?;
    if scope.contains('/') {
        if Repository::new(name, namespace).is_err() {
            let what = format!("{subject}: expected HOST/NAMESPACE, found no valid namespace after the host");
            return Err(at.wrong(what, "write for example \"quay.io/team\", without a slash or star at the end"));
        }
        if !only_credential(&table) {
            let what = format!("{subject}: expected only credential: everything else applies to the whole host");
            return Err(at.wrong(what, format!("set it in [registry.\"{name}\"]")));
        }
    }
    if table.client_cert.is_some() != table.client_key.is_some() {
        let what = format!("{subject}: expected client_cert and client_key, found only one of them");
        return Err(at.wrong(what, "give both"));
    }
    if let Some(endpoint) = &table.endpoint {
        let good = ["https://", "http://"].iter().any(|scheme| {
            endpoint
                .get_ref()
                .strip_prefix(scheme)
                .is_some_and(|rest| !rest.is_empty() && !rest.contains(['@', '?', '#']))
        });
        if !good {
            let what = format!("{subject}: endpoint: expected https://HOST[:PORT][/PREFIX], found something else");
            return Err(file.at(&endpoint.span()).wrong(what, "write no login into it; use credential for that"));
        }
    }
    if let Some(number) = table.concurrency.as_ref().filter(|number| !(1..=256).contains(number.get_ref())) {
        let what = format!("{subject}: concurrency: expected 1 to 256, found {}", number.get_ref());
        return Err(file.at(&number.span()).wrong(what, "write for example 8"));
    }
    let limit_rate = match &table.limit_rate {
        None => None,
        Some(text) => Some(rate(text.get_ref()).map_err(|_| {
            let what = format!("{subject}: limit_rate: expected bytes per second");
            file.at(&text.span()).wrong(what, "write it as 80MiB/s")
        })?),
    };
    Ok(Registry {
        host: name.to_owned(),
        namespace: namespace.to_owned(),
        credential: table.credential.as_ref().map(|name| name.get_ref().clone()),
        limit_rate,
        table,
        dir: dir.to_owned(),
        at,
    })
}

fn only_credential(table: &tables::Registry) -> bool {
    matches!(
        table,
        tables::Registry {
            credential: _,
            endpoint: None,
            ca: None,
            client_cert: None,
            client_key: None,
            insecure: None,
            plain_http: None,
            realm: None,
            proxy: None,
            limit_rate: None,
            concurrency: None,
            retries: None,
        }
    )
}

#[cfg(test)]
mod tests;
