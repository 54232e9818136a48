//! The tables of packmule.toml as they stand in the file: types for the parser, and for the JSON Schema.
//!
//! What they mean together is decided in [`super`]. The tables of later versions are named here, so that one
//! file serves all; they are not read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use crate::secret;
use crate::toml_file::spelling::Table;

/// Tables that other versions read.
type Later = Option<Table<BTreeMap<String, Table<toml::Table>>>>;
/// What the schema says of those.
type AnyTables = Option<BTreeMap<String, BTreeMap<String, serde_json::Value>>>;

/// packmule.toml
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "packmule.toml", rename = "packmule.toml")]
pub struct File {
    /// Registries by HOST or HOST/NAMESPACE; the longest that fits counts.
    #[schemars(with = "BTreeMap<String, Registry>")]
    pub registry: BTreeMap<String, Spanned<Table<Registry>>>,
    /// Credentials by name.
    #[schemars(with = "BTreeMap<String, Credential>")]
    pub credential: BTreeMap<String, Spanned<Table<Credential>>>,
    /// Blob containers. Not read by this version.
    #[schemars(with = "AnyTables")]
    pub storage: Later,
    /// Export pipelines. Not read by this version.
    #[schemars(with = "AnyTables")]
    pub export: Later,
    /// Import pipelines. Not read by this version.
    #[schemars(with = "AnyTables")]
    pub import: Later,
    /// Cache rules. Not read by this version.
    #[schemars(with = "AnyTables")]
    pub rule: Later,
}

/// What a registry wants differently.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// The name of a credential.
    #[schemars(with = "Option<String>")]
    pub credential: Option<Spanned<String>>,
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets are the syntax that the help shows")]
    /// Where to ask in the host's place: https://HOST[:PORT][/PREFIX].
    #[schemars(with = "Option<String>")]
    pub endpoint: Option<Spanned<String>>,
    /// More certificates (PEM) that it may be signed by.
    pub ca: Option<PathBuf>,
    /// The certificate (PEM) that it knows this machine by.
    pub client_cert: Option<PathBuf>,
    /// The private key (PEM) of client_cert.
    pub client_key: Option<PathBuf>,
    /// Its certificate is not checked.
    pub insecure: Option<bool>,
    /// It is spoken to without TLS.
    pub plain_http: Option<bool>,
    /// Token servers, by host, that may have its login.
    pub realm: Option<Words>,
    /// The proxy for it; an empty text is none.
    #[schemars(with = "Option<String>")]
    pub proxy: Option<Spanned<String>>,
    /// Bytes a second: 80MiB/s.
    #[schemars(with = "Option<String>")]
    pub limit_rate: Option<Spanned<String>>,
    /// Most requests at once.
    #[schemars(with = "Option<u16>", range(min = 1, max = 256))]
    pub concurrency: Option<Spanned<u16>>,
    /// How often a failed request is tried again.
    pub retries: Option<u32>,
}

/// A login, or an identity in a cloud.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The host that it is for, and no other.
    #[schemars(with = "Option<String>")]
    pub host: Option<Spanned<String>>,
    /// The user.
    pub username: Option<Text>,
    /// The user's password or access token.
    pub password: Option<secret::Source>,
    /// A token that needs no user.
    pub token: Option<secret::Source>,
    /// An identity in a cloud. Not used by this version.
    pub identity: Option<Identity>,
    /// The cloud of the identity. Not used by this version.
    pub cloud: Option<Cloud>,
}

/// One text or several.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum Words {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// A text that is no secret, or one kept like a secret.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum Text {
    /// As it stands here.
    Plain(String),
    /// Kept elsewhere.
    Secret(secret::Source),
}

/// An identity in a cloud.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum Identity {
    /// `system`, `workload`, `cli`.
    Kind(IdentityKind),
    /// One of several, or an application.
    Named(Named),
}

/// Identities that need no more words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IdentityKind {
    /// The machine's own.
    System,
    /// The workload's, by a federated token.
    Workload,
    /// The user's, as the cloud's command line has it.
    Cli,
}

/// Which identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// By client id.
    pub client_id: Option<String>,
    /// By object id.
    pub object_id: Option<String>,
    /// By resource id.
    pub resource_id: Option<String>,
    /// The tenant of an application.
    pub tenant: Option<String>,
    /// The secret of an application.
    pub secret: Option<secret::Source>,
}

/// Which cloud.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum Cloud {
    /// `public`, `usgov`, `china`.
    Known(KnownCloud),
    /// Another one.
    Own(OwnCloud),
}

/// Clouds with names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KnownCloud {
    /// The public one.
    Public,
    /// US Government.
    Usgov,
    /// China.
    China,
}

/// A cloud by its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnCloud {
    /// Where tokens come from.
    pub authority: String,
    /// Suffix of its blob storage.
    pub storage: String,
    /// Suffix of its key vaults.
    pub vault: String,
}

/// A type that is either of two, told apart by its form, so that errors keep their place in the file (serde's
/// untagged enums lose it).
macro_rules! either {
    ($name:ident, $what:literal, text: $text:expr, $form:ident($access:ident): $other:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Either;
                impl<'de> Visitor<'de> for Either {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        let read: fn(&str) -> Result<$name, E> = $text;
                        read(text)
                    }
                    fn $form<A: $access<'de>>(self, access: A) -> Result<$name, A::Error> {
                        let read: fn(A) -> Result<$name, A::Error> = $other;
                        read(access)
                    }
                }
                deserializer.deserialize_any(Either)
            }
        }
    };
}

either!(Words, "a text or a list of texts",
    text: |text| Ok(Words::One(text.to_owned())),
    visit_seq(SeqAccess): |list| Vec::deserialize(SeqAccessDeserializer::new(list)).map(Words::Many));
either!(Text, "a text or a table such as { env = \"...\" }",
    text: |text| Ok(Text::Plain(text.to_owned())),
    visit_map(MapAccess): |map| secret::Source::deserialize(MapAccessDeserializer::new(map)).map(Text::Secret));
either!(Identity, "system, workload, cli, or a table",
    text: |text| match text {
        "system" => Ok(Identity::Kind(IdentityKind::System)),
        "workload" => Ok(Identity::Kind(IdentityKind::Workload)),
        "cli" => Ok(Identity::Kind(IdentityKind::Cli)),
        other => Err(E::unknown_variant(other, &["system", "workload", "cli"])),
    },
    visit_map(MapAccess): |map| Named::deserialize(MapAccessDeserializer::new(map)).map(Identity::Named));
either!(Cloud, "public, usgov, china, or a table",
    text: |text| match text {
        "public" => Ok(Cloud::Known(KnownCloud::Public)),
        "usgov" => Ok(Cloud::Known(KnownCloud::Usgov)),
        "china" => Ok(Cloud::Known(KnownCloud::China)),
        other => Err(E::unknown_variant(other, &["public", "usgov", "china"])),
    },
    visit_map(MapAccess): |map| OwnCloud::deserialize(MapAccessDeserializer::new(map)).map(Cloud::Own));
