//! The bundle's NAME and the names of its files (`spec/bundle.md`).
//!
//! Handles names only; opens nothing.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::fault::{Class, expects};
use crate::bundle::Error;

/// Name of a bundle: `[a-z0-9]([a-z0-9_-]{0,46}[a-z0-9])?`, but no DOS device name. Legal on FAT32,
/// exFAT, NTFS, ISO 9660 Joliet and UDF.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// Maximum number of volumes of a bundle: four digits.
pub const MAX_VOLUMES: usize = 9999;

impl Name {
    /// Checks and returns a name.
    ///
    /// # Errors
    /// [`Class::Usage`] for an invalid name.
    pub fn new(text: &str) -> Result<Self, Error> {
        let bytes = text.as_bytes();
        let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let good = (1..=48).contains(&bytes.len())
            && bytes.iter().all(|byte| is_word(byte) || b"_-".contains(byte))
            && bytes.first().is_some_and(is_word)
            && bytes.last().is_some_and(is_word)
            && !Self::is_device(text);
        if good {
            Ok(Self(text.to_owned()))
        } else {
            let shown: String = text.chars().take(100).collect();
            Err(Error::new(
                Class::Usage,
                expects(
                    format_args!("bundle name {shown:?}"),
                    "1 to 48 characters of a-z 0-9 _ -, a letter or digit at both ends, no dot, no device name",
                ),
            )
            .help("choose a name such as apps-1"))
        }
    }

    fn is_device(text: &str) -> bool {
        let numbered = |prefix: &str| {
            text.strip_prefix(prefix).is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit())
        };
        matches!(text, "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt")
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `NAME.json`.
    pub fn manifest(&self) -> String {
        format!("{}.json", self.0)
    }

    /// Returns `NAME.sig.json`.
    pub fn signatures(&self) -> String {
        format!("{}.sig.json", self.0)
    }

    /// Returns `NAME.sha256`.
    pub fn checksums(&self) -> String {
        format!("{}.sha256", self.0)
    }

    /// Returns `NAME.oci`, the directory of form flat.
    pub fn flat(&self) -> String {
        format!("{}.oci", self.0)
    }

    /// Returns `NAME.NNNN.tar.zst`, counted from 1.
    pub fn volume(&self, number: usize) -> String {
        format!("{}.{number:04}.tar.zst", self.0)
    }

    /// Returns the volume number if `file` names a volume of this bundle. The number may be 0,
    /// although no bundle has such a volume.
    pub fn volume_number(&self, file: &str) -> Option<usize> {
        let digits = file.strip_prefix(&self.0)?.strip_prefix('.')?.strip_suffix(".tar.zst")?;
        let number = digits.parse().ok()?;
        (digits.len() == 4 && self.volume(number) == file).then_some(number)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_on_every_medium() {
        for good in ["a", "apps-1", "a_b", "0", "com10", "con1", &"a".repeat(48)] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for wrong in ["", "A", "a.b", "-a", "a-", "con", "lpt0", "com9", "a b", "ä", &"a".repeat(49)] {
            assert!(Name::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn volumes_are_known_by_their_names() {
        let name = Name::new("apps").unwrap();
        assert_eq!(name.volume_number("apps.0001.tar.zst"), Some(1));
        assert_eq!(name.volume_number("apps.0000.tar.zst"), Some(0));
        for other in [
            "apps.1.tar.zst",
            "apps.00001.tar.zst",
            "apps.10000.tar.zst",
            "apps.+001.tar.zst",
            "app.0001.tar.zst",
            "apps.0001.tar",
        ] {
            assert_eq!(name.volume_number(other), None, "{other}");
        }
    }
}
