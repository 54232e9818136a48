//! Address of a container, and of the objects in it.
//!
//! Accounts are named by the first label of the host, in any cloud; an address of this machine or
//! by number names the account in the path, as emulators want it.

use reqwest::Url;

use crate::base::percent;
use crate::content::{Error, Kind};
use crate::network::origin;

/// Host suffix that `az://ACCOUNT` stands for.
const PUBLIC: &str = "blob.core.windows.net";
/// Advice for an address that cannot be used.
const FORM: &str = "write https://ACCOUNT.blob.SUFFIX/CONTAINER[/PREFIX] or az://ACCOUNT/CONTAINER[/PREFIX]";

/// Address of a container, or of the part of it below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Scheme, host and port.
    base: Url,
    /// Path before the container: empty, or `/ACCOUNT`.
    root: String,
    /// Name of the storage account.
    pub account: String,
    /// Name of the container.
    pub container: String,
    /// Prefix of all names: empty, or ending in a slash.
    pub prefix: String,
}

impl Address {
    /// Parses an address. Never repeats it, since a signature may be in it.
    ///
    /// # Errors
    /// [`Kind::Policy`] if it is no address of a container, holds a secret, or uses plain http
    /// outside this machine.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |what: &str| Error::new(Kind::Policy, format!("container address: {what}")).help(FORM);
        let text = text.strip_prefix("az://").map_or_else(
            || text.to_owned(),
            |rest| {
                let (account, path) = rest.split_once('/').unwrap_or((rest, ""));
                format!("https://{account}.{PUBLIC}/{path}")
            },
        );
        let url = Url::parse(&text).map_err(|_| wrong("expected an address, found something else"))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("expected no query, found one")
                .help("if it was a signature, make a new one, since others may have read it; name its file in sas"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("expected no login in it, found one"));
        }
        match url.scheme() {
            "https" => {}
            "http" if origin::is_loopback(&origin::authority(&url)) => {}
            "http" => return Err(wrong("expected https, found http outside this machine")),
            _ => return Err(wrong("expected https or az, found another scheme")),
        }
        let host =
            url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("expected a host, found none"))?;
        let mut parts = Vec::new();
        for part in url.path().split('/').filter(|part| !part.is_empty()) {
            parts.push(decoded(part).ok_or_else(|| wrong("expected UTF-8 in its path, found something else"))?);
        }
        let mut parts = parts.into_iter();
        let has_account_in_path =
            origin::is_loopback(host) || host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
        let (account, root) = if has_account_in_path {
            let account = parts.next().ok_or_else(|| wrong("expected an account in its path, found none"))?;
            let root = format!("/{}", encoded(&account));
            (account, root)
        } else {
            (host.split('.').next().unwrap_or(host).to_owned(), String::new())
        };
        let container = parts.next().ok_or_else(|| wrong("expected a container, found none"))?;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '$';
        if !container.chars().all(fits) {
            let what = "expected the name of a container in lower-case letters, digits and hyphens, found another";
            return Err(wrong(what));
        }
        let prefix = parts.map(|part| part + "/").collect::<String>();
        let mut base = url.clone();
        base.set_path("/");
        Ok(Self { base, root, account, container, prefix })
    }

    /// Returns host and port, as settings of hosts name them.
    pub fn host(&self) -> String {
        origin::authority(&self.base)
    }

    /// Returns the address of the container itself, for requests.
    pub fn of_container(&self) -> Url {
        self.at(&format!("{}/{}", self.root, self.container))
    }

    /// Returns the address of an object, for requests.
    ///
    /// # Errors
    /// [`Kind::Refused`] for a name that no address can hold.
    pub fn of_object(&self, name: &str) -> Result<Url, Error> {
        if name.is_empty() || name.split('/').any(|part| part == "." || part == "..") {
            let what = format!("storage {}: expected the name of an object, found {name:?}", self.name());
            return Err(Error::new(Kind::Refused, what).help("choose a name without the parts . and .."));
        }
        Ok(self.at(&format!("{}/{}/{}", self.root, self.container, encoded(&format!("{}{name}", self.prefix)))))
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    /// Returns account and container, for messages.
    pub fn name(&self) -> String {
        format!("{}/{}", self.account, self.container)
    }

    /// Returns the whole address of an object as it is typed, without percent-encoding; of the
    /// container and prefix for `""`.
    pub fn shown(&self, name: &str) -> String {
        let (scheme, host) = (self.base.scheme(), self.host());
        let path = format!("{}/{}/{}{name}", self.root, self.container, self.prefix);
        format!("{scheme}://{host}{}", path.trim_end_matches('/'))
    }

    /// Reports whether requests are encrypted.
    pub fn is_https(&self) -> bool {
        self.base.scheme() == "https"
    }
}

