//! Makes what the configuration names usable: secrets wherever they are kept, identities with their tokens, the access
//! to a container.
//!
//! Nothing is read or requested before it is needed. Every secret is made known to the output, which hides it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use zeroize::Zeroizing;

use super::config::Config;
use super::config::credential::{Credential, Kind, Username, Who};
use super::config::storage::{Provider, Storage};
use crate::base::lock::lock;
use crate::base::redact::Secrets;
use crate::content::{Error, Kind as Failure};
use crate::flow::Flow;
use crate::identity::{
    self, Address, Application, Audience, Bearer, Cloud, Fresh, Identity, Kept, Managed, Metadata, VaultSecret, Web,
};
use crate::network::access::Access;
use crate::network::clients::Clients;
use crate::network::secret_source::SecretSource;
use crate::network::settings::ClientSettings;
use crate::program::Surroundings;
use crate::registry;
use crate::secret::{Secret, Source, Unreadable};

/// The machine's environment, as far as it is about identities.
#[derive(Clone, Debug, Default)]
struct Environment {
    metadata: Metadata,
    tenant: Option<String>,
    client: Option<String>,
    token_file: Option<PathBuf>,
    authority: Option<String>,
}

impl Environment {
    fn read(surroundings: &Surroundings) -> Self {
        let text = |name: &str| {
            let value = surroundings.env.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty());
            value.and_then(|value| value.to_str()).map(ToOwned::to_owned)
        };
        Self {
            metadata: Metadata {
                endpoint: text("IDENTITY_ENDPOINT"),
                header: text("IDENTITY_HEADER").map(Zeroizing::new),
                host: text("AZURE_POD_IDENTITY_AUTHORITY_HOST"),
            },
            tenant: text("AZURE_TENANT_ID"),
            client: text("AZURE_CLIENT_ID"),
            token_file: text("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from),
            authority: text("AZURE_AUTHORITY_HOST"),
        }
    }

    fn has_workload(&self) -> bool {
        self.tenant.is_some() && self.client.is_some() && self.token_file.is_some()
    }

    /// Returns the workload that the platform names, in `cloud`.
    fn workload(&self, cloud: &Cloud) -> Result<identity::Who, Error> {
        let unset = |name: &str| {
            Error::new(Failure::Policy, format!("workload identity: variable {name}: expected a value, found it unset"))
                .help("give the pod the label and the service account of its workload identity")
        };
        let tenant = self.tenant.clone().ok_or_else(|| unset("AZURE_TENANT_ID"))?;
        let client = self.client.clone().ok_or_else(|| unset("AZURE_CLIENT_ID"))?;
        let proof = self.token_file.clone().ok_or_else(|| unset("AZURE_FEDERATED_TOKEN_FILE"))?;
        let same = |authority: &String| authority.trim_end_matches('/') == cloud.authority;
        if self.authority.as_ref().is_some_and(|authority| !same(authority)) {
            let what =
                "workload identity: expected the cloud whose login authority AZURE_AUTHORITY_HOST names, found another";
            return Err(Error::new(Failure::Policy, what).help("set cloud of the credential to the platform's cloud"));
        }
        Ok(identity::Who::Workload(Application { tenant, client, proof }))
    }
}

/// Sources of the secrets and identities of a run.
pub struct Sources {
    config: Arc<Config>,
    surroundings: Surroundings,
    environment: Environment,
    flow: Flow,
    retries: u32,
    told: Arc<Secrets>,
    // Becomes `web` when it is first needed.
    settings: Mutex<Option<ClientSettings>>,
    web: Mutex<Option<Arc<Web>>>,
    identities: Mutex<HashMap<String, Arc<Identity>>>,
}

/// Converts the failure of a source on this machine.
fn unreadable(error: Unreadable) -> Error {
    Error::new(Failure::Policy, error.what).help(error.help)
}

impl Sources {
    /// Makes the sources; reads nothing yet. Tells nobody of their secrets unless [`Self::telling`] says so.
    pub fn new(config: Arc<Config>, surroundings: Surroundings, settings: ClientSettings, flow: Flow) -> Self {
        Self {
            environment: Environment::read(&surroundings),
            settings: Mutex::new(Some(settings)),
            config,
            surroundings,
            flow,
            retries: 0,
            told: Arc::default(),
            web: Mutex::default(),
            identities: Mutex::default(),
        }
    }

