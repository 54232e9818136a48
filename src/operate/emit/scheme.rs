//! Addresses of registries: which speak plain HTTP.

use std::net::IpAddr;

/// Hosts that are reached over plain HTTP.
#[derive(Clone, Debug, Default)]
pub struct PlainHttp {
    /// Hosts that were named, with their ports.
    pub hosts: Vec<String>,
}

impl PlainHttp {
    /// Returns whether `host` speaks plain HTTP: it was named, or it is this machine's own loopback.
    pub fn has(&self, host: &str) -> bool {
        self.hosts.iter().any(|named| named == host) || is_loopback(host)
    }

    /// Returns `SCHEME://HOST`.
    pub fn origin(&self, host: &str) -> String {
        format!("{}://{host}", if self.has(host) { "http" } else { "https" })
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_named_hosts_are_plain() {
        let plain = PlainHttp { hosts: vec!["reg.site:5000".into()] };
        for host in ["localhost", "localhost:5000", "127.0.0.1:80", "127.8.0.1", "[::1]:5000", "[::1]", "reg.site:5000"]
        {
            assert_eq!(plain.origin(host), format!("http://{host}"));
        }
        for host in ["reg.site", "reg.site:5001", "10.0.0.1:5000", "[fe80::1]:5000", "localhost.site"] {
            assert_eq!(plain.origin(host), format!("https://{host}"));
        }
    }
}
