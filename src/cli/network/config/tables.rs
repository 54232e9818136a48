//! The tables of packmule.toml as they are in the file: types for the parser and for the JSON
//! Schema.
//!
//! [`super`] decides what they mean together.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use toml::Spanned;

use super::words::Words;
use crate::secret;
use crate::toml_file::spelling::Table;

/// packmule.toml
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "packmule.toml", rename = "packmule.toml")]
pub struct File {
    /// Registries by HOST or HOST/NAMESPACE; the longest match applies.
    #[schemars(with = "BTreeMap<String, Registry>")]
    pub registry: BTreeMap<String, Spanned<Table<Registry>>>,
    /// Credentials by name.
    #[schemars(with = "BTreeMap<String, Credential>")]
    pub credential: BTreeMap<String, Spanned<Table<Credential>>>,
    /// Blob containers by name.
    #[schemars(with = "BTreeMap<String, Storage>")]
    pub storage: BTreeMap<String, Spanned<Table<Storage>>>,
    /// Export pipelines by name.
    #[schemars(with = "BTreeMap<String, super::pipelines::tables::Export>")]
    pub export: BTreeMap<String, Spanned<Table<super::pipelines::tables::Export>>>,
    /// Import pipelines by name.
    #[schemars(with = "BTreeMap<String, super::pipelines::tables::Import>")]
    pub import: BTreeMap<String, Spanned<Table<super::pipelines::tables::Import>>>,
    /// Rules of the artifact cache, by name.
    #[schemars(with = "BTreeMap<String, super::rules::Rule>")]
    pub rule: BTreeMap<String, Spanned<Table<super::rules::Rule>>>,
}

/// Settings for one registry.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Name of a credential.
    #[schemars(with = "Option<String>")]
    pub credential: Option<Spanned<String>>,
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets are the syntax that the help shows")]
    /// Address to use instead of the host: https://HOST[:PORT][/PREFIX].
    #[schemars(with = "Option<String>")]
    pub endpoint: Option<Spanned<String>>,
    /// File of additional root certificates (PEM) to trust.
    pub ca: Option<PathBuf>,
    /// Client certificate (PEM) that identifies this machine.
    pub client_cert: Option<PathBuf>,
    /// Private key (PEM) of client_cert.
    pub client_key: Option<PathBuf>,
    /// Whether to skip the check of the registry's certificate.
    pub insecure: Option<bool>,
    /// Whether to use plain HTTP, without TLS.
    pub plain_http: Option<bool>,
    /// Hosts of token servers that may receive the registry's login.
    pub realm: Option<Words>,
    /// Proxy for the registry; an empty string means none.
    #[schemars(with = "Option<String>")]
    pub proxy: Option<Spanned<String>>,
    /// Maximum bytes per second: 80MiB/s.
    #[schemars(with = "Option<String>")]
    pub limit_rate: Option<Spanned<String>>,
    /// Maximum number of requests at once.
    #[schemars(with = "Option<u16>", range(min = 1, max = 256))]
    pub concurrency: Option<Spanned<u16>>,
    /// Number of retries of a failed request.
    pub retries: Option<u32>,
}

/// A blob container, or the part of one below a prefix.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets are the syntax that the help shows")]
    /// Address: az://ACCOUNT/CONTAINER[/PREFIX] or the https address of it,
    /// s3://BUCKET[/PREFIX], gs://BUCKET[/PREFIX].
    #[schemars(with = "String")]
    pub url: Option<Spanned<String>>,
    /// Shared access signature.
    pub sas: Option<secret::Source>,
    /// Name of a credential; next to sas, the identity that reads it from a key vault.
    #[schemars(with = "Option<String>")]
    pub credential: Option<Spanned<String>>,
    /// Region of an s3:// bucket.
    pub region: Option<String>,
    /// Address of a service that is compatible with S3 or Google Cloud Storage.
    #[schemars(with = "Option<String>")]
    pub endpoint: Option<Spanned<String>>,
    /// Whether the bucket is named in the path of an s3:// address, not in its host.
    pub path_style: Option<bool>,
    /// Whether the container is open to everyone: requests have no login.
    pub anonymous: Option<bool>,
}

/// A login, a key, or an identity in a cloud.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The only host that the credential is for: a registry, or a key vault that an identity reads.
    #[schemars(with = "Option<String>")]
    pub host: Option<Spanned<String>>,
    /// User name.
    pub username: Option<Text>,
    /// Password or access token of the user.
    pub password: Option<secret::Source>,
    /// Token that needs no user name.
    pub token: Option<secret::Source>,
    /// Identity in Microsoft's cloud.
    pub identity: Option<Identity>,
    /// Cloud of the identity: public unless given.
    pub cloud: Option<Cloud>,
    /// Key of an Azure storage account.
    pub account_key: Option<secret::Source>,
    /// Id of an AWS access key.
    pub access_key_id: Option<Text>,
    /// Secret of an AWS access key.
    pub secret_access_key: Option<secret::Source>,
    /// Token of a temporary AWS access key.
    pub session_token: Option<secret::Source>,
    /// Name of a profile in the AWS configuration files.
    pub profile: Option<String>,
    /// Key of a Google service account, in JSON.
    pub service_account: Option<secret::Source>,
}

/// A string in the file, or one kept elsewhere like a secret.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum Text {
    /// A string in the file.
    Plain(String),
    /// A string kept elsewhere.
    Secret(secret::Source),
}

/// An identity in a cloud.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum Identity {
    /// One of `system`, `workload`, `cli`.
    Kind(IdentityKind),
    /// A named identity, or an application.
    Named(Named),
}

/// Identities that need no further details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IdentityKind {
    /// The machine's own identity.
    System,
    /// The workload's identity, by a federated token.
    Workload,
    /// The user's identity, from the cloud's command line tool.
    Cli,
}

/// A named identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Client id.
    pub client_id: Option<String>,
    /// Object id.
    pub object_id: Option<String>,
    /// Resource id.
    pub resource_id: Option<String>,
    /// Tenant of an application.
    pub tenant: Option<String>,
    /// Secret of an application.
    pub secret: Option<secret::Source>,
}

/// A cloud.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum Cloud {
    /// One of `public`, `usgov`, `china`.
    Known(KnownCloud),
    /// Another cloud.
    Own(OwnCloud),
}

/// Clouds with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KnownCloud {
    /// The public cloud.
    Public,
    /// The US Government cloud.
    Usgov,
    /// The cloud in China.
    China,
}

/// A cloud given by its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnCloud {
    /// Address of the login authority.
    pub authority: String,
    /// Suffix of storage hosts, after ACCOUNT.blob.
    pub storage: String,
    /// Suffix of key vault hosts, after NAME.
    pub vault: String,
}

/// Implements `Deserialize` for a type with two forms, told apart by the kind of value. Unlike
/// serde's untagged enums, errors keep their position in the file.
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

either!(Text, "a string or a table such as { env = \"...\" }",
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
