//! Tokens of managed identities, from the metadata service of a virtual machine or of an application's host.
//!
//! Sent without a proxy, and by plain http only to this machine or to a link-local address: that is where such services
//! are.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use super::authority::{Refused, granted};
use super::kept::Fresh;
use super::web::{Ask, Web};
use crate::base::fault::escape;
use crate::content::{Error, Kind};
use crate::network::origin;

/// Address of the metadata service of virtual machines.
const MACHINE: &str = "http://169.254.169.254";

/// Where the metadata service is, as the machine's environment says.
#[derive(Clone, Default)]
pub struct Metadata {
    /// Address of the service of an application's host (`IDENTITY_ENDPOINT`).
    pub endpoint: Option<String>,
    /// Header that this service requires (`IDENTITY_HEADER`), which other tenants of the host do not know.
    pub header: Option<Zeroizing<String>>,
    /// Another address of the service of virtual machines (`AZURE_POD_IDENTITY_AUTHORITY_HOST`).
    pub host: Option<String>,
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata").field("endpoint", &self.endpoint).field("host", &self.host).finish_non_exhaustive()
    }
}

/// A managed identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Managed {
    /// The identity of the machine itself.
    Machine,
    /// One assigned to the machine, by its client id.
    Client(String),
    /// One assigned to the machine, by its object id.
    Object(String),
    /// One assigned to the machine, by its resource id.
    Resource(String),
}

impl fmt::Display for Managed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.write_str("the machine's own identity"),
            Self::Client(id) => write!(f, "identity with client id {}", escape(id)),
            Self::Object(id) => write!(f, "identity with object id {}", escape(id)),
            Self::Resource(id) => write!(f, "identity with resource id {}", escape(id)),
        }
    }
}

/// Reports whether the address can be that of a metadata service.
fn is_near(address: &Url) -> bool {
    let host = address.host_str().unwrap_or_default();
    let link_local = host.parse::<IpAddr>().is_ok_and(|host| matches!(host, IpAddr::V4(v4) if v4.is_link_local()));
    address.scheme() == "http" && (link_local || origin::is_loopback(&origin::authority(address)))
}

/// Requests a token for `resource`.
pub(super) fn token(web: &Web, metadata: &Metadata, who: &Managed, resource: &str) -> Result<Fresh, Error> {
    let hosted = metadata.endpoint.as_ref().zip(metadata.header.as_ref());
    let (address, version, header) = match hosted {
        Some((endpoint, header)) => (endpoint.clone(), "2019-08-01", ("X-IDENTITY-HEADER", header.as_str())),
        None => {
            let host = metadata.host.as_deref().unwrap_or(MACHINE).trim_end_matches('/');
            (format!("{host}/metadata/identity/oauth2/token"), "2018-02-01", ("Metadata", "true"))
        }
    };
    let url = Url::parse(&address).ok().filter(is_near);
    let mut url = url.ok_or_else(|| {
        let variable = if hosted.is_some() { "IDENTITY_ENDPOINT" } else { "AZURE_POD_IDENTITY_AUTHORITY_HOST" };
        let what = format!(
            "metadata service: {variable}: expected http on this machine or a link-local address, found another address"
        );
        Error::new(Kind::Policy, what).help(format!("unset {variable}, or set it as the machine's host gave it"))
    })?;
    let named = match (who, hosted.is_some()) {
        (Managed::Machine, _) => None,
        (Managed::Client(id), _) => Some(("client_id", id)),
        (Managed::Object(id), true) => Some(("principal_id", id)),
        (Managed::Object(id), false) => Some(("object_id", id)),
        (Managed::Resource(id), true) => Some(("mi_res_id", id)),
        (Managed::Resource(id), false) => Some(("msi_res_id", id)),
    };
    url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", resource).extend_pairs(named);
    let place = escape(&origin::authority(&url));
    let subject = format!("token of metadata service {place}: {who}");
    let mut value = HeaderValue::from_str(header.1).map_err(|_| {
        Error::new(Kind::Policy, "metadata service: IDENTITY_HEADER: expected a header value, found other bytes")
            .help("set it as the machine's host gave it")
    })?;
    value.set_sensitive(true);
    let answer = web.ask(&subject, &Ask::near(url, header.0, value)).map_err(|error| {
        if error.class == Kind::Failed && error.help.is_none() {
            error.help("use identity = \"system\" only on a machine of the cloud; elsewhere an application or \"cli\"")
        } else {
            error
        }
    })?;
    match answer.status {
        200 => granted(&answer.body, web.now())
            .ok_or_else(|| Error::new(Kind::Failed, format!("{subject}: expected a token in the answer, found none"))),
        status => {
            let why = Refused::read(&answer.body);
            let why = if why.is_empty() { format!("status {status}") } else { why };
            Err(Error::new(Kind::Denied, format!("{subject}: refused: {why}"))
                .help("assign the identity to this machine, or correct client_id, object_id or resource_id"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_addresses_are_asked() {
        for (address, near) in [
            ("http://169.254.169.254/x", true),
            ("http://127.0.0.1:41741/msi/token", true),
            ("http://localhost:42356/msi/token", true),
            ("http://169.254.130.4:8081/msi/token", true),
            ("http://10.0.0.4/x", false),
            ("https://127.0.0.1/x", false),
            ("http://metadata.evil.example/x", false),
            ("http://168.63.129.16/x", false),
        ] {
            assert_eq!(is_near(&Url::parse(address).unwrap()), near, "{address}");
        }
    }

    #[test]
    fn the_header_does_not_show() {
        let metadata = Metadata { header: Some(Zeroizing::new("canary".to_owned())), ..Metadata::default() };
        assert!(!format!("{metadata:?}").contains("canary"));
    }
}
