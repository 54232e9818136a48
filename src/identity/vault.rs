//! Secrets of a key vault.
//!
//! The vault's address must be in the identity's cloud: its token would be good for every vault of that cloud, so it is
//! sent to no other host.

use std::sync::Arc;

use reqwest::Url;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::cloud::{self, Audience};
use super::kept::Fresh;
use super::tokens::Identity;
use super::web::{Answer, Ask};
use crate::base::fault::escape;
use crate::content::{Error, Kind};
use crate::network::origin;

/// Version of the protocol.
const VERSION: &str = "7.4";

/// Address of a secret: `https://VAULT/secrets/NAME[/VERSION]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    url: Url,
    name: String,
}

impl Address {
    /// Parses an address.
    ///
    /// # Errors
    /// Subject, expected and found; the address is not repeated, since it may contain a secret.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "expected https://VAULT/secrets/NAME, found something else")?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("expected https://VAULT/secrets/NAME, found a login or a query in it");
        }
        if !cloud::is_safe(&url) {
            return Err("expected https, found another scheme");
        }
        let parts: Vec<&str> = url.path().trim_matches('/').split('/').collect();
        let is_name = |text: &str| {
            (1..=127).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        match parts.as_slice() {
            ["secrets", name] if is_name(name) => Ok(Self { name: (*name).to_owned(), url }),
            ["secrets", name, version] if is_name(name) && is_name(version) => {
                Ok(Self { name: (*name).to_owned(), url })
            }
            _ => Err("expected https://VAULT/secrets/NAME, found another path"),
        }
    }

    /// Returns the address of the vault and the secret.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns host and port of the vault.
    pub fn vault(&self) -> String {
        origin::authority(&self.url)
    }

    /// Returns the name of the secret.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A secret of a key vault, as an identity may read it.
pub struct VaultSecret {
    address: Address,
    identity: Arc<Identity>,
}

#[derive(Deserialize)]
struct Given {
    value: Option<String>,
}

impl VaultSecret {
    /// Makes a secret. Asks for nothing yet.
    ///
    /// # Errors
    /// [`Kind::Policy`] if the vault is not in the identity's cloud.
    pub fn new(address: Address, identity: Arc<Identity>) -> Result<Self, Error> {
        if !identity.cloud().has_vault(&address.url) {
            let what = format!(
                "key vault {}: expected a host below {}, as the identity's cloud says, found another",
                escape(&address.vault()),
                escape(&identity.cloud().vault)
            );
            return Err(Error::new(Kind::Policy, what).help("set cloud of the credential to the vault's cloud"));
        }
        Ok(Self { address, identity })
    }

    /// Reads the secret from the vault.
    ///
    /// # Errors
    /// [`Kind::Denied`] without a token or the right, [`Kind::Policy`] if the secret is missing or unusable,
    /// [`Kind::Failed`] if the vault does not answer.
    pub fn fetch(&self) -> Result<Fresh, Error> {
        let token = self.identity.token(Audience::Vault, false)?;
        let mut answer = self.ask(&token)?;
        if answer.status == 401 {
            let newer = self.identity.token(Audience::Vault, true)?;
            answer = self.ask(&newer)?;
        }
        self.value(&answer)
    }

    fn subject(&self) -> String {
        format!("key vault {}: secret {}", escape(&self.address.vault()), self.address.name)
    }

    fn ask(&self, token: &str) -> Result<Answer, Error> {
        let mut url = self.address.url.clone();
        url.query_pairs_mut().append_pair("api-version", VERSION);
        let unfit = || Error::new(Kind::Failed, format!("{}: token: expected a header value", self.subject()));
        let mut value = HeaderValue::from_str(&Zeroizing::new(format!("Bearer {token}"))).map_err(|_| unfit())?;
        value.set_sensitive(true);
        self.identity.web().ask(&self.subject(), &Ask::get(url, "Authorization", value)).map_err(|mut error| {
            if error.class == Kind::Failed && error.help.is_none() {
                error.help = Some("check the vault's name, and its firewall if it has one".to_owned());
            }
            error
        })
    }

    fn value(&self, answer: &Answer) -> Result<Fresh, Error> {
        let subject = self.subject();
        let wrong = |kind, what: &str, help: &str| Err(Error::new(kind, format!("{subject}: {what}")).help(help));
        match answer.status {
            200 => {
                let given: Option<Given> = serde_json::from_slice(&answer.body).ok();
                let value = given.and_then(|given| given.value).map(Zeroizing::new);
                match value {
                    Some(value) if value.is_empty() => wrong(
                        Kind::Policy,
                        "expected a value, found an empty one",
                        "set the secret's value in the vault",
                    ),
                    Some(value) => {
                        self.identity.web().learn(&value);
                        Ok(Fresh { value, life: None })
                    }
                    None => wrong(
                        Kind::Failed,
                        "expected a secret in the answer, found something else",
                        "check the vault's address",
                    ),
                }
            }
            401 => wrong(
                Kind::Denied,
                "token not accepted",
                "check the cloud and the tenant of the identity and the vault",
            ),
            403 => wrong(
                Kind::Denied,
                "the identity may not read it, or the vault's firewall does not admit this address",
                "grant the identity the right to get secrets (role Key Vault Secrets User); its principal id: `packmule credential show`",
            ),
            404 => wrong(Kind::Policy, "missing in the vault", "create the secret, or correct its name"),
            status => wrong(Kind::Failed, &format!("status {status}"), "try again; see the vault's log"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t15_addresses_of_secrets_are_read_and_others_refused() {
        for good in [
            "https://low-kv.vault.azure.net/secrets/acrexportsas",
            "https://low-kv.vault.azure.net/secrets/acrexportsas/",
            "https://low-kv.vault.azure.net/secrets/a/0123456789abcdef0123456789abcdef",
            "http://127.0.0.1:8080/secrets/a",
        ] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        assert_eq!(Address::parse("https://kv.vault.azure.net:443/secrets/a").unwrap().vault(), "kv.vault.azure.net");
        for wrong in [
            "low-kv/a",
            "https://kv.vault.azure.net/keys/a",
            "https://kv.vault.azure.net/secrets/",
            "https://kv.vault.azure.net/secrets/a/b/c",
            "https://kv.vault.azure.net/secrets/a%20b",
            "https://kv.vault.azure.net/secrets/a?x=canary",
            "https://u:canary@kv.vault.azure.net/secrets/a",
            "http://kv.vault.azure.net/secrets/a",
        ] {
            let error = Address::parse(wrong).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
