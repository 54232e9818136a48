//! CONTAINER and CONTAINER/NAME as typed. Parses them into values, and refuses secrets in them. Opens
//! nothing and reads no configuration.

use std::ffi::OsStr;
use std::fmt;

use crate::base::fault::Fault;
use crate::bundle::Name;

/// Schemes of addresses.
const SCHEMES: [&str; 6] = ["az://", "https://", "http://", "s3://", "gs://", "file://"];
/// Begins the name of a table of the configuration.
const TABLE: &str = "storage:";
/// Advice for all faults here.
const HELP: &str = "write storage:N[/PREFIX], az://ACCOUNT/CONTAINER[/PREFIX], https://ACCOUNT.blob.SUFFIX/CONTAINER[/PREFIX], s3://BUCKET[/PREFIX], gs://BUCKET[/PREFIX] or file:///DIR";

/// A container, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `storage:N[/PREFIX]`.
    Table {
        /// Name of the `[storage]` table.
        name: String,
        /// Path below its address; empty if there is none.
        prefix: String,
    },
    /// An address, without a slash at its end.
    Url(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table { name, prefix } if prefix.is_empty() => write!(f, "{TABLE}{name}"),
            Self::Table { name, prefix } => write!(f, "{TABLE}{name}/{prefix}"),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// Returns whether `text` has the form of a container's address.
pub fn is_container(text: impl AsRef<OsStr>) -> bool {
    let text = &*text.as_ref().to_string_lossy();
    text.starts_with(TABLE) || SCHEMES.iter().any(|scheme| has_scheme(text, scheme))
}

fn has_scheme(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

impl Address {
    /// Parses a CONTAINER.
    ///
    /// # Errors
    /// Class usage, without repeating what may be a secret.
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self, Fault> {
        let text = text.as_ref();
        let Some(text) = text.to_str() else {
            return Err(Fault::usage("container: expected UTF-8, found other bytes", HELP));
        };
        if !is_container(text) {
            let what = format!("container {text:?}: expected storage:N or an address, found neither");
            return Err(Fault::usage(what, HELP));
        }
        let start = text.find(':').map_or(text, |colon| &text[..colon]);
        let authority = text.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
        if text.contains(['?', '#']) || authority.contains('@') {
            let what = format!("container {start}:…: a secret in an argument");
            let help = "name a [storage] table with sas or credential in the configuration; make a new secret, since others may have seen this one";
            return Err(Fault::usage(what, help));
        }
        let path = text.split_once("://").map_or(text, |(_, rest)| rest);
        if path.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(Fault::usage(format!("container {text:?}: expected no . or .. in it, found one"), HELP));
        }
        if let Some(rest) = text.strip_prefix(TABLE) {
            let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if name.is_empty() {
                return Err(Fault::usage("container storage:: expected the name of a table, found none", HELP));
            }
            return Ok(Self::Table { name: name.to_owned(), prefix: prefix.trim_matches('/').to_owned() });
        }
        Ok(Self::Url(text.trim_end_matches('/').to_owned()))
    }

    /// Parses CONTAINER/NAME: a bundle in a container.
    ///
    /// # Errors
    /// Class usage.
    pub fn parse_bundle(text: impl AsRef<OsStr>) -> Result<(Self, Name), Fault> {
        let address = Self::parse(text)?;
        let shown = address.to_string();
        let none = || {
            let what = format!("bundle {shown}: expected a bundle's name at its end, found none");
            Fault::usage(what, "write CONTAINER/NAME; `packmule ls` lists the bundles of a container")
        };
        let (above, name) = match &address {
            Self::Table { name, prefix } => {
                let (above, last) = prefix.rsplit_once('/').unwrap_or(("", prefix));
                (Self::Table { name: name.clone(), prefix: above.to_owned() }, last)
            }
            Self::Url(url) => {
                let (above, last) = url.rsplit_once('/').ok_or_else(none)?;
                (Self::Url(above.trim_end_matches('/').to_owned()), last)
            }
        };
        let name = Name::new(name.strip_suffix(".json").unwrap_or(name)).map_err(|_| none())?;
        // Of `az://account` only the scheme would be left.
        if above.to_string().ends_with(':') { Err(none()) } else { Ok((above, name)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fault::Class;

    #[test]
    fn containers_and_bundles_in_them() {
        let table = |name: &str, prefix: &str| Address::Table { name: name.into(), prefix: prefix.into() };
        assert_eq!(Address::parse("storage:low").unwrap(), table("low", ""));
        assert_eq!(Address::parse("storage:low/apps/").unwrap(), table("low", "apps"));
        assert_eq!(Address::parse("az://acc/c/apps/").unwrap(), Address::Url("az://acc/c/apps".into()));
        for (text, above, name) in [
            ("storage:low/b", "storage:low", "b"),
            ("storage:low/x/b.json", "storage:low/x", "b"),
            ("az://acc/c/b", "az://acc/c", "b"),
            ("https://acc.blob.core.windows.net/c/x/b", "https://acc.blob.core.windows.net/c/x", "b"),
            ("http://127.0.0.1:10000/acc/c/b", "http://127.0.0.1:10000/acc/c", "b"),
            ("s3://bucket/b", "s3://bucket", "b"),
            ("file:///srv/stage/b", "file:///srv/stage", "b"),
        ] {
            let (found, bundle) = Address::parse_bundle(text).unwrap();
            assert_eq!((found.to_string().as_str(), bundle.as_str()), (above, name), "{text}");
        }
        for wrong in ["storage:", "low", "./dir", "ftp://h/x", "az://acc/c/../d", "storage:low/./x"] {
            assert_eq!(Address::parse(wrong).unwrap_err().class, Class::Usage, "{wrong}");
        }
        for wrong in ["storage:low", "az://acc", "s3://bucket/UPPER", "file:///b.c.d"] {
            assert_eq!(Address::parse_bundle(wrong).unwrap_err().class, Class::Usage, "{wrong}");
        }
    }

    #[test]
    fn t14_u1_a_secret_in_a_container_is_refused_and_not_repeated() {
        for secret in [
            "https://acc.blob.core.windows.net/c?sv=2024&sig=canary",
            "https://acc.blob.core.windows.net/c/b?sig=canary",
            "https://me:canary@acc.blob.core.windows.net/c",
            "s3://key:canary@bucket/x",
            "storage:low?sig=canary",
            "AZ://acc/c#canary",
        ] {
            for fault in [Address::parse(secret).unwrap_err(), Address::parse_bundle(secret).unwrap_err()] {
                let told = format!("{fault:?}");
                assert!(fault.what.contains("secret") && !told.contains("canary"), "{told}");
            }
        }
    }
}
