//! The HTTP clients of a run: one for all hosts without settings of their own, and more where
//! certificates, proxies or HTTP versions differ.
//!
//! The only file that builds HTTP clients. Presents a client certificate only to its own host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder, Url};
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::origin;
use super::resolver::Elsewhere;
use super::settings::{ClientCertificate, ClientSettings, HostSettings};
use super::tls;
use crate::base::fault::escape;
use crate::base::lock::lock;
use crate::content::{Error, Kind};

/// Maximum number of hosts whose settings are cached, since redirects can lead to ever new names.
const MOST_KNOWN: usize = 1000;

/// Bytes of one answer that may be under way by HTTP/2: at 200 ms there and back, 20 MiB/s each. A slow reader has as many
/// in memory.
const STREAM_WINDOW: u32 = 4 << 20;
/// Bytes of all answers together that may be under way by one connection of HTTP/2: as many as eight transfers may have.
const CONNECTION_WINDOW: u32 = 32 << 20;

/// Properties that distinguish clients.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    /// Host whose settings it has; empty for the general settings.
    owner: String,
    /// Does not check certificates.
    lax: bool,
    /// Presents the owner's client certificate.
    identity: bool,
    /// Uses only HTTP/1.1.
    old: bool,
    /// Uses at most TLS 1.2.
    tls12: bool,
    /// For addresses that come from responses.
    strange: bool,
}

/// How to connect to an address.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// Without checking its certificate.
    pub lax: bool,
    /// With the client certificate for its host.
    pub identity: bool,
    /// Only with HTTP/1.1.
    pub old: bool,
    /// With at most TLS 1.2.
    pub tls12: bool,
    /// The address comes from a response, so its name must not resolve to a forbidden address.
    pub strange: bool,
}

/// Cache of clients and of the settings of single hosts.
pub struct Clients {
    settings: Arc<ClientSettings>,
    hosts: Mutex<HashMap<String, Arc<HostSettings>>>,
    made: Mutex<HashMap<Key, Client>>,
}

impl Clients {
    /// Builds the client that most hosts share, so that a bad CA file or proxy is reported at once.
    pub fn new(settings: Arc<ClientSettings>) -> Result<Self, Error> {
        let clients = Self { settings, hosts: Mutex::default(), made: Mutex::default() };
        clients.get("", &HostSettings::default(), Way::default())?;
        Ok(clients)
    }

    /// Returns the settings of all clients.
    pub fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    /// Returns the settings of `host` (as written in references).
    pub fn host(&self, host: &str) -> Result<Arc<HostSettings>, Error> {
        // Names from redirects are looked up as files, so allow only valid host names.
        let is_name = |part: &str| !part.is_empty() && !part.contains(['/', '\\', '%']);
        if !host.trim_end_matches('.').split('.').all(is_name) {
            return Ok(Arc::default());
        }
        let mut hosts = lock(&self.hosts);
        if let Some(known) = hosts.get(host) {
            return Ok(Arc::clone(known));
        }
        let found = (self.settings.hosts)(host).map_err(|why| {
            Error::new(Kind::Policy, format!("host {host}: settings: {}", escape(&why)))
                .help("fix the files with its settings")
        })?;
        let found = Arc::new(found);
        if hosts.len() < MOST_KNOWN {
            hosts.insert(host.to_owned(), Arc::clone(&found));
        }
        Ok(found)
    }

    /// Returns the client for an address that the user named.
    pub fn home(&self, name: &str, own: &HostSettings, url: &Url, old: bool) -> Result<Client, Error> {
        let lax = own.insecure || self.is_insecure(name, url);
        self.get(name, own, Way { lax, identity: true, old, ..Way::default() })
    }

    /// Returns the client for an address that comes from a response. `trusted` means that it may receive
    /// the login, so the client certificate for that host is presented too.
    pub fn elsewhere(&self, url: &Url, trusted: bool, old: bool) -> Result<Client, Error> {
        let name = origin::named(url);
        let own = self.host(&name)?;
        let lax = own.insecure || self.is_insecure(&name, url);
        self.get(&name, &own, Way { lax, identity: trusted, old, strange: true, ..Way::default() })
    }

    /// Returns a client that checks no certificate and presents none: for reading a certificate
    /// that was refused, or, with TLS 1.2, an alert that TLS 1.3 sends too late to be seen.
    pub fn looking(&self, name: &str, own: &HostSettings, tls12: bool) -> Result<Client, Error> {
        self.get(name, own, Way { lax: true, old: true, tls12, ..Way::default() })
    }

