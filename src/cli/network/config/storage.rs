//! One `[storage.N]` table: a container's address and who may use it.
//!
//! Decides what the keys of the table mean together, and which table an address takes. Opens nothing.

use std::path::Path;

use super::credential::{self, Credential, Kind, Who, Wrong, wrong};
use super::tables;
use crate::base::fault::Fault;
use crate::identity::{Cloud, Managed};
use crate::network::origin::{self, Url};
use crate::secret::Secret;
use crate::toml_file::error::{At, Text};

/// One `[storage.N]` table.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Address of the container, without a secret and without a slash at the end.
    pub url: String,
    /// Kind of store.
    pub provider: Provider,
    /// Shared access signature.
    pub sas: Option<Secret>,
    /// Name of a credential.
    pub credential: Option<String>,
    /// Region of a bucket.
    pub region: Option<String>,
    /// Address of a compatible service.
    pub endpoint: Option<String>,
    /// Whether the bucket is named in the path.
    pub path_style: Option<bool>,
    /// Whether requests have no login.
    pub anonymous: bool,
    /// Position of the table.
    pub at: At,
}

/// Kind of a store, by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Azure Blob Storage: `az://`, `https://`, `http://` on this machine.
    Azure,
    /// S3 and compatible stores: `s3://`.
    S3,
    /// Google Cloud Storage: `gs://`.
    Google,
    /// A directory of this machine: `file:///`.
    Directory,
}

impl Provider {
    /// Returns the kind of store at an address; `None` if the scheme is of none.
    pub fn of(address: &str) -> Option<Self> {
        match address.split_once("://")?.0 {
            "az" | "https" | "http" => Some(Self::Azure),
            "s3" => Some(Self::S3),
            "gs" => Some(Self::Google),
            "file" => Some(Self::Directory),
            _ => None,
        }
    }
}

/// Suffix of the hosts that `az://ACCOUNT` stands for.
const AZURE: &str = "blob.core.windows.net";

/// Returns an address in one form: scheme and host in lower case, no default port, no slash at the end, `az://` as
/// `https://`.
fn plain(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
    let (scheme, host) = match scheme.as_str() {
        "az" => ("https".to_owned(), format!("{host}.{AZURE}")),
        "https" => (scheme, host.strip_suffix(":443").unwrap_or(&host).to_owned()),
        "http" => (scheme, host.strip_suffix(":80").unwrap_or(&host).to_owned()),
        _ => (scheme, host),
    };
    let path: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    let slash = if path.is_empty() { "" } else { "/" };
    format!("{scheme}://{host}{slash}{}", path.join("/"))
}

/// Returns the name of the table whose address is the longest prefix, by whole components, of `address`.
pub fn longest<'a>(address: &str, tables: impl Iterator<Item = (&'a str, &'a str)>) -> Option<&'a str> {
    let address = plain(address);
    let covers =
        |url: &String| address.strip_prefix(url.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let all = tables.map(|(name, url)| (name, plain(url))).filter(|(_, url)| covers(url));
    all.max_by_key(|(_, url)| url.len()).map(|(name, _)| name)
}

/// Reads a table.
pub(super) fn read(name: &str, table: tables::Storage, file: Text<'_>, at: At, dir: &Path) -> Result<Storage, Fault> {
    let subject = format!("storage {name:?}");
    let at_table = at.clone();
    let wrong_here = |(what, help): Wrong| at_table.wrong(format!("{subject}: {what}"), help);
    let Some(url) = table.url else {
        return Err(wrong_here(wrong(
            "expected url, found none",
            "add url = \"https://ACCOUNT.blob.SUFFIX/CONTAINER\"",
        )));
    };
    let line = file.at(&url.span());
    let (provider, url) =
        address(url.get_ref()).map_err(|(what, help)| line.wrong(format!("{subject}: url: {what}"), help))?;
    let only = |given: bool, key: &str, schemes: &str| {
        let what = format!("{key}: expected only with {schemes}");
        if given { Err(wrong_here(wrong(what, "remove it, or correct url"))) } else { Ok(()) }
    };
    only(table.region.is_some() && provider != Provider::S3, "region", "s3://")?;
    only(table.path_style.is_some() && provider != Provider::S3, "path_style", "s3://")?;
    let has_endpoint = matches!(provider, Provider::S3 | Provider::Google);
    only(table.endpoint.is_some() && !has_endpoint, "endpoint", "s3:// or gs://")?;
    only(table.credential.is_some() && provider == Provider::Directory, "credential", "a blob store")?;
    only(table.sas.is_some() && provider != Provider::Azure, "sas", "https:// or az://")?;
    let anonymous = table.anonymous.unwrap_or(false);
    only(anonymous && provider == Provider::Directory, "anonymous", "a blob store")?;
    if anonymous && (table.sas.is_some() || table.credential.is_some()) {
        let what = "anonymous: expected neither sas nor credential next to it, found one";
        return Err(wrong_here(wrong(what, "remove one of them")));
    }
    if let Some(endpoint) = &table.endpoint {
        let good = Url::parse(endpoint.get_ref()).is_ok_and(|url| is_safe(&url) && is_bare(&url));
        if !good {
            let what = format!("{subject}: endpoint: expected https://HOST[:PORT], found something else");
            return Err(file
                .at(&endpoint.span())
                .wrong(what, "write no login into it; plain http only on this machine"));
        }
    }
    let sas = table.sas.map(|source| credential::secret("sas", source, dir)).transpose().map_err(wrong_here)?;
    Ok(Storage {
        url,
        provider,
        sas,
        credential: table.credential.map(toml::Spanned::into_inner),
        region: table.region,
        endpoint: table.endpoint.map(toml::Spanned::into_inner),
        path_style: table.path_style,
        anonymous,
        at,
    })
}

fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || url.scheme() == "http" && origin::is_loopback(&origin::authority(url))
}

