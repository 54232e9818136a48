//! Platforms of index entries and of filters.
//!
//! `OS/ARCH[/VARIANT]`. `os.version` and `os.features` are kept for display and never used by
//! filters.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::member::optional;

/// The platform of an index entry, or a `--platform` filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Platform {
    /// CPU architecture in Go's naming (`amd64`).
    pub architecture: String,
    /// Operating system in Go's naming (`linux`).
    pub os: String,
    /// Version of the operating system, as in Windows images.
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features that the operating system must have.
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// CPU variant (`v7`, `v8`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Reason why a text is not a platform.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("platform {0:?}: expected OS/ARCH or OS/ARCH/VARIANT")]
pub struct PlatformError(String);

impl Platform {
    /// Whether this entry matches `filter`: the same operating system and architecture, and the
    /// same variant if the filter names one. Compares spellings as normalized by containerd:
    /// `linux/x86_64` matches `linux/amd64`, and `linux/arm` is `linux/arm/v7`.
    pub fn matches(&self, filter: &Self) -> bool {
        let (own, asked) = (self.normalized(), filter.normalized());
        own.0 == asked.0 && own.1 == asked.1 && (!filter.names_a_variant() || own.2 == asked.2)
    }

    /// Whether it names a variant, either explicitly or through its architecture (`armhf`).
    fn names_a_variant(&self) -> bool {
        self.variant.is_some() || ["armhf", "armel"].contains(&self.architecture.to_ascii_lowercase().as_str())
    }

    /// Returns operating system, architecture and variant in containerd's spelling. The variant is
    /// empty if it is the architecture's default (`amd64/v1`, `arm64/v8`).
    fn normalized(&self) -> (String, String, String) {
        let lower = |text: &str| text.to_ascii_lowercase();
        let os = match lower(&self.os) {
            os if os == "macos" => "darwin".to_owned(),
            os => os,
        };
        let variant = self.variant.as_deref().map(lower).unwrap_or_default();
        let (architecture, variant) = match lower(&self.architecture).as_str() {
            "i386" => ("386", String::new()),
            "x86_64" | "x86-64" | "amd64" if variant == "v1" => ("amd64", String::new()),
            "x86_64" | "x86-64" => ("amd64", variant),
            "aarch64" | "arm64" if ["8", "v8"].contains(&variant.as_str()) => ("arm64", String::new()),
            "aarch64" => ("arm64", variant),
            "armhf" => ("arm", "v7".to_owned()),
            "armel" => ("arm", "v6".to_owned()),
            "arm" if variant.is_empty() => ("arm", "v7".to_owned()),
            "arm" if variant.len() == 1 => ("arm", format!("v{variant}")),
            other => return (os, other.to_owned(), variant),
        };
        (os, architecture.to_owned(), variant)
    }

    /// Whether this is BuildKit's `unknown/unknown`, which marks attestations.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

/// Requires an object in which `os` and `architecture` are strings and not repeated. Other members
/// are ignored if they have the wrong type.
impl<'de> Deserialize<'de> for Platform {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Platform;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a platform")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Platform, A::Error> {
                let (mut platform, mut os, mut architecture) = (Platform::default(), None, None);
                while let Some(name) = map.next_key::<String>()? {
                    let once = |place: &mut Option<String>, value| match place.replace(value) {
                        None => Ok(()),
                        Some(_) => Err(A::Error::custom("os or architecture twice")),
                    };
                    match name.as_str() {
                        "os" => once(&mut os, map.next_value()?)?,
                        "architecture" => once(&mut architecture, map.next_value()?)?,
                        "os.version" => platform.os_version = optional(&mut map)?,
                        "os.features" => platform.os_features = optional(&mut map)?.unwrap_or_default(),
                        "variant" => platform.variant = optional(&mut map)?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                platform.os = os.unwrap_or_default();
                platform.architecture = architecture.unwrap_or_default();
                Ok(platform)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let wrong = || PlatformError(text.chars().take(100).collect());
        let parts: Vec<&str> = text.split('/').collect();
        let part_is_good = |part: &&str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if !parts.iter().all(part_is_good) {
            return Err(wrong());
        }
        match parts.as_slice() {
            [os, architecture] => {
                Ok(Self { os: (*os).to_owned(), architecture: (*architecture).to_owned(), ..Self::default() })
            }
            [os, architecture, variant] => Ok(Self {
                os: (*os).to_owned(),
                architecture: (*architecture).to_owned(),
                variant: Some((*variant).to_owned()),
                ..Self::default()
            }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if let Some(variant) = &self.variant {
            write!(f, "/{variant}")?;
        }
        if let Some(version) = &self.os_version {
            write!(f, " ({version})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_compared_as_containerd_normalizes_them() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        for (entry, filter) in [
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v7", "linux/arm"),
            ("linux/arm/7", "linux/armhf"),
            ("linux/arm/v6", "linux/armel"),
            ("linux/arm/v6", "linux/arm"),
            ("linux/arm64", "linux/arm64/v8"),
            ("linux/arm64/v8", "linux/aarch64"),
            ("linux/amd64", "linux/amd64/v1"),
            ("linux/amd64", "Linux/X86_64"),
            ("linux/x86-64/v1", "linux/amd64"),
            ("linux/386", "linux/i386"),
            ("darwin/arm64", "macos/ARM64"),
            ("linux/s390x", "linux/s390x"),
        ] {
            assert!(platform(entry).matches(&platform(filter)), "{entry} {filter}");
        }
        for (entry, filter) in [
            ("linux/arm/v6", "linux/arm/v7"),
            ("linux/arm/v6", "linux/armhf"),
            ("linux/arm", "linux/arm/v6"),
            ("linux/amd64/v3", "linux/amd64/v1"),
            ("linux/amd64", "linux/amd64/v3"),
            ("linux/arm64", "linux/arm"),
            ("windows/amd64", "linux/amd64"),
        ] {
            assert!(!platform(entry).matches(&platform(filter)), "{entry} {filter}");
        }
    }

    #[test]
    fn only_an_object_that_says_it_once_is_unknown() {
        let unknown = |json: &str| serde_json::from_str::<Platform>(json).is_ok_and(|platform| platform.is_unknown());
        for odd in ["", r#","variant":1,"os.version":{},"os.features":"x","x":null"#, r#","variant":null"#] {
            assert!(unknown(&format!(r#"{{"os":"unknown","architecture":"unknown"{odd}}}"#)), "{odd}");
        }
        for wrong in [
            r#"["unknown","unknown"]"#,
            r#""unknown/unknown""#,
            r#"{"os":"unknown"}"#,
            r#"{"os":"unknown","architecture":null}"#,
            r#"{"os":"unknown","os":"unknown","architecture":"unknown"}"#,
        ] {
            assert!(!unknown(wrong), "{wrong}");
        }
    }

    #[test]
    fn filters_match_as_containerd_does() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        assert!(platform("linux/arm64").matches(&platform("linux/arm64/v8")));
        assert!(platform("linux/arm/v7").matches(&platform("linux/arm")));
        assert!(!platform("linux/arm/v6").matches(&platform("linux/arm/v7")));
        assert!(!platform("linux/amd64").matches(&platform("windows/amd64")));
        for wrong in ["linux", "linux/", "/amd64", "a/b/c/d", "linux/am d64"] {
            assert!(wrong.parse::<Platform>().is_err(), "{wrong}");
        }
    }
}
