//! One `[credential.N]` table: a login, a key of a store, or an identity in a cloud.
//!
//! Decides what the keys of the table mean together. Reads no secret.

use std::path::Path;

use super::host::host;
use super::tables::{self, IdentityKind, KnownCloud, Named};
use crate::base::fault::Fault;
use crate::identity::{Address, Cloud, Managed};
use crate::secret::{Secret, Source};
use crate::toml_file::error::{At, Text};

/// One `[credential.N]` table.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Host that the credential is for; `None` for any host that names it.
    pub host: Option<String>,
    /// Kind of credential.
    pub kind: Kind,
    /// Position of the table.
    pub at: At,
}

/// Kind of a credential.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A user name and a password.
    Password {
        /// The user name.
        username: Username,
        /// The password.
        password: Secret,
    },
    /// A token that needs no user name.
    Token(Secret),
    /// An identity in a cloud.
    Identity(Who, Cloud),
    /// Key of an Azure storage account.
    AccountKey(Secret),
    /// An AWS access key.
    AccessKey {
        /// Its id.
        id: Username,
        /// Its secret.
        secret: Secret,
        /// Token of a temporary key.
        token: Option<Secret>,
    },
    /// Name of a profile in the AWS configuration files.
    Profile(String),
    /// Key of a Google service account, in JSON.
    ServiceAccount(Secret),
}

/// Who an identity is.
#[derive(Clone, Debug)]
pub enum Who {
    /// A managed identity.
    Managed(Managed),
    /// The workload, as its platform's environment names it.
    Workload,
    /// The user of the cloud's command line tool.
    Tool,
    /// An application.
    Application {
        /// Its tenant.
        tenant: String,
        /// Its client id.
        client: String,
        /// Its secret.
        secret: Secret,
    },
}

/// A user name.
#[derive(Clone, Debug)]
pub enum Username {
    /// A name in the file itself.
    Plain(String),
    /// A name kept elsewhere.
    Secret(Secret),
}

impl Kind {
    /// Returns the word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Password { .. } => "password",
            Self::Token(_) => "token",
            Self::Identity(..) => "identity",
            Self::AccountKey(_) => "account key",
            Self::AccessKey { .. } => "access key",
            Self::Profile(_) => "profile",
            Self::ServiceAccount(_) => "service account",
        }
    }

    /// Reports whether it can be a login at a registry.
    pub fn is_login(&self) -> bool {
        matches!(self, Self::Password { .. } | Self::Token(_) | Self::Identity(..))
    }

    /// Returns the secrets that it names, with their keys.
    pub fn secrets(&self) -> Vec<(&'static str, &Secret)> {
        let mut all = Vec::new();
        match self {
            Self::Password { username, password } => {
                if let Username::Secret(secret) = username {
                    all.push(("username", secret));
                }
                all.push(("password", password));
            }
            Self::Token(token) => all.push(("token", token)),
            Self::Identity(Who::Application { secret, .. }, _) => all.push(("identity.secret", secret)),
            Self::Identity(..) | Self::Profile(_) => {}
            Self::AccountKey(key) => all.push(("account_key", key)),
            Self::AccessKey { id, secret, token } => {
                if let Username::Secret(secret) = id {
                    all.push(("access_key_id", secret));
                }
                all.push(("secret_access_key", secret));
                all.extend(token.iter().map(|token| ("session_token", token)));
            }
            Self::ServiceAccount(key) => all.push(("service_account", key)),
        }
        all
    }
}

/// A fault of a table, and the advice for it.
pub(super) type Wrong = (String, String);

pub(super) fn wrong(what: impl Into<String>, help: impl Into<String>) -> Wrong {
    (what.into(), help.into())
}

/// Makes the secret of a key, with paths relative to the file's directory.
pub(super) fn secret(key: &str, source: Source, dir: &Path) -> Result<Secret, Wrong> {
    if let Source::Keyvault(address) = &source
        && let Err(error) = Address::parse(address)
    {
        return Err(wrong(
            format!("{key}: keyvault: {error}"),
            "write it as https://VAULT.vault.azure.net/secrets/NAME",
        ));
    }
    Ok(Secret { source, dir: dir.to_owned() })
}

fn username(key: &str, text: tables::Text, dir: &Path) -> Result<Username, Wrong> {
    match text {
        tables::Text::Plain(text) if text.is_empty() || text.contains(':') => {
            Err(wrong(format!("{key}: expected a name without a colon"), "write only the name"))
        }
        tables::Text::Plain(text) => Ok(Username::Plain(text)),
        tables::Text::Secret(source) => Ok(Username::Secret(secret(key, source, dir)?)),
    }
}

/// Reads a table.
pub(super) fn read(
    name: &str,
    table: tables::Credential,
    file: Text<'_>,
    at: At,
    dir: &Path,
) -> Result<Credential, Fault> {
    if let Some(named) = &table.host {
        host(named.get_ref(), &file.at(&named.span()), &format!("credential {name:?}"))?;
    }
    let host = table.host.as_ref().map(|host| host.get_ref().clone());
    let kind = kind(table, dir).map_err(|(what, help)| at.wrong(format!("credential {name:?}: {what}"), help))?;
    Ok(Credential { host, kind, at })
}

/// Forms of a credential, for messages.
const FORMS: &str = "username and password, token, identity, account_key, access_key_id and secret_access_key, profile, or service_account";

