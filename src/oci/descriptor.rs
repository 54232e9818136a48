//! Descriptors: media type, digest, size, and other properties of a blob as stated in an index or
//! manifest.
//!
//! For reading only: unknown members are ignored here and preserved in the document's raw bytes.
//! `mediaType`, `digest`, `size` and `data` are parsed strictly and must not be repeated
//! (`spec/closure.md`). The others are hints, dropped if they have the wrong type.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::member::optional;
use super::{Digest, Platform};

/// Largest integer that every JSON reader represents exactly, 2^53 − 1. The limit of every size.
pub const MAX_SIZE: u64 = (1 << 53) - 1;

/// A reference from a document to content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// Artifact type, if the descriptor refers to an artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Platform, in entries of an index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Addresses of foreign content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urls: Option<Vec<String>>,
    /// The content itself, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

impl Descriptor {
    /// Creates a descriptor with the three required members.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            artifact_type: None,
            annotations: None,
            platform: None,
            urls: None,
            data: None,
        }
    }

    /// Returns the annotation with this key.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Returns the digest of the image that this BuildKit attestation describes. Returns `None` if
    /// this is not the `unknown/unknown` entry of an attestation.
    pub fn attests(&self) -> Option<Digest> {
        (self.annotation("vnd.docker.reference.type") == Some("attestation-manifest"))
            .then(|| self.annotation("vnd.docker.reference.digest")?.parse().ok())
            .flatten()
    }
}

/// A member that must not be repeated, even if its value is null.
struct Once<T> {
    is_seen: bool,
    value: Option<T>,
}

impl<'de, T: Deserialize<'de>> Once<T> {
    const fn new() -> Self {
        Self { is_seen: false, value: None }
    }

    fn take<A: MapAccess<'de>>(&mut self, name: &'static str, map: &mut A) -> Result<(), A::Error> {
        if std::mem::replace(&mut self.is_seen, true) {
            return Err(A::Error::duplicate_field(name));
        }
        self.value = map.next_value()?;
        Ok(())
    }

    fn required<E: serde::de::Error>(self, name: &'static str) -> Result<T, E> {
        self.value.ok_or_else(|| E::missing_field(name))
    }
}

impl<'de> Deserialize<'de> for Descriptor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Descriptor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a descriptor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Descriptor, A::Error> {
        let (mut media_type, mut digest, mut size) = (Once::new(), Once::new(), Once::<u64>::new());
        let mut data = Once::new();
        let (mut artifact_type, mut annotations, mut platform, mut urls) = (None, None, None, None);
        let mut is_placed = false;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "mediaType" => media_type.take("mediaType", &mut map)?,
                "digest" => digest.take("digest", &mut map)?,
                "size" => size.take("size", &mut map)?,
                "data" => data.take("data", &mut map)?,
                "artifactType" => artifact_type = optional(&mut map)?,
                "annotations" => annotations = optional(&mut map)?,
                // A repeated platform is no platform.
                "platform" => {
                    let found = optional(&mut map)?;
                    platform = if std::mem::replace(&mut is_placed, true) { None } else { found };
                }
                "urls" => urls = optional(&mut map)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let size = size.required("size")?;
        if size > MAX_SIZE {
            return Err(A::Error::custom(format_args!("size {size}: expected at most 2^53-1")));
        }
        Ok(Descriptor {
            media_type: media_type.required("mediaType")?,
            digest: digest.required("digest")?,
            size,
            artifact_type,
            annotations,
            platform,
            urls,
            data: data.value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_of_another_type_are_dropped_and_what_counts_is_strict() {
        let digest = Digest::sha256(b"");
        let with = |more: &str| {
            serde_json::from_str::<Descriptor>(&format!(r#"{{"mediaType":"x/y","digest":"{digest}","size":1{more}}}"#))
        };
        let plain = Descriptor::new("x/y", digest, 1);
        for odd in
            [r#","urls":{}"#, r#","platform":"linux""#, r#","annotations":{"a":1},"annotations":[]"#, r#","x":1"#]
        {
            assert_eq!(with(odd).unwrap(), plain, "{odd}");
        }
        assert_eq!(with(r#","urls":["a"]"#).unwrap().urls.unwrap(), ["a"]);
        for wrong in [r#","size":1"#, r#","data":null,"data":null"#, r#","data":1"#] {
            assert!(with(wrong).is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<Descriptor>(&format!(r#"["x/y","{digest}",1]"#)).is_err());
        let value =
            serde_json::json!({ "mediaType": "x/y", "digest": digest, "size": 1, "platform": { "os": "linux" } });
        assert_eq!(serde_json::from_value::<Descriptor>(value).unwrap().platform.unwrap().os, "linux");
    }
}