    /// Sets how often a failed request for a token or secret is tried again.
    #[must_use]
    pub fn retrying(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    /// Makes every secret known to `told`, which hides it.
    #[must_use]
    pub fn telling(self, told: Arc<Secrets>) -> Self {
        Self { told, ..self }
    }

    fn web(&self) -> Result<Arc<Web>, Error> {
        let mut web = lock(&self.web);
        if let Some(web) = &*web {
            return Ok(Arc::clone(web));
        }
        let settings = lock(&self.settings).take().unwrap_or_default();
        let clients = Arc::new(Clients::new(Arc::new(settings))?);
        let told = Arc::clone(&self.told);
        let made = Web::new(clients, self.flow.clone(), self.retries, move |secret| told.learn(secret))?;
        Ok(Arc::clone(web.insert(Arc::new(made))))
    }

    /// Returns the identity of a credential.
    ///
    /// # Errors
    /// [`Failure::Policy`] if the credential is none, or if the environment does not name it.
    pub fn identity(&self, name: &str) -> Result<Arc<Identity>, Error> {
        self.identity_in(name, &mut Vec::new())
    }

    /// Like [`Self::identity`], for the secret of another identity: `open` are those whose secret is being looked for.
    fn identity_in(&self, name: &str, open: &mut Vec<String>) -> Result<Arc<Identity>, Error> {
        if let Some(known) = lock(&self.identities).get(name) {
            return Ok(Arc::clone(known));
        }
        let found = self.config.credentials.get(name).map(|credential| &credential.kind);
        let Some(Kind::Identity(who, cloud)) = found else {
            let what = format!("credential {name:?}: expected an identity, found another credential");
            return Err(Error::new(Failure::Policy, what).help("name a credential with identity"));
        };
        if open.iter().any(|one| one == name) {
            let what = format!("credential {name:?}: its secret is in a key vault that it would read itself");
            return Err(Error::new(Failure::Policy, what)
                .help("keep the secret elsewhere, or give another identity the vault's name as its host"));
        }
        open.push(name.to_owned());
        let who = match who {
            Who::Managed(managed) => identity::Who::Managed(managed.clone(), self.environment.metadata.clone()),
            Who::Workload => self.environment.workload(cloud)?,
            Who::Tool => identity::Who::Tool(self.surroundings.clone(), None),
            Who::Application { tenant, client, secret } => identity::Who::Application(Application {
                tenant: tenant.clone(),
                client: client.clone(),
                proof: self.secret_in(secret, None, open)?,
            }),
        };
        self.keep(name, who, cloud.clone())
    }

    fn keep(&self, key: &str, who: identity::Who, cloud: Cloud) -> Result<Arc<Identity>, Error> {
        let made = Arc::new(Identity::new(who, cloud, self.web()?));
        Ok(Arc::clone(lock(&self.identities).entry(key.to_owned()).or_insert(made)))
    }

    /// Returns the identity that reads a vault: that of `by`, else the one of the only credential whose host is the
    /// vault, else that of the workload or of the machine.
    ///
    /// # Errors
    /// Those of [`Self::identity`]; several credentials have the vault as their host; a vault in no known cloud.
    pub fn vault_reader(&self, address: &Address, by: Option<&str>) -> Result<Arc<Identity>, Error> {
        self.vault_reader_in(address, by, &mut Vec::new())
    }

    fn vault_reader_in(
        &self,
        address: &Address,
        by: Option<&str>,
        open: &mut Vec<String>,
    ) -> Result<Arc<Identity>, Error> {
        if let Some(name) = by {
            return self.identity_in(name, open);
        }
        let vault = address.vault();
        let is_own = |credential: &Credential| {
            matches!(credential.kind, Kind::Identity(..)) && credential.host.as_deref() == Some(vault.as_str())
        };
        let mut own = self.config.credentials.iter().filter(|(_, credential)| is_own(credential));
        match (own.next(), own.next()) {
            (Some((one, _)), Some((two, _))) => {
                let what = format!("key vault {vault}: credentials {one} and {two} are both for it");
                return Err(Error::new(Failure::Policy, what).help("keep the host in one of them"));
            }
            (Some((name, _)), None) => return self.identity_in(name, open),
            (None, _) => {}
        }
        let cloud = Cloud::of_vault(address.url()).ok_or_else(|| {
            let what = format!("key vault {vault}: expected a host of a known cloud, found another");
            Error::new(Failure::Policy, what).help(format!(
                "add a credential with host = {vault:?}, identity, and cloud = {{ authority, storage, vault }}"
            ))
        })?;
        // No credential has an empty name.
        let key = format!("\0{}", cloud.vault);
        if let Some(known) = lock(&self.identities).get(&key) {
            return Ok(Arc::clone(known));
        }
        let who = if self.environment.has_workload() {
            self.environment.workload(&cloud)?
        } else {
            identity::Who::Managed(Managed::Machine, self.environment.metadata.clone())
        };
        self.keep(&key, who, cloud)
    }

    /// Returns the source of a secret. `by`: the credential whose identity reads it if it is in a key vault.
    ///
    /// # Errors
    /// Those of [`Self::vault_reader`]; the vault is not in the identity's cloud.
    pub fn secret(&self, secret: &Secret, by: Option<&str>) -> Result<Arc<dyn SecretSource>, Error> {
        self.secret_in(secret, by, &mut Vec::new())
    }

    fn secret_in(
        &self,
        secret: &Secret,
        by: Option<&str>,
        open: &mut Vec<String>,
    ) -> Result<Arc<dyn SecretSource>, Error> {
        if let Source::Keyvault(address) = &secret.source {
            let vault = self.vault_secret_in(address, by, open)?;
            return Ok(Arc::new(Kept::new(self.flow.clone(), move || vault.fetch())));
        }
        let (secret, surroundings, told) = (secret.clone(), self.surroundings.clone(), Arc::clone(&self.told));
        Ok(Arc::new(Kept::new(self.flow.clone(), move || {
            let value = secret.read(&surroundings).map_err(unreadable)?;
            told.learn(&value);
            Ok(Fresh { value, life: None })
        })))
    }

    fn vault_secret_in(&self, address: &str, by: Option<&str>, open: &mut Vec<String>) -> Result<VaultSecret, Error> {
        let address = Address::parse(address).map_err(|error| {
            Error::new(Failure::Policy, format!("key vault: {error}")).help("correct the address of the secret")
        })?;
        let identity = self.vault_reader_in(&address, by, open)?;
        VaultSecret::new(address, identity)
    }

    /// Returns the source of a document that is kept as a secret and may have several lines.
    fn document(&self, secret: &Secret) -> Result<Arc<dyn SecretSource>, Error> {
        if matches!(secret.source, Source::Keyvault(_)) {
            return self.secret(secret, None);
        }
        let (secret, surroundings, told) = (secret.clone(), self.surroundings.clone(), Arc::clone(&self.told));
        Ok(Arc::new(Kept::new(self.flow.clone(), move || {
            let value = secret.read_document(&surroundings).map_err(unreadable)?;
            value.lines().for_each(|line| told.learn(line.trim()));
            Ok(Fresh { value, life: None })
        })))
    }

    fn name(&self, name: &Username) -> Result<Arc<dyn SecretSource>, Error> {
        match name {
            Username::Secret(secret) => self.secret(secret, None),
            Username::Plain(text) => {
                let text = text.clone();
                Ok(Arc::new(Kept::new(self.flow.clone(), move || {
                    Ok(Fresh { value: Zeroizing::new(text.clone()), life: None })
                })))
            }
        }
    }

    /// Reads the login of a credential. With `again`, from its source again, because the last was refused.
    ///
    /// # Errors
    /// Those of [`SecretSource::read`]; [`Failure::Policy`] if the credential is no login.
    pub fn login(&self, name: &str, credential: &Credential, again: bool) -> Result<registry::Credential, Error> {
        let read = |secret: &Secret| self.secret(secret, None)?.read(again);
        match &credential.kind {
            Kind::Password { username, password } => {
                let user = self.name(username)?.read(again)?;
                if let Username::Secret(secret) = username
                    && user.contains(':')
                {
                    let what =
                        format!("{}: expected a user name without a colon, found one with a colon", secret.source);
                    return Err(Error::new(Failure::Policy, what).help("make it hold only the name"));
                }
                Ok(registry::Credential::Password { username: user.to_string(), password: read(password)? })
            }
            Kind::Token(token) => Ok(registry::Credential::Identity(read(token)?)),
            Kind::Identity(..) => {
                Ok(registry::Credential::Entra(self.identity(name)?.token(Audience::Registry, again)?))
            }
            other => {
                let what = format!("expected a login or an identity, found {}", other.name());
                Err(Error::new(Failure::Policy, what).help("use username and password, a token or an identity"))
            }
        }
    }

    /// Returns the access to a container and the cloud that it is in.
    ///
    /// # Errors
    /// Those of [`Self::secret`] and [`Self::identity`].
    pub fn access(&self, storage: &Storage) -> Result<(Access, Cloud), Error> {
        let named = storage.credential.as_deref().and_then(|name| self.config.credentials.get_key_value(name));
        let cloud = storage.cloud(named.map(|(_, credential)| credential));
        let access = match (&storage.sas, named) {
            (Some(sas), named) => Access::Sas(self.secret(sas, named.map(|(name, _)| name.as_str()))?),
            (None, None) if storage.anonymous || storage.provider == Provider::Azure => Access::Anonymous,
            (None, None) => Access::Machine,
            (None, Some((name, Credential { kind, .. }))) => match kind {
                Kind::Identity(..) if storage.provider == Provider::Azure => {
                    Access::Bearer(Arc::new(Bearer { identity: self.identity(name)?, audience: Audience::Storage }))
                }
                Kind::Identity(..) => Access::Machine,
                Kind::AccountKey(key) => Access::AccountKey(self.secret(key, None)?),
                Kind::AccessKey { id, secret, token } => Access::AccessKey {
                    id: self.name(id)?,
                    secret: self.secret(secret, None)?,
                    token: token.as_ref().map(|token| self.secret(token, None)).transpose()?,
                },
                Kind::Profile(name) => Access::Profile(name.clone()),
                Kind::ServiceAccount(key) => Access::ServiceAccount(self.document(key)?),
                Kind::Password { .. } | Kind::Token(_) => {
                    let what = format!("credential {name:?}: expected a credential of a store, found a login");
                    return Err(Error::new(Failure::Policy, what).help("name another credential in the storage table"));
                }
            },
        };
        Ok((access, cloud))
    }
}
