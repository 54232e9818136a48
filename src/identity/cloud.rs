//! Clouds: the login authority, and the suffixes of the hosts of blob storage and of key vaults, which belong together.
//!
//! Pure. A token for a service is only sent to hosts of its own cloud, so a name in the wrong cloud is refused before
//! anything is sent.

use reqwest::Url;

use crate::network::origin;

/// A cloud, by its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cloud {
    /// Address of the login authority, without a slash at the end.
    pub authority: String,
    /// Suffix of storage hosts: `core.windows.net` in `ACCOUNT.blob.core.windows.net`.
    pub storage: String,
    /// Suffix of key vault hosts: `vault.azure.net` in `NAME.vault.azure.net`.
    pub vault: String,
}

/// A service that a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Blob storage.
    Storage,
    /// Key vaults.
    Vault,
    /// Container registries.
    Registry,
}

impl Audience {
    /// Returns the name of the service for messages.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::Vault => "key vault",
            Self::Registry => "registry",
        }
    }
}

impl Cloud {
    fn known(authority: &str, storage: &str, vault: &str) -> Self {
        Self { authority: authority.to_owned(), storage: storage.to_owned(), vault: vault.to_owned() }
    }

    /// Returns the public cloud.
    pub fn public() -> Self {
        Self::known("https://login.microsoftonline.com", "core.windows.net", "vault.azure.net")
    }

    /// Returns the US Government cloud.
    pub fn usgov() -> Self {
        Self::known("https://login.microsoftonline.us", "core.usgovcloudapi.net", "vault.usgovcloudapi.net")
    }

    /// Returns the cloud in China.
    pub fn china() -> Self {
        Self::known("https://login.partner.microsoftonline.cn", "core.chinacloudapi.cn", "vault.azure.cn")
    }

    /// Returns a cloud of one's own; `None` if the authority is no address that a secret may be sent to.
    pub fn own(authority: &str, storage: &str, vault: &str) -> Option<Self> {
        let url = Url::parse(authority).ok().filter(is_safe)?;
        let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        (is_bare && url.fragment().is_none()).then(|| Self::known(authority.trim_end_matches('/'), storage, vault))
    }

    /// Returns the known cloud that a vault's address is in.
    pub fn of_vault(address: &Url) -> Option<Self> {
        [Self::public(), Self::usgov(), Self::china()].into_iter().find(|cloud| cloud.has_vault(address))
    }

    /// Returns the known cloud that a storage address is in.
    pub fn of_storage(address: &Url) -> Option<Self> {
        [Self::public(), Self::usgov(), Self::china()].into_iter().find(|cloud| cloud.has_storage(address))
    }

    /// Reports whether a key vault at this address is in the cloud.
    pub fn has_vault(&self, address: &Url) -> bool {
        is_below(address, &self.vault)
    }

    /// Reports whether a storage account at this address is in the cloud.
    pub fn has_storage(&self, address: &Url) -> bool {
        is_below(address, &self.storage)
    }

    /// Returns the resource that a token for the service names as its audience.
    pub fn resource(&self, audience: Audience) -> String {
        match audience {
            // These two have one name in all clouds.
            Audience::Storage => "https://storage.azure.com".to_owned(),
            Audience::Registry => "https://containerregistry.azure.net".to_owned(),
            Audience::Vault => format!("https://{}", self.vault),
        }
    }
}

/// Reports whether the host of an address is `suffix` or ends with a dot and `suffix`. A suffix with a port matches
/// only that port.
fn is_below(address: &Url, suffix: &str) -> bool {
    let (host, authority) = (address.host_str().unwrap_or_default(), origin::authority(address));
    [host, authority.as_str()].into_iter().any(|name| {
        name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) && !suffix.is_empty()
    })
}

/// Reports whether a secret may be sent to an address: by https, or by http on this machine.
pub(super) fn is_safe(address: &Url) -> bool {
    address.scheme() == "https" || address.scheme() == "http" && origin::is_loopback(&origin::authority(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t2_a_cloud_sets_authority_storage_and_vault_together() {
        let url = |text: &str| Url::parse(text).unwrap();
        for (cloud, authority, storage, vault) in [
            (Cloud::public(), "login.microsoftonline.com", "core.windows.net", "vault.azure.net"),
            (Cloud::usgov(), "login.microsoftonline.us", "core.usgovcloudapi.net", "vault.usgovcloudapi.net"),
            (Cloud::china(), "login.partner.microsoftonline.cn", "core.chinacloudapi.cn", "vault.azure.cn"),
        ] {
            assert_eq!(cloud.authority, format!("https://{authority}"));
            let (own, blob) =
                (url(&format!("https://kv.{vault}/secrets/x")), url(&format!("https://a.blob.{storage}/c")));
            assert_eq!(Cloud::of_vault(&own), Some(cloud.clone()));
            assert_eq!(Cloud::of_storage(&blob), Some(cloud.clone()));
            assert_eq!(cloud.resource(Audience::Vault), format!("https://{vault}"));
            assert_eq!(cloud.resource(Audience::Storage), "https://storage.azure.com");
        }
        // Not another cloud, not a name that only ends alike, not another port of an own cloud.
        assert!(!Cloud::public().has_vault(&url("https://kv.vault.azure.cn/secrets/x")));
        assert!(!Cloud::public().has_vault(&url("https://evilvault.azure.net/secrets/x")));
        assert!(!Cloud::public().has_storage(&url("https://a.blob.core.windows.net.evil.example/c")));
        let own = Cloud::known("http://127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3");
        assert!(own.has_vault(&url("http://127.0.0.1:3/secrets/x")) && !own.has_vault(&url("http://127.0.0.1:4/x")));
        assert_eq!(Cloud::of_vault(&url("http://127.0.0.1:3/x")), None);
    }

    #[test]
    fn secrets_go_by_https_or_stay_on_this_machine() {
        for (address, safe) in [
            ("https://kv.vault.azure.net/", true),
            ("http://kv.vault.azure.net/", false),
            ("http://127.0.0.1:8080/", true),
            ("http://localhost/", true),
            ("http://169.254.169.254/", false),
            ("ftp://127.0.0.1/", false),
        ] {
            assert_eq!(is_safe(&Url::parse(address).unwrap()), safe, "{address}");
        }
    }
}
