//! Settings for registries: plain data, and callbacks that look up logins and the settings of
//! single hosts.
//!
//! Reads no files and no environment; the caller does. `Debug` never shows secrets.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::credential::Credential;
use super::http::secrets::Secrets;
use crate::network::rate::Limits;

/// Finds the login for a host (as written in references) and a repository path (empty for the host
/// itself). Returns `Ok(None)` if there is none, and `Err` with the reason if a helper or file
/// fails.
pub type Lookup = Box<dyn Fn(&str, &str) -> Result<Option<Credential>, String> + Send + Sync>;

/// Proxies, in the format of the usual environment variables.
#[derive(Clone, Default)]
pub struct Proxies {
    /// Proxy for https (`HTTPS_PROXY`).
    pub https: Option<String>,
    /// Proxy for http (`HTTP_PROXY`).
    pub http: Option<String>,
    /// Hosts reached without a proxy (`NO_PROXY`), comma-separated. The local machine always is.
    pub except: Option<String>,
}

/// A certificate that identifies this machine to a registry.
#[derive(Clone)]
pub struct ClientCertificate {
    /// Certificate chain, PEM.
    pub certificate: Vec<u8>,
    /// Private key, PEM.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(redacted)")
    }
}

/// Settings of one registry. An unset field falls back to [`Settings`].
#[derive(Clone, Default)]
pub struct HostSettings {
    /// Address to use instead: `https://HOST[:PORT][/PREFIX]`; repository `REPO` is at
    /// `/v2/PREFIX/REPO` there. The login is the one of that address, never the one of this host.
    pub endpoint: Option<String>,
    /// Additional root certificates, PEM; one entry per file.
    pub ca: Vec<Vec<u8>>,
    /// Client certificate for this registry.
    pub client: Option<ClientCertificate>,
    /// Whether to skip the check of its certificate.
    pub insecure: bool,
    /// Whether to use plain http.
    pub plain_http: bool,
    /// Realm hosts that may receive its login.
    pub realms: Vec<String>,
    /// Proxy for this registry; empty for none.
    pub proxy: Option<String>,
    /// Bytes per second, for both directions together.
    pub limit_rate: Option<u64>,
    /// Maximum number of concurrent requests.
    pub concurrency: Option<usize>,
    /// Number of retries of a step.
    pub retries: Option<u32>,
}

impl fmt::Debug for HostSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The proxy may hold a password.
        f.debug_struct("HostSettings").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Finds the settings of a host (as written in references). Returns `Err` with the reason if its
/// files cannot be read. Called once per host, also for targets of redirects and for token servers:
/// their `ca`, `insecure` and `proxy` apply there, their `client` only for a realm that may receive
/// the login.
pub type HostLookup = Box<dyn Fn(&str) -> Result<HostSettings, String> + Send + Sync>;

/// Settings for all registries.
pub struct Settings {
    /// Finds the settings of single hosts.
    pub hosts: HostLookup,
    /// Finds the logins of hosts.
    pub credentials: Lookup,
    /// Hosts (with port, as in references) that use plain http.
    pub plain_http: Vec<String>,
    /// Hosts whose certificates are not checked.
    pub insecure: Vec<String>,
    /// Additional root certificates, PEM; one entry per file.
    pub ca: Vec<Vec<u8>>,
    /// Pairs of registry host and realm host: the realm may receive the login of that registry.
    pub realms: Vec<(String, String)>,
    /// Number of retries of a step.
    pub retries: u32,
    /// How long a registry is waited for that has answered and then no longer does.
    pub retry_for: Duration,
    /// `User-Agent`.
    pub user_agent: String,
    /// Proxies. There is no other source of proxies.
    pub proxies: Proxies,
    /// Maximum time to wait for a connection.
    pub connect: Duration,
    /// Maximum time without receiving a byte.
    pub idle: Duration,
    /// Rate limits, which may be shared with other [`super::Registries`].
    pub limits: Arc<Limits>,
    /// Collects the secrets that are sent, so that they are removed from errors and events. Code
    /// that shows a registry's text in another way can use it too.
    pub secrets: Arc<Secrets>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hosts: Box::new(|_| Ok(HostSettings::default())),
            credentials: Box::new(|_, _| Ok(None)),
            plain_http: Vec::new(),
            insecure: Vec::new(),
            ca: Vec::new(),
            realms: Vec::new(),
            retries: 4,
            retry_for: Duration::ZERO,
            user_agent: concat!("packmule/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxies: Proxies::default(),
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            limits: Arc::default(),
            secrets: Arc::default(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Proxy addresses may hold passwords.
        f.debug_struct("Settings")
            .field("plain_http", &self.plain_http)
            .field("insecure", &self.insecure)
            .field("realms", &self.realms)
            .field("retries", &self.retries)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let shown = format!("{:?} {:?}", Credential::password("mule", "hunter2"), Credential::identity("hunter2"));
        assert!(!shown.contains("hunter2"));
        let proxies = Proxies { https: Some("http://u:hunter2@p".to_owned()), ..Proxies::default() };
        assert!(!format!("{:?}", Settings { proxies, ..Settings::default() }).contains("hunter2"));
        let client = ClientCertificate { certificate: Vec::new(), key: Zeroizing::new(b"hunter2".to_vec()) };
        let proxy = Some("http://u:hunter2@p".to_owned());
        let host = HostSettings { client: Some(client.clone()), proxy, ..HostSettings::default() };
        let shown = format!("{client:?} {host:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("104, 117"), "{shown}");
    }
}
