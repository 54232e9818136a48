//! Settings of HTTP clients: plain data, and a callback that looks up the settings of single hosts.
//!
//! Reads no files and no environment; the caller does. `Debug` never shows secrets.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::secrets::Secrets;

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

/// A certificate that identifies this machine to a server.
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

/// How to connect to one host. An unset field falls back to the general settings.
#[derive(Clone, Default)]
pub struct HostSettings {
    /// Additional root certificates, PEM; one entry per file.
    pub ca: Vec<Vec<u8>>,
    /// Client certificate for this host.
    pub client: Option<ClientCertificate>,
    /// Whether to skip the check of its certificate.
    pub insecure: bool,
    /// Whether to use plain http.
    pub plain_http: bool,
    /// Proxy for this host; empty for none.
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
        f.debug_struct("HostSettings").field("limit_rate", &self.limit_rate).finish_non_exhaustive()
    }
}

/// Finds the settings of a host (with port, as in references). Returns `Err` with the reason if its
/// files cannot be read. Called once per host, also for targets of redirects and for token servers:
/// their `ca`, `insecure` and `proxy` apply there, their `client` only where a login may be sent.
pub type HostLookup = Box<dyn Fn(&str) -> Result<HostSettings, String> + Send + Sync>;

/// Settings of all HTTP clients of a run.
pub struct ClientSettings {
    /// Finds the settings of single hosts.
    pub hosts: HostLookup,
    /// Hosts whose certificates are not checked.
    pub insecure: Vec<String>,
    /// Additional root certificates, PEM; one entry per file.
    pub ca: Vec<Vec<u8>>,
    /// `User-Agent`.
    pub user_agent: String,
    /// Proxies. There is no other source of proxies.
    pub proxies: Proxies,
    /// Maximum time to wait for a connection.
    pub connect: Duration,
    /// Maximum time without receiving a byte.
    pub idle: Duration,
    /// Collects the secrets that are sent, so that they are removed from errors and events. Code
    /// that shows a server's text in another way can use it too.
    pub secrets: Arc<Secrets>,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            hosts: Box::new(|_| Ok(HostSettings::default())),
            insecure: Vec::new(),
            ca: Vec::new(),
            user_agent: concat!("packmule/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxies: Proxies::default(),
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            secrets: Arc::default(),
        }
    }
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Proxy addresses may hold passwords.
        f.debug_struct("ClientSettings")
            .field("insecure", &self.insecure)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let proxies = Proxies { https: Some("http://u:hunter2@p".to_owned()), ..Proxies::default() };
        assert!(!format!("{:?}", ClientSettings { proxies, ..ClientSettings::default() }).contains("hunter2"));
        let client = ClientCertificate { certificate: Vec::new(), key: Zeroizing::new(b"hunter2".to_vec()) };
        let proxy = Some("http://u:hunter2@p".to_owned());
        let host = HostSettings { client: Some(client.clone()), proxy, ..HostSettings::default() };
        let shown = format!("{client:?} {host:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("104, 117"), "{shown}");
    }
}
