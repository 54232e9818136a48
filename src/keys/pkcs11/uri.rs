//! PKCS#11 URIs (RFC 7512) that name one private key:
//! `pkcs11:token=T;object=O?module-path=/M.so&pin-source=S`.
//!
//! Text only. Unknown attributes are refused, since ignoring one could select another key. PINs in
//! the URI are refused too and never repeated in messages.

use std::fmt;
use std::path::PathBuf;

use crate::base::fault::{Class, Description, Fault, differs, escape, expects};

/// Prefix of every URI.
pub const SCHEME: &str = "pkcs11:";

/// A key, its module, and the source of its PIN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uri {
    /// Label of the token.
    pub token: Option<String>,
    /// Serial number of the token.
    pub serial: Option<String>,
    /// Manufacturer of the token.
    pub manufacturer: Option<String>,
    /// Model of the token.
    pub model: Option<String>,
    /// Number of the slot.
    pub slot: Option<u64>,
    /// Label of the key.
    pub object: Option<String>,
    /// Id of the key.
    pub id: Option<Vec<u8>>,
    /// Absolute path of the module, a shared library.
    pub module: PathBuf,
    /// Source of the PIN: an absolute path, or `systemd:NAME`.
    pub pin_source: Option<PathBuf>,
}

fn usage(what: impl Into<Description>, help: &str) -> Fault {
    Fault::new(Class::Usage, what.into().within("pkcs11 URI")).help(help)
}

const EXAMPLE: &str = "write 'pkcs11:token=LABEL;object=LABEL?module-path=/usr/lib/MODULE.so', in quotes";

impl Uri {
    /// Parses a URI.
    ///
    /// # Errors
    /// [`Class::Usage`]. The message does not repeat text that may contain a PIN.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| usage(differs("", "pkcs11:", "something else"), EXAMPLE))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        // Must come first: no part of such a text may be repeated.
        if rest.split([';', '?', '&']).any(|part| part.trim_start().to_ascii_lowercase().starts_with("pin-value")) {
            let help =
                "write pin-source=/FILE or pin-source=systemd:NAME instead, and change the PIN: others could read it";
            return Err(usage("found pin-value: secrets are not accepted in arguments", help));
        }
        let mut uri = Self::default();
        let mut seen = Vec::new();
        for part in path.split(';').chain(query.split('&')).filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                return Err(usage(differs("", "NAME=VALUE", format_args!("{:?}", escape(part))), EXAMPLE));
            };
            if seen.contains(&name) {
                return Err(usage(format!("{} is given twice", escape(name)), EXAMPLE));
            }
            seen.push(name);
            let bytes = decoded(value).ok_or_else(|| usage(differs(escape(name), "%XX", "something else"), EXAMPLE))?;
            uri.set(name, bytes)?;
        }
        if uri.module.as_os_str().is_empty() {
            return Err(usage(differs("", "module-path=", "none"), EXAMPLE));
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(usage(differs("", "object= or id=", "neither"), EXAMPLE));
        }
        Ok(uri)
    }

    fn set(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), Fault> {
        if name == "id" {
            self.id = Some(bytes);
            return Ok(());
        }
        let text = String::from_utf8(bytes).map_err(|_| usage(expects(escape(name), "UTF-8"), EXAMPLE))?;
        let absolute = |path: &str| {
            let help = "nothing is looked up from the current directory";
            if path.starts_with('/') {
                Ok(PathBuf::from(path))
            } else {
                Err(usage(expects(name, "an absolute path"), help))
            }
        };
        match name {
            "token" => self.token = Some(text),
            "serial" => self.serial = Some(text),
            "manufacturer" => self.manufacturer = Some(text),
            "model" => self.model = Some(text),
            "object" => self.object = Some(text),
            "slot-id" => {
                let number = text.parse().map_err(|_| usage(expects("slot-id", "a number"), EXAMPLE))?;
                self.slot = Some(number);
            }
            "type" if text == "private" => {}
            "type" => return Err(usage(expects("type", "private, the kind that signs"), EXAMPLE)),
            "module-path" => self.module = absolute(&text)?,
            "pin-source" if text.starts_with('|') => {
                return Err(usage("pin-source: no program is run for a PIN", "write pin-source=/FILE or systemd:NAME"));
            }
            "pin-source" if text.starts_with("systemd:") => self.pin_source = Some(text.into()),
            "pin-source" => self.pin_source = Some(absolute(text.strip_prefix("file:").unwrap_or(&text))?),
            other => return Err(usage(format!("unknown attribute {:?}", escape(other)), EXAMPLE)),
        }
        Ok(())
    }
}