/// Returns text percent-encoded for a path; slashes stay.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/$".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Decodes each `%XX`; `None` if the result is not UTF-8.
pub(super) fn decoded(text: &str) -> Option<String> {
    String::from_utf8(percent::decoded(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t2_accounts_are_found_in_every_cloud_and_in_the_path_of_an_emulator() {
        for (text, account, container, prefix, shown) in [
            ("az://lowsa/transfer", "lowsa", "transfer", "", "https://lowsa.blob.core.windows.net/transfer"),
            (
                "https://lowsa.blob.core.windows.net/transfer/apps/a%20b/",
                "lowsa",
                "transfer",
                "apps/a b/",
                "https://lowsa.blob.core.windows.net/transfer/apps/a b",
            ),
            ("https://x.blob.core.usgovcloudapi.net/c/", "x", "c", "", "https://x.blob.core.usgovcloudapi.net/c"),
            ("https://x.blob.core.chinacloudapi.cn/c/p", "x", "c", "p/", "https://x.blob.core.chinacloudapi.cn/c/p"),
            ("https://dark.blob.storage.own.example/c", "dark", "c", "", "https://dark.blob.storage.own.example/c"),
            ("http://127.0.0.1:10000/devstoreaccount1/c/p/q", "devstoreaccount1", "c", "p/q/", ""),
            ("https://10.1.2.3/acc/c", "acc", "c", "", "https://10.1.2.3/acc/c"),
            ("http://[::1]:1/acc/c", "acc", "c", "", "http://[::1]:1/acc/c"),
        ] {
            let found = Address::parse(text).unwrap();
            let parts = (found.account.as_str(), found.container.as_str(), found.prefix.as_str());
            assert_eq!(parts, (account, container, prefix), "{text}");
            assert!(shown.is_empty() || found.shown("") == shown, "{text}: {}", found.shown(""));
        }
    }

    #[test]
    fn names_are_encoded_once() {
        let at = Address::parse("http://127.0.0.1:1/acc/c/p").unwrap();
        let url = at.of_object("a b+c%20?#é/x.json").unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:1/acc/c/p/a%20b%2Bc%2520%3F%23%C3%A9/x.json");
        assert_eq!(at.shown("b.json"), "http://127.0.0.1:1/acc/c/p/b.json");
        for wrong in ["", "..", "a/../b", "./a"] {
            assert_eq!(at.of_object(wrong).unwrap_err().class, Kind::Refused, "{wrong}");
        }
    }

    #[test]
    fn t14_plain_http_and_secrets_in_an_address_are_refused_without_repeating_it() {
        for wrong in [
            "http://lowsa.blob.core.windows.net/c",
            "https://lowsa.blob.core.windows.net/c?sv=1&sig=canary",
            "https://u:canary@lowsa.blob.core.windows.net/c",
            "https://lowsa.blob.core.windows.net/",
            "http://127.0.0.1:1/acc",
            "ftp://a/b/canary",
            "https://lowsa.blob.core.windows.net/CANARY",
            "canary",
        ] {
            let error = Address::parse(wrong).unwrap_err();
            assert_eq!(error.class, Kind::Policy, "{wrong}");
            assert!(!format!("{error:?}").to_ascii_lowercase().contains("canary"), "{error:?}");
        }
    }
}