fn is_bare(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none()
}

/// Checks an address of a table. Never repeats it, since a signature may be in it.
fn address(text: &str) -> Result<(Provider, String), Wrong> {
    let help = "write https://ACCOUNT.blob.SUFFIX/CONTAINER[/PREFIX], az://ACCOUNT/CONTAINER[/PREFIX], s3://BUCKET[/PREFIX], gs://BUCKET[/PREFIX] or file:///DIR";
    let provider =
        Provider::of(text).ok_or_else(|| wrong("expected az, https, s3, gs or file, found another scheme", help))?;
    let url = Url::parse(text).map_err(|_| wrong("expected an address, found something else", help))?;
    if url.query().is_some() || url.fragment().is_some() {
        let help = "if it was a signature, make a new one, since others may have read it here; then write for example sas = { file = \"PATH\" }";
        return Err(wrong("expected no query, found one", help));
    }
    if !is_bare(&url) {
        return Err(wrong("expected no login in it, found one", "use credential for that"));
    }
    if provider == Provider::Azure && url.scheme() != "az" && !is_safe(&url) {
        return Err(wrong("expected https, found http outside this machine", "write https://"));
    }
    if provider == Provider::Directory {
        let path = url.path();
        if url.has_host() && url.host_str().is_some_and(|host| !host.is_empty()) || path.trim_matches('/').is_empty() {
            return Err(wrong("expected file:///DIR, found another host or no directory", help));
        }
        return Ok((provider, text.trim_end_matches('/').to_owned()));
    }
    let has_container = url.path().split('/').any(|part| !part.is_empty());
    if url.host_str().is_none_or(str::is_empty) || provider == Provider::Azure && !has_container {
        return Err(wrong("expected a container in it, found none", help));
    }
    Ok((provider, text.trim_end_matches('/').to_owned()))
}

impl Storage {
    /// Returns the address as a URL with `https`, `http`, `s3` or `gs`; `az://ACCOUNT` becomes the account's host in
    /// `cloud`.
    pub fn address(&self, cloud: &Cloud) -> String {
        match self.url.strip_prefix("az://").map(|rest| rest.split_once('/').unwrap_or((rest, ""))) {
            Some((account, path)) => format!("https://{account}.blob.{}/{path}", cloud.storage),
            None => self.url.clone(),
        }
    }

    /// Returns the cloud that the container is in: that of the identity in `credential`, else the one that its host
    /// tells.
    pub fn cloud(&self, credential: Option<&Credential>) -> Cloud {
        match credential.map(|credential| &credential.kind) {
            Some(Kind::Identity(_, cloud)) => cloud.clone(),
            _ => Url::parse(&self.url).ok().and_then(|url| Cloud::of_storage(&url)).unwrap_or_else(Cloud::public),
        }
    }

