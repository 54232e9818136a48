//! Registries as the command line, the configuration and the machine set them up: certificates,
//! logins, proxies.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::Arc;

use base64ct::{Base64, Encoding as _};

use super::config::{Config, Registry, words::Words};
use super::logins::Logins;
use super::sources::Sources;
use super::{auth_file, certificates};
use crate::base::fault::{Class, Fault, differs};
use crate::base::redact::Secrets;
use crate::cli::Session;
use crate::cli::network::Network;
use crate::content::{Destination, Source};
use crate::decide::rules::Rules;
use crate::network::rate::Limits;
use crate::network::settings::{ClientSettings, HostSettings, Proxies};
use crate::registry::{Credential, Home, Registries, Settings};

/// Default number of retries.
pub const RETRIES: u32 = 5;

/// Opens the registries of a run.
///
/// # Errors
/// Class usage: a configuration, certificate or auth file that cannot be read.
pub fn open(network: &Network, session: &Session<'_>) -> Result<Registries, Fault> {
    let config = network.config.load(session.world)?;
    open_as(network, session, &Arc::new(config), &limits(network), None)
}

impl Network {
    /// Opens the registries as a source.
    ///
    /// # Errors
    /// Those of [`open`].
    pub fn source(&self, session: &Session<'_>) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(open(self, session)?))
    }

    /// Reads the rules of the configuration.
    ///
    /// # Errors
    /// Class usage.
    pub fn rules(&self, session: &Session<'_>) -> Result<Rules, Fault> {
        self.config.load(session.world)?.rules()
    }

    /// Opens the registries as a destination.
    ///
    /// # Errors
    /// Those of [`open`].
    pub fn destination(&self, session: &Session<'_>) -> Result<Box<dyn Destination>, Fault> {
        Ok(Box::new(open(self, session)?))
    }
}

/// Both sides of a copy, which share configuration and limits. Each is opened on demand.
pub struct Sides<'a> {
    network: &'a Network,
    config: OnceCell<Arc<Config>>,
    limits: Arc<Limits>,
}

impl<'a> Sides<'a> {
    /// Makes the sides; reads nothing yet.
    pub fn new(network: &'a Network) -> Self {
        Self { network, config: OnceCell::new(), limits: limits(network) }
    }

    /// Opens one side. `credential` is the name given by `--from-credential` or `--to-credential`.
    /// It takes precedence over all other logins at its own host, or at every host of that side if
    /// it names none.
    ///
    /// # Errors
    /// Those of [`open`]; class usage if there is no credential of that name.
    pub fn open(&self, session: &Session<'_>, credential: Option<&str>) -> Result<Registries, Fault> {
        let config = match self.config.get() {
            Some(config) => Arc::clone(config),
            None => {
                let config = Arc::new(self.network.config.load(session.world)?);
                Arc::clone(self.config.get_or_init(|| config))
            }
        };
        open_as(self.network, session, &config, &self.limits, credential)
    }
}

fn limits(network: &Network) -> Arc<Limits> {
    Arc::new(Limits::new(network.limit_rate))
}

fn open_as(
    network: &Network,
    session: &Session<'_>,
    config: &Arc<Config>,
    limits: &Arc<Limits>,
    credential: Option<&str>,
) -> Result<Registries, Fault> {
    if let Some(name) = credential.filter(|name| !config.credentials.contains_key(*name)) {
        return Err(Fault::new(
            Class::Usage,
            differs(format_args!("credential {name:?}"), "a credential of that name", "none"),
        )
        .help("see `packmule credential list`, or add it with `packmule credential set`"));
    }
    let files = auth_file::places(network.authfile.as_deref(), session.world);
    for file in &files {
        let unreadable = |error: String| {
            Fault::new(Class::Usage, error).help("make the file readable, or name another one with --authfile")
        };
        let read = auth_file::read(file).map_err(unreadable)?;
        if read.is_none() && network.authfile.is_some() {
            return Err(Fault::new(Class::Usage, format!("--authfile {}: missing", file.display()))
                .help("name a file in the format of docker's config.json"));
        }
    }
    let chosen = credential.map(ToOwned::to_owned);
    let sources = sources(network, session, Arc::clone(config))?;
    let surroundings = session.world.surroundings();
    let logins = Logins::new(Arc::clone(config), chosen, files, surroundings, sources, session.flow.clone());
    let secrets = session.world.stderr.secrets();
    let credentials = Box::new(move |host: &str, path: &str| {
        let found = logins.find(host, path)?;
        found.iter().for_each(|login| learn(login, &secrets));
        Ok(found)
    });
    let limits = Arc::clone(limits);
    let settings = Settings { credentials, limits, ..settings(network, session, Arc::clone(config))? };
    Registries::new(settings, session.flow.clone()).map_err(|error| error.into_fault(Class::Usage))
}

