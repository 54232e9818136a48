//! Looks up host names that come from responses, and refuses those that resolve to a link-local or
//! metadata address: only a malicious name does.
//!
//! Used only for addresses outside the registry. A registry that the user names may be at any
//! address.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::origin;

/// Looks names up with the system's resolver, and removes forbidden addresses.
pub struct Elsewhere;

impl Resolve for Elsewhere {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The connector sets the port.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(permitted(found)?)
        })
    }
}

/// Returns the permitted addresses, or an error if none of those found is permitted.
fn permitted(mut found: Vec<SocketAddr>) -> std::io::Result<Addrs> {
    let any = !found.is_empty();
    found.retain(|address| !origin::is_forbidden_address(address.ip()));
    if any && found.is_empty() {
        return Err(std::io::Error::other(
            "the name resolves to a link-local or metadata address, which is not allowed",
        ));
    }
    Ok(Box::new(found.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_link_local_addresses_are_refused() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        assert!(permitted(addresses(&["169.254.169.254:0", "[fe80::1]:0"])).is_err());
        let mixed = permitted(addresses(&["169.254.169.254:0", "192.0.2.1:0"])).unwrap();
        assert_eq!(mixed.collect::<Vec<_>>(), addresses(&["192.0.2.1:0"]));
        for wrapped in ["[64:ff9b::a9fe:a9fe]:0", "[64:ff9b:1::7f00:1]:0", "168.63.129.16:0", "[::ffff:192.0.0.192]:0"]
        {
            assert!(permitted(addresses(&[wrapped])).is_err(), "{wrapped}");
        }
        assert_eq!(permitted(Vec::new()).unwrap().count(), 0);
    }
}