    /// Checks the table together with the credential that it names.
    ///
    /// # Errors
    /// Expected and found, and advice.
    pub(super) fn check(&self, credential: Option<&Credential>) -> Result<(), Wrong> {
        let Some(Credential { kind, .. }) = credential else { return Ok(()) };
        let named = self.credential.as_deref().unwrap_or_default();
        let subject = format!("credential {named:?}");
        if self.sas.is_some() {
            if matches!(kind, Kind::Identity(..)) {
                return Ok(());
            }
            let what = format!("{subject}: expected an identity next to sas, found {}", kind.name());
            return Err(wrong(what, "keep sas or credential; next to sas it is the identity that reads the key vault"));
        }
        let fits = match (self.provider, kind) {
            (Provider::Azure, Kind::Identity(_, cloud)) => {
                let address = self.address(cloud);
                if !Url::parse(&address).is_ok_and(|url| cloud.has_storage(&url)) {
                    let what =
                        format!("{subject}: expected a host below {}, as its cloud says, found another", cloud.storage);
                    return Err(wrong(what, format!("set cloud of [credential.{named}] to the container's cloud")));
                }
                true
            }
            (Provider::Azure, Kind::AccountKey(_))
            | (Provider::S3, Kind::AccessKey { .. } | Kind::Profile(_))
            | (Provider::Google, Kind::ServiceAccount(_))
            // The platform's own identity, as the store's own rules find it.
            | (
                Provider::S3 | Provider::Google,
                Kind::Identity(Who::Managed(Managed::Machine) | Who::Workload, _),
            ) => true,
            _ => false,
        };
        let keys = match self.provider {
            Provider::Azure => "identity or account_key",
            Provider::S3 => "access_key_id and secret_access_key, or profile",
            Provider::Google => "service_account",
            Provider::Directory => "nothing",
        };
        let what = || format!("{subject}: expected one with {keys}, found {}", kind.name());
        if fits { Ok(()) } else { Err(wrong(what(), "name a credential for this kind of store")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_takes_the_table_with_the_longest_prefix() {
        let tables = [
            ("account", "https://a.blob.core.windows.net/c"),
            ("apps", "https://a.blob.core.windows.net/c/apps/"),
            ("short", "az://b/c"),
            ("bucket", "s3://bucket"),
            ("deep", "s3://bucket/x/y"),
            ("local", "http://127.0.0.1:10000/acc/c"),
        ];
        for (address, expected) in [
            ("https://a.blob.core.windows.net/c/apps/x", Some("apps")),
            ("https://A.BLOB.core.windows.net:443/c/apps", Some("apps")),
            ("https://a.blob.core.windows.net/c//apps/x", Some("apps")),
            ("https://a.blob.core.windows.net/c/apps-2/x", Some("account")),
            ("https://a.blob.core.windows.net/c", Some("account")),
            ("https://a.blob.core.windows.net/C", None),
            ("https://a.blob.core.windows.net/cc", None),
            ("az://a/c/apps/x", Some("apps")),
            ("https://b.blob.core.windows.net/c/x", Some("short")),
            ("az://b/c", Some("short")),
            ("az://c/c", None),
            ("https://a.blob.core.chinacloudapi.cn/c", None),
            ("s3://bucket/x/y/z", Some("deep")),
            ("s3://bucket/x/yz", Some("bucket")),
            ("gs://bucket/x", None),
            ("http://127.0.0.1:10000/acc/c/p", Some("local")),
            ("http://127.0.0.1:10001/acc/c/p", None),
        ] {
            assert_eq!(longest(address, tables.into_iter()), expected, "{address}");
        }
    }

    #[test]
    fn addresses_with_secrets_are_refused_and_not_repeated() {
        for wrong in [
            "https://a.blob.core.windows.net/c?sig=canary",
            "https://u:canary@a.blob.core.windows.net/c",
            "http://a.blob.core.windows.net/canary",
            "https://a.blob.core.windows.net/",
            "az://canary",
            "ftp://canary/x",
            "canary",
            "s3:///canary",
        ] {
            let (what, help) = address(wrong).unwrap_err();
            assert!(!what.contains("canary") && !help.contains("canary"), "{what}");
        }
    }
}
