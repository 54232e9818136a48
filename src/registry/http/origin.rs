//! Which server an address means: scheme, host and port, and which may never be asked.
//!
//! Pure: no name is looked up here.

use std::net::IpAddr;

use reqwest::Url;

/// Whether two addresses have the same scheme, host and port.
pub(in crate::registry) fn same(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// `host` or `host:port` of an address, as it is named in settings.
pub(in crate::registry) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The endpoint's host for a host in references.
pub(in crate::registry) fn endpoint(host: &str) -> &str {
    if host == "docker.io" { "registry-1.docker.io" } else { host }
}

/// What references call the host of an address.
pub(in crate::registry) fn named(url: &Url) -> String {
    let authority = authority(url);
    if authority == "registry-1.docker.io" { "docker.io".to_owned() } else { authority }
}

/// Whether a host (with or without port) is this machine.
pub(in crate::registry) fn is_loopback(host: &str) -> bool {
    let Ok(url) = Url::parse(&format!("http://{host}/")) else { return false };
    let name = url.host_str().unwrap_or_default();
    name == "localhost" || address(name).is_some_and(|address| address.is_loopback())
}

fn address(host: &str) -> Option<IpAddr> {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok()?;
    Some(address.to_canonical())
}

/// Whether an address is link-local or a cloud's metadata service, to which no answer may send us.
pub(in crate::registry) fn is_forbidden(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    if matches!(host.as_str(), "metadata.google.internal" | "metadata" | "instance-data") {
        return true;
    }
    address(&host).is_some_and(is_forbidden_address)
}

/// The same of an address that a name was found to mean.
pub(in crate::registry) fn is_forbidden_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified() || v4.octets() == [100, 100, 100, 200],
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local() || v6.is_unspecified() || v6.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_scheme_host_and_port() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(same(&url("https://a/x"), &url("https://a:443/y")));
        for other in ["http://a/x", "https://b/x", "https://a:444/x", "https://a.b/x"] {
            assert!(!same(&url("https://a/x"), &url(other)), "{other}");
        }
    }

    #[test]
    fn loopback_and_forbidden() {
        for yes in ["localhost", "localhost:5000", "127.0.0.1:1", "127.9.9.9", "[::1]:5000"] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in ["example.org", "10.0.0.1", "localhost.example", "[fe80::1]"] {
            assert!(!is_loopback(no), "{no}");
        }
        let forbidden = |text: &str| is_forbidden(&Url::parse(text).unwrap());
        for yes in [
            "http://169.254.169.254/",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fd00:ec2::254]/",
            "http://metadata.google.internal./",
            "http://0xa9fea9fe/",
        ] {
            assert!(forbidden(yes), "{yes}");
        }
        assert!(!forbidden("http://127.0.0.1/") && !forbidden("https://example.org/"));
    }
}