    fn is_insecure(&self, name: &str, url: &Url) -> bool {
        let authority = origin::authority(url);
        let host = url.host_str().unwrap_or_default();
        self.settings.insecure.iter().any(|named| named == name || *named == authority || named == host)
    }

    fn get(&self, name: &str, own: &HostSettings, way: Way) -> Result<Client, Error> {
        let identity = way.identity && own.client.is_some();
        let differs = identity || !own.ca.is_empty() || own.proxy.is_some();
        let owner = if differs { name.to_owned() } else { String::new() };
        let key = Key { owner, lax: way.lax, identity, old: way.old, tls12: way.tls12, strange: way.strange };
        let mut made = lock(&self.made);
        if let Some(client) = made.get(&key) {
            return Ok(client.clone());
        }
        let client = self.build(name, own, Way { identity, ..way })?;
        made.insert(key, client.clone());
        Ok(client)
    }

    fn build(&self, name: &str, own: &HostSettings, way: Way) -> Result<Client, Error> {
        let proxies = &self.settings.proxies;
        for proxy in [&own.proxy, &proxies.https, &proxies.http].into_iter().flatten() {
            self.settings.secrets.proxy(proxy);
        }
        let about = if name.is_empty() { String::new() } else { format!("host {name}: ") };
        let roots = self.roots(own, &about)?;
        let client = own.client.as_ref().filter(|_| way.identity);
        let identity = client.map(|client| identity(client, &about)).transpose()?;
        let given = if roots.is_empty() || way.lax {
            None
        } else {
            Some(tls::config(roots, client, way.old).map_err(|error| {
                Error::new(Kind::Policy, format!("{about}certificates: {}", escape(&error.to_string())))
                    .help("give PEM files: certificates for --ca, and a client certificate with its own key")
            })?)
        };
        let build = |own_only: bool| -> reqwest::Result<Client> {
            let mut builder = self.builder(own, way)?;
            if let Some(given) = &given {
                return builder.tls_backend_preconfigured(given.clone()).build();
            }
            if let Some(identity) = &identity {
                builder = builder.identity(identity.clone());
            }
            if own_only {
                builder = builder.tls_certs_only([]);
            }
            builder.tls_danger_accept_invalid_certs(way.lax).tls_info(way.lax).build()
        };
        // A machine without system roots can still use plain http.
        build(false).or_else(|_| build(true)).map_err(|error| {
            let text = escape(&error.without_url().to_string());
            Error::new(Kind::Policy, format!("{about}http client: {text}"))
                .help("check the certificates and the proxy settings")
        })
    }