/// Formats the key for messages, without the query.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.as_ref().map(|id| id.iter().map(|byte| format!("%{byte:02x}")).collect::<String>());
        let slot = self.slot.map(|slot| slot.to_string());
        let parts = [
            ("token", &self.token),
            ("serial", &self.serial),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
            ("slot-id", &slot),
            ("object", &self.object),
            ("id", &id),
        ];
        f.write_str(SCHEME)?;
        let parts = parts.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        for (index, (name, value)) in parts.enumerate() {
            write!(f, "{}{name}={}", if index == 0 { "" } else { ";" }, escape(value))?;
        }
        Ok(())
    }
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        match rest {
            [] => return Some(bytes),
            [b'%', high, low, tail @ ..] => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                bytes.push(digit(high)? << 4 | digit(low)?);
                rest = tail;
            }
            [b'%', ..] => return None,
            [plain, tail @ ..] => {
                bytes.push(*plain);
                rest = tail;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_a_key_is_read() {
        let text = "pkcs11:token=The%20Mule;serial=1a;slot-id=7;object=release;id=%a1%B2;type=private\
                    ?module-path=/usr/lib/m.so&pin-source=file:/run/pin";
        let uri = Uri::parse(text).unwrap();
        assert_eq!(
            (uri.token.as_deref(), uri.slot, uri.id.as_deref()),
            (Some("The Mule"), Some(7), Some(&[0xa1, 0xb2][..]))
        );
        assert_eq!(
            (uri.module.to_str(), uri.pin_source.as_ref().unwrap().to_str()),
            (Some("/usr/lib/m.so"), Some("/run/pin"))
        );
        assert_eq!(uri.to_string(), "pkcs11:token=The Mule;serial=1a;slot-id=7;object=release;id=%a1%b2");
        let systemd = Uri::parse("pkcs11:id=%01?pin-source=systemd:pin&module-path=/m").unwrap();
        assert_eq!(systemd.pin_source.unwrap().to_str(), Some("systemd:pin"));
    }

    #[test]
    fn s19_what_does_not_is_refused_and_a_pin_is_not_repeated() {
        for (wrong, said) in [
            ("release.pem", "pkcs11:"),
            ("pkcs11:", "module-path"),
            ("pkcs11:object=a", "module-path"),
            ("pkcs11:token=a?module-path=/m", "object= or id="),
            ("pkcs11:object=a;object=b?module-path=/m", "twice"),
            ("pkcs11:object=a;x-more=b?module-path=/m", "x-more"),
            ("pkcs11:object=a;type=public?module-path=/m", "private"),
            ("pkcs11:object=%zz?module-path=/m", "%XX"),
            ("pkcs11:object=%1?module-path=/m", "%XX"),
            ("pkcs11:object=%ff?module-path=/m", "UTF-8"),
            ("pkcs11:object?module-path=/m", "NAME=VALUE"),
            ("pkcs11:object=a;slot-id=x?module-path=/m", "slot-id"),
            ("pkcs11:object=a?module-path=m.so", "absolute"),
            ("pkcs11:object=a?module-path=/m&pin-source=pin", "absolute"),
            ("pkcs11:object=a?module-path=/m&pin-source=%7Ccat", "no program"),
            ("pkcs11:object=a?module-path=/m&pin-value=canary", "pin-value"),
            ("pkcs11:object=a;pin-value=canary?module-path=/m", "pin-value"),
            ("pkcs11:object=a?PIN-value=canary", "pin-value"),
        ] {
            let fault = Uri::parse(wrong).unwrap_err();
            assert!(fault.class == Class::Usage && fault.what.contains(said), "{wrong}: {fault}");
            assert!(!format!("{fault:?}").contains("canary") && fault.help.is_some(), "{wrong}");
        }
    }
}
