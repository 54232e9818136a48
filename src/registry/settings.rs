//! Settings for registries: plain data, and callbacks that look up logins and where the registry of
//! a name really is.
//!
//! Reads no files and no environment; the caller does. `Debug` never shows secrets.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::credential::Credential;
use crate::content::Error;
use crate::network::rate::Limits;
use crate::network::settings::ClientSettings;

/// Finds the login for a host (as written in references) and a repository path (empty for the host
/// itself). Returns `Ok(None)` if there is none, and `Err` if a source of logins fails.
pub type Lookup = Box<dyn Fn(&str, &str) -> Result<Option<Credential>, Error> + Send + Sync>;

/// Where one registry is, and who may receive its login.
#[derive(Clone, Debug, Default)]
pub struct Home {
    /// Address to use instead: `https://HOST[:PORT][/PREFIX]`; repository `REPO` is at
    /// `/v2/PREFIX/REPO` there. The login is the one of that address, never the one of this host.
    pub endpoint: Option<String>,
    /// Realm hosts that may receive its login.
    pub realms: Vec<String>,
}

/// Finds the home of a registry by its host, as written in references.
pub type HomeLookup = Box<dyn Fn(&str) -> Home + Send + Sync>;

/// Settings for all registries.
pub struct Settings {
    /// How to connect to hosts.
    pub clients: Arc<ClientSettings>,
    /// Finds the homes of single registries.
    pub homes: HomeLookup,
    /// Finds the logins of hosts.
    pub credentials: Lookup,
    /// Hosts (with port, as in references) that use plain http.
    pub plain_http: Vec<String>,
    /// Pairs of registry host and realm host: the realm may receive the login of that registry.
    pub realms: Vec<(String, String)>,
    /// Number of retries of a step.
    pub retries: u32,
    /// How long a registry is waited for that has answered and then no longer does.
    pub retry_for: Duration,
    /// Rate limits, which may be shared with other [`super::Registries`].
    pub limits: Arc<Limits>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clients: Arc::default(),
            homes: Box::new(|_| Home::default()),
            credentials: Box::new(|_, _| Ok(None)),
            plain_http: Vec::new(),
            realms: Vec::new(),
            retries: 4,
            retry_for: Duration::ZERO,
            limits: Arc::default(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("clients", &self.clients)
            .field("plain_http", &self.plain_http)
            .field("realms", &self.realms)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}