fn kind(table: tables::Credential, dir: &Path) -> Result<Kind, Wrong> {
    let password = table.username.is_some() || table.password.is_some();
    let access = table.access_key_id.is_some() || table.secret_access_key.is_some() || table.session_token.is_some();
    let forms = [
        password,
        table.token.is_some(),
        table.identity.is_some(),
        table.account_key.is_some(),
        access,
        table.profile.is_some(),
        table.service_account.is_some(),
    ];
    match forms.iter().filter(|form| **form).count() {
        0 => return Err(wrong(format!("expected {FORMS}"), "add one of these")),
        1 => {}
        _ => {
            let what = format!("expected {FORMS}; found more than one of these");
            return Err(wrong(what, "keep one; a token needs no username"));
        }
    }
    if table.cloud.is_some() && table.identity.is_none() {
        return Err(wrong("cloud: expected only with identity", "remove it"));
    }
    let secret = |key: &str, source| secret(key, source, dir);
    if let Some(identity) = table.identity {
        return Ok(Kind::Identity(who(identity, dir)?, cloud(table.cloud)?));
    }
    if password {
        return match (table.username, table.password) {
            (Some(name), Some(word)) => {
                Ok(Kind::Password { username: username("username", name, dir)?, password: secret("password", word)? })
            }
            (Some(_), None) => Err(wrong("expected a password with username", "add password")),
            _ => Err(wrong("expected a username with password", "add username")),
        };
    }
    if access {
        return match (table.access_key_id, table.secret_access_key) {
            (Some(id), Some(key)) => Ok(Kind::AccessKey {
                id: username("access_key_id", id, dir)?,
                secret: secret("secret_access_key", key)?,
                token: table.session_token.map(|token| secret("session_token", token)).transpose()?,
            }),
            _ => Err(wrong("expected access_key_id and secret_access_key, found only one of them", "give both")),
        };
    }
    if let Some(token) = table.token {
        return Ok(Kind::Token(secret("token", token)?));
    }
    if let Some(key) = table.account_key {
        return Ok(Kind::AccountKey(secret("account_key", key)?));
    }
    if let Some(key) = table.service_account {
        return Ok(Kind::ServiceAccount(secret("service_account", key)?));
    }
    match table.profile {
        Some(name) if !name.is_empty() => Ok(Kind::Profile(name)),
        _ => Err(wrong("profile: expected a name, found nothing", "name a profile of the AWS configuration files")),
    }
}

fn who(identity: tables::Identity, dir: &Path) -> Result<Who, Wrong> {
    let named = match identity {
        tables::Identity::Kind(IdentityKind::System) => return Ok(Who::Managed(Managed::Machine)),
        tables::Identity::Kind(IdentityKind::Workload) => return Ok(Who::Workload),
        tables::Identity::Kind(IdentityKind::Cli) => return Ok(Who::Tool),
        tables::Identity::Named(named) => named,
    };
    let all = [&named.client_id, &named.object_id, &named.resource_id, &named.tenant];
    if all
        .into_iter()
        .flatten()
        .any(|text| text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()))
    {
        return Err(wrong(
            "identity: expected an id, found an empty one or white space",
            "write the id as the portal shows it",
        ));
    }
    match named {
        Named {
            tenant: Some(tenant),
            client_id: Some(client),
            secret: Some(own),
            object_id: None,
            resource_id: None,
        } => {
            let is_tenant = tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
            if !is_tenant {
                return Err(wrong("identity: tenant: expected an id or a domain", "write the tenant's id"));
            }
            Ok(Who::Application { tenant, client, secret: secret("identity: secret", own, dir)? })
        }
        Named { tenant: None, secret: None, client_id: Some(id), object_id: None, resource_id: None } => {
            Ok(Who::Managed(Managed::Client(id)))
        }
        Named { tenant: None, secret: None, client_id: None, object_id: Some(id), resource_id: None } => {
            Ok(Who::Managed(Managed::Object(id)))
        }
        Named { tenant: None, secret: None, client_id: None, object_id: None, resource_id: Some(id) } => {
            Ok(Who::Managed(Managed::Resource(id)))
        }
        _ => Err(wrong(
            "identity: expected one of client_id, object_id, resource_id, or tenant, client_id and secret",
            "keep one id for a managed identity; an application has a tenant, a client_id and a secret",
        )),
    }
}

fn cloud(cloud: Option<tables::Cloud>) -> Result<Cloud, Wrong> {
    let own = match cloud {
        None | Some(tables::Cloud::Known(KnownCloud::Public)) => return Ok(Cloud::public()),
        Some(tables::Cloud::Known(KnownCloud::Usgov)) => return Ok(Cloud::usgov()),
        Some(tables::Cloud::Known(KnownCloud::China)) => return Ok(Cloud::china()),
        Some(tables::Cloud::Own(own)) => own,
    };
    let is_suffix = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte);
        !text.is_empty() && text.bytes().all(plain) && !text.starts_with('.') && !text.ends_with('.')
    };
    for (key, suffix) in [("storage", &own.storage), ("vault", &own.vault)] {
        if !is_suffix(suffix) {
            let what = format!("cloud: {key}: expected the suffix of host names, found something else");
            return Err(wrong(what, "write for example core.windows.net, vault.azure.net, without a dot in front"));
        }
    }
    Cloud::own(&own.authority, &own.storage, &own.vault).ok_or_else(|| {
        let what = "cloud: authority: expected https://HOST, found something else";
        wrong(what, "write the address of the login authority, without a login or a query")
    })
}
