//! The tables of `trust.toml` as written (`spec/policy.md`). The checks across them are in the file
//! that reads it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use toml::Spanned;

use crate::toml_file::spelling::{Table, Word};

/// trust.toml
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema), schemars(title = "trust.toml", rename = "trust.toml"))]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Version of this file, to be raised with every change. A state that has seen a higher version
    /// refuses the file. Default: 0.
    #[cfg_attr(feature = "online", schemars(with = "Option<u64>", range(max = 9_007_199_254_740_991_u64)))]
    pub(super) version: Option<Spanned<u64>>,
    /// Who may sign, by names of your choice.
    #[cfg_attr(feature = "online", schemars(with = "BTreeMap<String, Key>"))]
    pub(super) key: BTreeMap<String, Spanned<Table<Key>>>,
    /// Requirements for bundles of a channel, by the name of the channel. Bundles of other channels
    /// are refused.
    #[serde(default)]
    #[cfg_attr(feature = "online", schemars(with = "BTreeMap<String, Rule>"))]
    pub(super) channel: BTreeMap<String, Spanned<Table<Rule>>>,
    /// Requirements for bundles without a channel. If this table is missing, they are refused.
    #[cfg_attr(feature = "online", schemars(with = "Option<Rule>"))]
    pub(super) no_channel: Option<Spanned<Table<Rule>>>,
}

/// A holder who signs.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    /// Files of public keys (PEM), relative to the directory of this file. If there are several,
    /// all of them must sign.
    #[cfg_attr(feature = "online", schemars(with = "Words"))]
    pub(super) public: Spanned<Words>,
    /// Person or desk that has the private keys.
    #[cfg_attr(feature = "online", schemars(with = "String", length(min = 1)))]
    pub(super) holder: Spanned<String>,
    /// Meaning of the signature: release, guard.
    #[cfg_attr(feature = "online", schemars(with = "String", length(min = 1)))]
    pub(super) role: Spanned<String>,
    /// Last day (2027-01-31, in UTC) or moment (2027-01-31T12:00:00Z) at which the signature
    /// counts.
    #[cfg_attr(feature = "online", schemars(with = "Option<String>"))]
    pub(super) until: Option<Spanned<String>>,
}

/// Requirements and limits for bundles.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    /// Names of the keys that count here.
    #[cfg_attr(feature = "online", schemars(with = "Vec<String>", length(min = 1)))]
    pub(super) keys: Spanned<Vec<Spanned<String>>>,
    /// Number of distinct holders that must have signed. Default: all holders of the keys above.
    #[cfg_attr(feature = "online", schemars(with = "Option<u32>", range(min = 1)))]
    pub(super) threshold: Option<Spanned<u32>>,
    /// Roles that must be among the holders that signed.
    #[serde(default)]
    #[cfg_attr(feature = "online", schemars(with = "Vec<String>"))]
    pub(super) roles: Vec<Spanned<String>>,
    /// Repositories that are allowed in a bundle, including those that base content is mounted
    /// from. `*` matches any text. Default: any.
    #[cfg_attr(feature = "online", schemars(with = "Option<Vec<String>>"))]
    pub(super) repositories: Option<Spanned<Vec<String>>>,
    /// Tags that are allowed in a bundle. Default: any.
    #[cfg_attr(feature = "online", schemars(with = "Option<Vec<String>>"))]
    pub(super) tags: Option<Spanned<Vec<String>>>,
    /// Types of documents that are allowed in a bundle: artifactType and the config's media type.
    /// Default: any.
    #[cfg_attr(feature = "online", schemars(with = "Option<Vec<String>>"))]
    pub(super) types: Option<Spanned<Vec<String>>>,
    /// Maximum sizes and lifetime.
    #[serde(default)]
    #[cfg_attr(feature = "online", schemars(with = "Limits"))]
    pub(super) limits: Table<Limits>,
    /// Epoch of the channel. Default: 0.
    #[cfg_attr(feature = "online", schemars(with = "Option<u64>"))]
    pub(super) epoch: Option<Spanned<u64>>,
    /// Required properties and referrers.
    #[serde(default)]
    #[cfg_attr(feature = "online", schemars(with = "Require"))]
    pub(super) require: Table<Require>,
    /// Whether signatures by keys that this file does not list are shown, or cause refusal.
    #[serde(default)]
    #[cfg_attr(feature = "online", schemars(with = "Unknown"))]
    pub(super) unknown_signatures: Word<Unknown>,
}

/// Sizes, such as 200GiB, and a span of time, such as 90d.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Maximum size of all blobs of a bundle.
    #[cfg_attr(feature = "online", schemars(with = "Option<String>"))]
    pub(super) bundle: Option<Spanned<String>>,
    /// Maximum size of one blob.
    #[cfg_attr(feature = "online", schemars(with = "Option<String>"))]
    pub(super) blob: Option<Spanned<String>>,
    /// Maximum time from creation to expiry; makes an expiry mandatory. Default if `require`
    /// contains `expires`: 366d.
    #[cfg_attr(feature = "online", schemars(with = "Option<String>"))]
    pub(super) expires: Option<Spanned<String>>,
}

/// Required properties and referrers.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Require {
    /// Required properties of the bundle.
    #[cfg_attr(feature = "online", schemars(with = "Option<Vec<Member>>"))]
    pub(super) bundle: Option<Spanned<Vec<Word<Member>>>>,
    /// Types of referrers, one of each required for every image. `*` matches any text.
    #[serde(default)]
    #[cfg_attr(feature = "online", schemars(with = "Vec<String>"))]
    pub(super) referrers: Vec<Spanned<String>>,
    /// Layer types of signatures and attestations, which need no referrers. `*` matches any text.
    #[serde(default)]
    #[cfg_attr(feature = "online", schemars(with = "Vec<String>"))]
    pub(super) except: Vec<Spanned<String>>,
}

/// Properties that can be required of a channel's bundles.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum Member {
    /// The bundle states when it expires.
    Expires,
    /// The bundle is not older than the state. Without a state it is refused.
    Sequence,
    /// The bundle directly follows the last one in the state.
    Previous,
}

/// Handling of signatures by keys that are not in the file.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum Unknown {
    /// Shown, but not counted.
    #[default]
    Show,
    /// The bundle is refused.
    Refuse,
}

/// One string or several.
#[derive(Debug)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema), schemars(untagged))]
pub(super) enum Words {
    /// One string.
    One(String),
    /// Several strings.
    Many(Vec<String>),
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Words;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file or a list of files")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Words, E> {
                Ok(Words::One(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element()? {
                    words.push(word);
                }
                Ok(Words::Many(words))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Words {
    /// Returns the strings.
    pub(super) fn list(&self) -> &[String] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Many(words) => words,
        }
    }
}