    /// Returns a builder with everything but certificates: limits, proxies, protocol versions.
    fn builder(&self, own: &HostSettings, way: Way) -> reqwest::Result<ClientBuilder> {
        let settings = &self.settings;
        // Digests are computed over the stored bytes.
        let identity_only = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
        let mut builder = Client::builder()
            .default_headers(identity_only)
            .user_agent(&settings.user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(settings.connect)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .no_proxy();
        if let Some(proxy) = &own.proxy {
            if !proxy.is_empty() {
                builder = builder.proxy(reqwest::Proxy::all(proxy)?);
            }
        } else {
            let except = reqwest::NoProxy::from_string(&self.except());
            if let Some(proxy) = &settings.proxies.https {
                builder = builder.proxy(reqwest::Proxy::https(proxy)?.no_proxy(except.clone()));
            }
            if let Some(proxy) = &settings.proxies.http {
                builder = builder.proxy(reqwest::Proxy::http(proxy)?.no_proxy(except));
            }
        }
        if way.old {
            builder = builder.http1_only();
        }
        if way.strange {
            builder = builder.dns_resolver(Arc::new(Elsewhere));
        }
        if way.tls12 {
            builder = builder.tls_version_max(reqwest::tls::Version::TLS_1_2);
        }
        Ok(builder)
    }

    /// Returns the certificates of the CA files that the settings and the host's own name.
    ///
    /// # Errors
    /// [`Kind::Policy`]: a file without a certificate.
    fn roots(&self, own: &HostSettings, about: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
        let mut roots = Vec::new();
        for pem in self.settings.ca.iter().chain(&own.ca) {
            let found = tls::certificates(pem);
            if found.is_empty() {
                let what = format!("{about}CA file: expected PEM certificates, found none");
                return Err(Error::new(Kind::Policy, what).help("give a PEM file with BEGIN CERTIFICATE blocks"));
            }
            roots.extend(found);
        }
        Ok(roots)
    }

    /// Returns the hosts that the general proxies are not used for: those in the settings, and the
    /// local machine.
    fn except(&self) -> String {
        let named = self.settings.proxies.except.as_deref().unwrap_or_default();
        format!("{named},localhost,127.0.0.0/8,::1")
    }

    /// Returns the host and port of the proxy that is used for an address, if any.
    pub fn proxy(&self, own: &HostSettings, url: &Url) -> Option<String> {
        let all = &self.settings.proxies;
        let matcher = match &own.proxy {
            Some(proxy) => Matcher::builder().all(proxy.as_str()).build(),
            None => Matcher::builder()
                .https(all.https.as_deref().unwrap_or_default())
                .http(all.http.as_deref().unwrap_or_default())
                .no(self.except())
                .build(),
        };
        let found = matcher.intercept(&url.as_str().parse().ok()?)?;
        let host = escape(found.uri().host()?);
        Some(found.uri().port_u16().map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
    }
}

/// Returns the client certificate and its key in the client's form. `about` begins a message.
///
/// # Errors
/// [`Kind::Policy`]: no certificate, or no private key.
fn identity(client: &ClientCertificate, about: &str) -> Result<reqwest::Identity, Error> {
    let pem = Zeroizing::new([&client.certificate[..], b"\n", &client.key[..]].concat());
    reqwest::Identity::from_pem(&pem).map_err(|_| {
        let what = format!("{about}client certificate: expected a PEM certificate and its private key");
        Error::new(Kind::Policy, what).help("give both as PEM, the key without a passphrase")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::settings::{ClientCertificate, Proxies};

    fn clients(proxies: Proxies) -> Clients {
        Clients::new(Arc::new(ClientSettings { proxies, ..ClientSettings::default() })).unwrap()
    }

    #[test]
    fn proxies_are_named_without_their_login() {
        let proxies = Proxies {
            https: Some("http://u:hunter2@proxy.example:3128".to_owned()),
            http: None,
            except: Some("inside.example,10.0.0.0/8".to_owned()),
        };
        let clients = clients(proxies);
        let by = |own: &HostSettings, url: &str| clients.proxy(own, &Url::parse(url).unwrap());
        let plain = HostSettings::default();
        assert_eq!(by(&plain, "https://a.example/v2/").as_deref(), Some("proxy.example:3128"));
        for direct in [
            "http://a.example/",
            "https://x.inside.example/",
            "https://10.1.2.3:5000/",
            "https://localhost:5000/",
            "https://127.9.9.9/",
            "https://[::1]/",
        ] {
            assert_eq!(by(&plain, direct), None, "{direct}");
        }
        let none = HostSettings { proxy: Some(String::new()), ..HostSettings::default() };
        assert_eq!(by(&none, "https://a.example/"), None);
        let other = HostSettings { proxy: Some("http://other:1".to_owned()), ..HostSettings::default() };
        assert_eq!(by(&other, "http://x.inside.example/").as_deref(), Some("other:1"));
    }

    #[test]
    fn bad_certificates_are_told_without_their_content() {
        let clients = clients(Proxies::default());
        let url = Url::parse("https://a.example/").unwrap();
        let client = ClientCertificate { certificate: b"x".to_vec(), key: Zeroizing::new(b"hunter2".to_vec()) };
        for own in [
            HostSettings { client: Some(client), ..HostSettings::default() },
            HostSettings { ca: vec![b"no pem".to_vec()], ..HostSettings::default() },
        ] {
            let error = clients.home("a.example", &own, &url, false).unwrap_err();
            assert_eq!(error.class, Kind::Policy);
            assert!(error.what.contains("a.example") && !format!("{error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn names_that_are_paths_are_not_looked_up() {
        let settings =
            ClientSettings { hosts: Box::new(|host| Err(format!("asked for {host}"))), ..ClientSettings::default() };
        let clients = Clients::new(Arc::new(settings)).unwrap();
        for strange in ["..", "a/../../b", "", "a..b", "%2e"] {
            assert!(clients.host(strange).is_ok(), "{strange}");
        }
        assert!(clients.host("a.example:5000").is_err() && clients.host("[::1]:5000").is_err());
    }
}
