//! What the command line decides about registries: plain data and one lookup.
//!
//! Reads no file and no environment; whoever makes it does. Secrets never show in `Debug`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::credential::Credential;
use super::http::rate::Limits;
use super::http::secrets::Secrets;

/// Finds the login for a host (as references name it) and a repository path (empty where none is
/// meant): `Ok(None)` for none, `Err` with why a helper or file could not be asked.
pub type Lookup = Box<dyn Fn(&str, &str) -> Result<Option<Credential>, String> + Send + Sync>;

/// Proxies, in the words of the usual environment variables.
#[derive(Clone, Default)]
pub struct Proxies {
    /// For https (`HTTPS_PROXY`).
    pub https: Option<String>,
    /// For http (`HTTP_PROXY`).
    pub http: Option<String>,
    /// Hosts asked without a proxy (`NO_PROXY`), comma-separated; this machine always is.
    pub except: Option<String>,
}

/// A certificate that a registry knows this machine by.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The chain, PEM.
    pub certificate: Vec<u8>,
    /// The private key, PEM.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(redacted)")
    }
}

/// What one registry wants differently; all that is unset is as in [`Settings`].
#[derive(Clone, Default)]
pub struct HostSettings {
    /// Where to ask in its place: `https://HOST[:PORT][/PREFIX]`; `REPO` is then `/v2/PREFIX/REPO`
    /// there. The login is the one of that address, never this host's.
    pub endpoint: Option<String>,
    /// Further roots, PEM; one entry a file.
    pub ca: Vec<Vec<u8>>,
    /// The certificate shown to it.
    pub client: Option<ClientCertificate>,
    /// Its certificate is not checked.
    pub insecure: bool,
    /// Asked by plain http.
    pub plain_http: bool,
    /// Realm hosts that may have its login.
    pub realms: Vec<String>,
    /// The proxy for it; an empty one is none.
    pub proxy: Option<String>,
    /// Bytes per second, both ways together.
    pub limit_rate: Option<u64>,
    /// Most requests at once.
    pub concurrency: Option<usize>,
    /// How often a step is tried again.
    pub retries: Option<u32>,
}

impl fmt::Debug for HostSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The proxy may hold a password.
        f.debug_struct("HostSettings").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Finds what a host (as references name it) wants differently: `Err` with why its files cannot be
/// read. Asked once a host, also for hosts that redirects and token servers lead to: their `ca`,
/// `insecure` and `proxy` count there, their `client` only for a realm that may have the login.
pub type HostLookup = Box<dyn Fn(&str) -> Result<HostSettings, String> + Send + Sync>;

/// How registries are asked.
pub struct Settings {
    /// What single hosts want differently.
    pub hosts: HostLookup,
    /// Finds logins.
    pub credentials: Lookup,
    /// Hosts (with port, as in references) asked by plain http.
    pub plain_http: Vec<String>,
    /// Hosts whose certificates are not checked.
    pub insecure: Vec<String>,
    /// Further roots, PEM; one entry a file.
    pub ca: Vec<Vec<u8>>,
    /// Registry host, realm host: the realm may have that registry's login.
    pub realms: Vec<(String, String)>,
    /// How often a step is tried again.
    pub retries: u32,
    /// How long a registry is waited for that has answered and then no longer does.
    pub retry_for: Duration,
    /// `User-Agent`.
    pub user_agent: String,
    /// Proxies; none are taken from anywhere else.
    pub proxies: Proxies,
    /// Longest wait for a connection.
    pub connect: Duration,
    /// Longest wait without a byte.
    pub idle: Duration,
    /// How fast; other [`super::Registries`] may have the same.
    pub limits: Arc<Limits>,
    /// Takes the secrets that are sent; errors and events are free of them. Whoever shows what a registry says by other ways
    /// can ask it, too.
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
