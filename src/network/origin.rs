//! The server of an address (scheme, host and port), and the servers that must never be contacted.
//!
//! Does not look up names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use reqwest::Url;

/// Reports whether two addresses have the same scheme, host and port.
pub fn same(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Returns the `host` or `host:port` of an address, as written in settings.
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Returns the host to connect to for a host in references.
pub fn endpoint(host: &str) -> &str {
    if host == "docker.io" { "registry-1.docker.io" } else { host }
}

/// Returns the name in references of the host of an address.
pub fn named(url: &Url) -> String {
    let authority = authority(url);
    if authority == "registry-1.docker.io" { "docker.io".to_owned() } else { authority }
}

/// Reports whether a host (with or without a port) is the local machine.
pub fn is_loopback(host: &str) -> bool {
    let Ok(url) = Url::parse(&format!("http://{host}/")) else { return false };
    let name = url.host_str().unwrap_or_default();
    name == "localhost" || address(name).is_some_and(|address| address.is_loopback())
}

fn address(host: &str) -> Option<IpAddr> {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok()?;
    Some(address.to_canonical())
}

/// Reports whether an address is link-local or a cloud metadata service. Responses must not lead
/// there.
pub fn is_forbidden(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    if METADATA_NAMES.contains(&host.as_str()) {
        return true;
    }
    address(&host).is_some_and(is_forbidden_address)
}

/// Host names of metadata services.
const METADATA_NAMES: [&str; 5] =
    ["metadata.google.internal", "metadata.goog", "metadata", "instance-data", "instance-data.ec2.internal"];
/// IPv4 addresses of metadata services outside the link-local ranges: Alibaba, Azure's host,
/// Oracle.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
/// IPv6 addresses of metadata services: Amazon, Google, Scaleway.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
];

/// Reports whether an address, for example a resolved one, is link-local or a cloud metadata
/// service, or embeds such an address or one of the local machine.
pub fn is_forbidden_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_forbidden_v4(v4),
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || v6.is_unspecified()
                || METADATA_V6.contains(&v6)
                || (!v6.is_loopback() && inside(v6).into_iter().any(is_forbidden_inside))
        }
    }
}

fn is_forbidden_v4(v4: Ipv4Addr) -> bool {
    v4.is_link_local() || v4.octets()[0] == 0 || METADATA_V4.contains(&v4)
}

/// Checks an embedded address. Zeros are allowed here, since they also fill unused places.
fn is_forbidden_inside(v4: Ipv4Addr) -> bool {
    v4.is_loopback() || v4.is_link_local() || METADATA_V4.contains(&v4)
}

/// Returns the IPv4 addresses that an IPv6 address may embed. A translator or tunnel on the path
/// may extract them.
fn inside(v6: Ipv6Addr) -> Vec<Ipv4Addr> {
    let octets = v6.octets();
    let at = |places: [usize; 4]| Ipv4Addr::from(places.map(|place| octets[place]));
    let last = at([12, 13, 14, 15]);
    match v6.segments() {
        // Local-use NAT64 (RFC 8215): a prefix of any length in RFC 6052, which skips octet 8.
        [0x64, 0xff9b, 1, ..] => vec![at([6, 7, 9, 10]), at([7, 9, 10, 11]), at([9, 10, 11, 12]), last],
        // 6to4 (RFC 3056).
        [0x2002, ..] => vec![at([2, 3, 4, 5])],
        // Teredo (RFC 4380): the server, and the client with each bit inverted.
        [0x2001, 0, ..] => vec![at([4, 5, 6, 7]), Ipv4Addr::from(!u32::from(last))],
        // NAT64 (RFC 6052); the deprecated translated (RFC 2765) and compatible (RFC 4291) forms;
        // ISATAP (RFC 5214).
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff | 0, 0, ..] | [_, _, _, _, 0 | 0x200, 0x5efe, ..] => {
            vec![last]
        }
        _ => Vec::new(),
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
            "http://168.63.129.16/",
            "http://[::ffff:168.63.129.16]/",
            "http://192.0.0.192/",
            "http://[fd20:ce::254]/",
            "http://[fd00:42::42]/",
            "http://instance-data.ec2.internal/",
        ] {
            assert!(forbidden(yes), "{yes}");
        }
        for no in ["http://127.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "https://example.org/"] {
            assert!(!forbidden(no), "{no}");
        }
    }

    #[test]
    fn r7_an_address_inside_another_is_found() {
        let wrapped = |address: &str| -> Vec<Ipv6Addr> {
            let [a, b, c, d] = address.parse::<Ipv4Addr>().unwrap().octets();
            let (ab, cd) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let last = |high: [u16; 6]| Ipv6Addr::new(high[0], high[1], high[2], high[3], high[4], high[5], ab, cd);
            let own = |tail: [u8; 10]| {
                let mut octets = [0, 0x64, 0xff, 0x9b, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                octets[6..].copy_from_slice(&tail);
                Ipv6Addr::from(octets)
            };
            vec![
                last([0x64, 0xff9b, 0, 0, 0, 0]),
                own([a, b, 0, c, d, 0, 0, 0, 0, 0]),
                own([7, a, 0, b, c, d, 0, 0, 0, 0]),
                own([7, 7, 0, a, b, c, d, 0, 0, 0]),
                last([0x64, 0xff9b, 1, 7, 7, 7]),
                Ipv6Addr::new(0x2002, ab, cd, 1, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, ab, cd, 0, 0, 0xffff, 0xffff),
                Ipv6Addr::new(0x2001, 0, 0xc000, 0x201, 0, 0, !ab, !cd),
                last([0, 0, 0, 0, 0xffff, 0]),
                last([0, 0, 0, 0, 0, 0]),
                last([0x2001, 0xdb8, 0, 0, 0, 0x5efe]),
                last([0x2001, 0xdb8, 0, 0, 0x200, 0x5efe]),
            ]
        };
        for bad in ["169.254.169.254", "168.63.129.16", "192.0.0.192", "100.100.100.200", "127.8.9.10"] {
            for address in wrapped(bad) {
                assert!(is_forbidden_address(address.into()), "{bad} in {address}");
            }
        }
        // An address that is not forbidden, in all forms.
        let plain = wrapped("198.51.100.7");
        assert!(!plain.into_iter().any(|address| is_forbidden_address(address.into())));
        for good in ["2001:db8::7f00:1", "2606:4700::a9fe:a9fe", "64:ff9c::7f00:1"] {
            assert!(!is_forbidden_address(good.parse().unwrap()), "{good}");
        }
    }
}