/// Makes the sources of secrets, the identities and the access to containers of a run.
///
/// # Errors
/// Class usage: a certificate file that cannot be read.
pub fn sources(network: &Network, session: &Session<'_>, config: Arc<Config>) -> Result<Sources, Fault> {
    let settings = clients(network, session, Arc::clone(&config))?;
    let sources = Sources::new(config, session.world.surroundings(), settings, session.flow.clone());
    Ok(sources.retrying(network.retries.unwrap_or(RETRIES)).telling(session.world.stderr.secrets()))
}

/// Registers a login as secret, so that a registry that repeats it in a response does not bring it
/// into a message.
fn learn(login: &Credential, secrets: &Secrets) {
    match login {
        Credential::Password { username, password } => {
            secrets.learn(password);
            secrets.learn(&Base64::encode_string(format!("{username}:{}", **password).as_bytes()));
        }
        Credential::Identity(token) | Credential::Entra(token) => secrets.learn(token),
    }
}

/// Opens registries that use only `login`, whichever host asks, to try it.
///
/// # Errors
/// Those of [`open`].
pub fn open_with(
    network: &Network,
    session: &Session<'_>,
    config: Arc<Config>,
    login: Credential,
) -> Result<Registries, Fault> {
    learn(&login, &session.world.stderr.secrets());
    let credentials = Box::new(move |_: &str, _: &str| Ok(Some(login.clone())));
    let settings = Settings { credentials, limits: limits(network), ..settings(network, session, config)? };
    Registries::new(settings, session.flow.clone()).map_err(|error| error.into_fault(Class::Usage))
}

/// Returns the settings for registries, without logins.
fn settings(network: &Network, session: &Session<'_>, config: Arc<Config>) -> Result<Settings, Fault> {
    Ok(Settings {
        clients: Arc::new(clients(network, session, Arc::clone(&config))?),
        homes: Box::new(move |host| home(config.registry(host))),
        plain_http: network.plain_http.clone(),
        realms: network.realm.clone(),
        retries: network.retries.unwrap_or(RETRIES),
        retry_for: network.retry_for.0,
        ..Settings::default()
    })
}

/// Returns the settings of all HTTP clients, whatever is at the other end.
///
/// # Errors
/// Class usage: a certificate file that cannot be read.
pub fn clients(network: &Network, session: &Session<'_>, config: Arc<Config>) -> Result<ClientSettings, Fault> {
    let mut ca = Vec::new();
    if let Some(file) = &network.ca {
        let certificates = certificates::certificates(&session.path(file));
        ca.push(
            certificates.map_err(|error| Fault::usage(format!("--ca: {error}"), "name a file of PEM certificates"))?,
        );
    }
    let variable = |name: &str| {
        let lower = session.world.var(&name.to_ascii_lowercase());
        lower.or_else(|| session.world.var(name)).and_then(|value| value.to_str()).map(ToOwned::to_owned)
    };
    let certs = certificates::places(session.world);
    let retries = network.retries;
    Ok(ClientSettings {
        hosts: Box::new(move |host| host_settings(host, config.registry(host), retries, &certs)),
        insecure: network.insecure.clone(),
        ca,
        secrets: session.world.stderr.secrets(),
        proxies: Proxies { https: variable("HTTPS_PROXY"), http: variable("HTTP_PROXY"), except: variable("NO_PROXY") },
        ..ClientSettings::default()
    })
}

