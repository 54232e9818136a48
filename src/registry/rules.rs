//! What holds for one registry: its own settings over those for all.
//!
//! Pure; where an address is given in its place, the login is that address's.

use reqwest::Url;

use super::http::origin;
use super::settings::{HostSettings, Settings};
use crate::content::{Error, Kind};

/// The rules for one registry.
#[derive(Debug)]
pub(super) struct Rules {
    /// Addresses to try in turn, each scheme, host and port.
    pub endpoints: Vec<Url>,
    /// What stands before repositories there: nothing, or parts that each end in a slash.
    pub prefix: String,
    /// Whose login it is: the host as references name it, or the one asked in its place.
    pub login_host: String,
    /// Realm hosts that may have the login.
    pub realms: Vec<String>,
    /// Tries after the first.
    pub retries: u32,
    /// Most requests at once.
    pub concurrency: Option<usize>,
    /// Bytes per second.
    pub limit_rate: Option<u64>,
}

impl Rules {
    /// Returns the rules for the registry that references name `name`.
    ///
    /// # Errors
    /// [`Kind::Policy`] for an endpoint that is no address, or plain http where nobody said so.
    pub fn new(name: &str, all: &Settings, own: &HostSettings) -> Result<Self, Error> {
        let plain_http = own.plain_http || all.plain_http.iter().any(|host| host == name);
        let mut prefix = String::new();
        let mut login_host = name.to_owned();
        let endpoints = match &own.endpoint {
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
                    return Err(wrong("expected no login in it").help("put the login where logins are kept"));
                }
                if url.query().is_some() || url.fragment().is_some() || !url.has_host() {
                    return Err(wrong("expected host and path alone"));
                }
                let authority = origin::authority(&url);
                let is_plain = plain_http || all.plain_http.contains(&authority) || origin::is_loopback(&authority);
                match url.scheme() {
                    "https" => {}
                    "http" if is_plain => {}
                    "http" => {
                        return Err(wrong("plain http, which was not allowed")
                            .help(format!("say so with --plain-http {authority}")));
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
        let realms = own.realms.iter().cloned().chain(named.map(|(_, realm)| realm.clone())).collect();
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

    /// Returns whether an address is one of this registry's own.
    pub fn is_home(&self, url: &Url) -> bool {
        self.endpoints.iter().any(|endpoint| origin::same(endpoint, url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(name: &str, endpoint: &str) -> Result<Rules, Error> {
        let own = HostSettings { endpoint: Some(endpoint.to_owned()), ..HostSettings::default() };
        Rules::new(name, &Settings::default(), &own)
    }

    #[test]
    fn an_endpoint_has_its_own_login_and_prefix() {
        let rules = rules("docker.io", "https://mirror.example:8443/hub/a/").unwrap();
        assert_eq!((rules.login_host.as_str(), rules.prefix.as_str()), ("mirror.example:8443", "hub/a/"));
        assert!(rules.is_home(&Url::parse("https://mirror.example:8443/v2/hub/a/x").unwrap()));
        assert!(!rules.is_home(&Url::parse("https://mirror.example/v2/").unwrap()));
        let plain = Rules::new("docker.io", &Settings::default(), &HostSettings::default()).unwrap();
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
