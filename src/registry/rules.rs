//! The rules for one registry: its own settings, and the general settings where it has none.
//!
//! No I/O. If the settings give a different endpoint, the login is the one of that endpoint.

use reqwest::Url;

use super::settings::{Home, Settings};
use crate::content::{Error, Kind};
use crate::network::origin;
use crate::network::settings::HostSettings;

/// The rules for one registry.
#[derive(Debug)]
pub(super) struct Rules {
    /// Addresses to try in order; each is a scheme, host and port.
    pub endpoints: Vec<Url>,
    /// Prefix of repository paths there: empty, or path components that each end in a slash.
    pub prefix: String,
    /// Host whose login is used: the one written in references, or that of the endpoint used in its
    /// place.
    pub login_host: String,
    /// Realm hosts that may receive the login.
    pub realms: Vec<String>,
    /// Number of retries.
    pub retries: u32,
    /// Maximum number of concurrent requests.
    pub concurrency: Option<usize>,
    /// Bytes per second.
    pub limit_rate: Option<u64>,
}

impl Rules {
    /// Returns the rules for the registry that is called `name` in references.
    ///
    /// # Errors
    /// [`Kind::Policy`] if the endpoint is not a valid address, or uses plain http without
    /// permission.
    pub fn new(name: &str, all: &Settings, own: &HostSettings, home: &Home) -> Result<Self, Error> {
        let plain_http = own.plain_http || all.plain_http.iter().any(|host| host == name);
        let mut prefix = String::new();
        let mut login_host = name.to_owned();
        let endpoints = match &home.endpoint {
            None => {
                let schemes: &[&str] = match (plain_http, origin::is_loopback(name)) {
                    (true, _) => &["http"],
                    (false, true) => &["https", "http"],
                    (false, false) => &["https"],
                };
                let address = |scheme: &&str| Url::parse(&format!("{scheme}://{}/", origin::endpoint(name))).ok();
                schemes.iter().filter_map(address).collect()
            }
            Some(text) => {
                let wrong = |what: &str| {
                    Error::new(Kind::Policy, format!("registry {name}: endpoint: {what}"))
                        .help("write https://HOST[:PORT][/PREFIX]")
                };
                let mut url = Url::parse(text).map_err(|_| wrong("expected an address"))?;
                if !url.username().is_empty() || url.password().is_some() {
                    return Err(wrong("expected an address without a login").help("put the login into the auth file"));
                }
                if url.query().is_some() || url.fragment().is_some() || !url.has_host() {
                    return Err(wrong("expected only a host and a path"));
                }
                let authority = origin::authority(&url);
                let is_plain = plain_http || all.plain_http.contains(&authority) || origin::is_loopback(&authority);
                match url.scheme() {
                    "https" => {}
                    "http" if is_plain => {}
                    "http" => {
                        return Err(
                            wrong("plain http is not allowed").help(format!("allow it with --plain-http {authority}"))
                        );
                    }
                    _ => return Err(wrong("expected https")),
                }
                let path = url.path().trim_matches('/');
                if !path.is_empty() {
                    prefix = format!("{path}/");
                }
                url.set_path("/");
                login_host = authority;
                vec![url]
            }
        };
        if endpoints.is_empty() {
            return Err(Error::new(Kind::Refused, format!("registry {name}: not a host name")));
        }
        let named = all.realms.iter().filter(|(host, _)| *host == name || *host == login_host);
        let realms = home.realms.iter().cloned().chain(named.map(|(_, realm)| realm.clone())).collect();
        Ok(Self {
            endpoints,
            prefix,
            login_host,
            realms,
            retries: own.retries.unwrap_or(all.retries),
            concurrency: own.concurrency,
            limit_rate: own.limit_rate,
        })
    }

    /// Reports whether an address belongs to this registry.
    pub fn is_home(&self, url: &Url) -> bool {
        self.endpoints.iter().any(|endpoint| origin::same(endpoint, url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(name: &str, endpoint: &str) -> Result<Rules, Error> {
        let home = Home { endpoint: Some(endpoint.to_owned()), ..Home::default() };
        Rules::new(name, &Settings::default(), &HostSettings::default(), &home)
    }

    #[test]
    fn an_endpoint_has_its_own_login_and_prefix() {
        let rules = rules("docker.io", "https://mirror.example:8443/hub/a/").unwrap();
        assert_eq!((rules.login_host.as_str(), rules.prefix.as_str()), ("mirror.example:8443", "hub/a/"));
        assert!(rules.is_home(&Url::parse("https://mirror.example:8443/v2/hub/a/x").unwrap()));
        assert!(!rules.is_home(&Url::parse("https://mirror.example/v2/").unwrap()));
        let plain = Rules::new("docker.io", &Settings::default(), &HostSettings::default(), &Home::default()).unwrap();
        assert_eq!((plain.login_host.as_str(), plain.prefix.as_str()), ("docker.io", ""));
        assert_eq!(plain.endpoints[0].as_str(), "https://registry-1.docker.io/");
    }

    #[test]
    fn an_endpoint_is_an_address_without_login_and_not_plain_by_itself() {
        for wrong in ["mirror", "ftp://h/", "http://h.example/", "https://u:p@h/", "https://h/?q", "file:///x"] {
            let error = rules("docker.io", wrong).unwrap_err();
            assert_eq!(error.class, Kind::Policy, "{wrong}");
            assert!(!error.what.contains("u:p"));
        }
        assert!(rules("docker.io", "http://127.0.0.1:5000").is_ok());
    }
}