/// Returns where a registry is, from its table.
fn home(registry: Option<&Registry>) -> Home {
    let Some(Registry { table, .. }) = registry else { return Home::default() };
    Home {
        endpoint: table.endpoint.as_ref().map(|endpoint| endpoint.get_ref().clone()),
        realms: table.realm.clone().map(Words::into_list).unwrap_or_default(),
    }
}

/// Returns the settings of one host, from its table and its directory in `certs.d`. `retries` is
/// the command line's value, which takes precedence.
fn host_settings(
    host: &str,
    registry: Option<&Registry>,
    retries: Option<u32>,
    certs: &[PathBuf],
) -> Result<HostSettings, String> {
    let certificates::Found { mut ca, mut client } = certificates::find(host, certs)?;
    let Some(Registry { table, dir, limit_rate, .. }) = registry else {
        return Ok(HostSettings { ca, client, ..HostSettings::default() });
    };
    if let Some(file) = &table.ca {
        ca.push(certificates::certificates(&dir.join(file))?);
    }
    if let (Some(certificate), Some(key)) = (&table.client_cert, &table.client_key) {
        client = Some(certificates::client(&dir.join(certificate), &dir.join(key))?);
    }
    Ok(HostSettings {
        ca,
        client,
        insecure: table.insecure.unwrap_or_default(),
        plain_http: table.plain_http.unwrap_or_default(),
        proxy: table.proxy.as_ref().map(|proxy| proxy.get_ref().clone()),
        limit_rate: *limit_rate,
        concurrency: table.concurrency.as_ref().map(|number| usize::from(*number.get_ref())),
        retries: retries.or(table.retries),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_table_and_its_files_become_the_hosts_settings() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, mode: u32| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, name).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for (name, mode) in [("ca.pem", 0o644), ("c.pem", 0o644), ("k.pem", 0o600), ("certs.d/a.example/x.crt", 0o644)]
        {
            write(name, mode);
        }
        let certs = [dir.path().join("certs.d")];
        let text = r#"[registry."a.example"]
            endpoint = "https://m.example"
            ca = "ca.pem"
            client_cert = "c.pem"
            client_key = "k.pem"
            insecure = true
            plain_http = true
            realm = ["r.example", "s.example"]
            proxy = "http://u:canary@p"
            limit_rate = "1MiB/s"
            concurrency = 3
            retries = 2
            [registry."b.example"]
            realm = "r.example"
        "#;
        let mut config = Config::default();
        config.add(&dir.path().join("packmule.toml"), text, None).unwrap();
        let of = |host: &str, retries| host_settings(host, config.registry(host), retries, &certs);
        let found = of("a.example", None).unwrap();
        assert!(!format!("{found:?}").contains("canary"));
        let place = home(config.registry("a.example"));
        assert_eq!(place.endpoint.as_deref(), Some("https://m.example"));
        assert_eq!(found.ca, [b"certs.d/a.example/x.crt".to_vec(), b"ca.pem".to_vec()]);
        assert_eq!(found.client.unwrap().key.as_slice(), b"k.pem");
        assert!(found.insecure && found.plain_http);
        assert_eq!(place.realms, ["r.example", "s.example"]);
        assert_eq!(found.proxy.as_deref(), Some("http://u:canary@p"));
        assert_eq!((found.limit_rate, found.concurrency, found.retries), (Some(1 << 20), Some(3), Some(2)));
        assert_eq!(of("a.example", Some(0)).unwrap().retries, Some(0));
        let other = of("b.example", None).unwrap();
        assert_eq!((home(config.registry("b.example")).realms.len(), other.insecure, other.retries), (1, false, None));
        assert!(of("c.example", None).unwrap().ca.is_empty());
        write("k.pem", 0o640);
        assert!(of("a.example", None).is_ok());
        write("k.pem", 0o644);
        assert!(of("a.example", None).unwrap_err().contains("k.pem"));
        std::fs::remove_file(dir.path().join("ca.pem")).unwrap();
        assert!(of("a.example", None).unwrap_err().contains("ca.pem"));
        assert!(certificates::find("a.example", &[Path::new("/nowhere").to_owned()]).unwrap().ca.is_empty());
    }
}
