//! Normalization of destinations: all spellings of one registry share one record (`spec/state.md`,
//! Place).
//!
//! Pure; no name is looked up. Two names of one host are two destinations, except for names of this
//! machine itself.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Other names of docker.io.
const HUB: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];
/// Default ports, with and without TLS.
const USUAL: [&str; 2] = ["443", "80"];

/// Returns the normal form of `destination`. For `registry:HOST/PREFIX`: the host in lower case,
/// addresses in their usual form, loopback as `localhost`, no default port, and no slash at the end
/// of the prefix. Other destinations are unchanged.
pub fn normal(destination: &str) -> String {
    let Some(place) = destination.strip_prefix("registry:") else { return destination.to_owned() };
    let (host, prefix) = place.split_once('/').unwrap_or((place, ""));
    format!("registry:{}/{}", host_of(&host.to_ascii_lowercase()), prefix.trim_end_matches('/'))
}

/// Returns the part of a registry destination that names the registry, or `None` for other
/// destinations.
pub fn registry(destination: &str) -> Option<&str> {
    destination.strip_prefix("registry:").map(|place| place.split_once('/').map_or(place, |(host, _)| host))
}

fn host_of(host: &str) -> String {
    // Colons within an address in brackets do not mark a port.
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    };
    let name = name.trim_end_matches('.');
    let name =
        if HUB.contains(&name) { "docker.io".to_owned() } else { address(name).unwrap_or_else(|| name.to_owned()) };
    if port.is_empty() || USUAL.contains(&port) { name } else { format!("{name}:{port}") }
}

/// Returns the usual form of an address, or `localhost` for a loopback address.
fn address(name: &str) -> Option<String> {
    let four = |address: Ipv4Addr| if address.is_loopback() { "localhost".to_owned() } else { address.to_string() };
    if let Some(inner) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().ok()?;
        return Some(match address.to_ipv4_mapped() {
            Some(mapped) => four(mapped),
            None if address.is_loopback() => "localhost".to_owned(),
            None => format!("[{address}]"),
        });
    }
    numbers(name).map(four)
}

/// Parses an IPv4 address like inet_aton(3): one to four numbers, decimal, octal or hexadecimal, of
/// which the last fills the remaining bytes.
fn numbers(name: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| match part.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None if part.len() > 1 && part.starts_with('0') => u32::from_str_radix(part, 8).ok(),
        None => part.parse().ok(),
    };
    let parts: Vec<u32> = name.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last().filter(|(_, first)| first.len() < 4)?;
    let room = 8 * (4 - u32::try_from(first.len()).ok()?);
    let fits = first.iter().all(|part| *part < 256) && u64::from(*last) < 1 << room;
    let high = first.iter().enumerate().fold(0, |sum, (at, part)| sum | part << (24 - 8 * at));
    fits.then(|| Ipv4Addr::from(high | last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_registry_is_one_destination() {
        for (one, spellings) in [
            (
                "registry:localhost:5000/mirror",
                &[
                    "registry:127.0.0.1:5000/mirror",
                    "registry:127.1:5000/mirror",
                    "registry:127.8.9.10:5000/mirror/",
                    "registry:0x7f000001:5000/mirror",
                    "registry:0177.0.0.1:5000/mirror",
                    "registry:2130706433:5000/mirror",
                    "registry:[::1]:5000/mirror",
                    "registry:[0:0:0:0:0:0:0:1]:5000/mirror//",
                    "registry:[::ffff:127.0.0.1]:5000/mirror",
                    "registry:LOCALHOST:5000/mirror",
                ][..],
            ),
            ("registry:r.example/", &["registry:r.example", "registry:R.Example:443/", "registry:r.example:80//"]),
            ("registry:docker.io/team", &["registry:index.docker.io/team", "registry:registry-1.docker.io:443/team/"]),
            ("registry:[2001:db8::1]:5000/", &["registry:[2001:DB8:0:0::1]:5000/"]),
            ("registry:10.0.0.1/", &["registry:10.1/", "registry:[::ffff:10.0.0.1]:443/"]),
        ] {
            assert_eq!(normal(one), one);
            for spelling in spellings {
                assert_eq!(normal(spelling), one, "{spelling}");
            }
        }
    }

    #[test]
    fn what_differs_stays_apart() {
        for one in [
            "guard",
            "oci:/srv/Mirror/",
            "registry:localhost:5001/",
            "registry:r.example:8443/",
            "registry:r.example/Team",
            "registry:r.example/a/b",
            "registry:256.0.0.1/",
            "registry:1.2.3.4.5/",
            "registry:09.1/",
            "registry:127.0.0.1.r.example/",
            "registry:[::2]:5000/",
        ] {
            assert_eq!(normal(one), one);
        }
        assert_eq!(registry("registry:r.example:5000/a/b"), Some("r.example:5000"));
        assert_eq!(registry("oci:/srv"), None);
    }
}
