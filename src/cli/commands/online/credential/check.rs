//! `credential check`: tries a credential step by step, and says which step failed.
//!
//! The steps: the token of an identity, the right to read in a key vault, the secret itself, the right to list a
//! container, the login at a registry. A step that depends on one that failed is not tried.

use std::sync::Arc;

use serde_json::{Value, json};

use super::absent::absent;
use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::cli::args::container::Address as Place;
use crate::cli::network::config::credential::Credential;
use crate::cli::network::config::{Config, Kind};
use crate::cli::network::containers::open;
use crate::cli::network::sources::Sources;
use crate::cli::network::{Network, registries};
use crate::cli::output::Outcome;
use crate::content::{Error, Kind as Failure};
use crate::identity::{Address, Audience, claims};
use crate::network::origin::Url;
use crate::registry;
use crate::secret::{Secret, Source};
use crate::storage::{Container, Needs, Object};

/// Begins the name of no bundle.
const NOTHING: &str = "credential-check/";

/// A step that was tried.
#[derive(Clone, Copy)]
enum Step {
    Token,
    Vault,
    VaultRight,
    Secret,
    StorageRight,
    Login,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Vault => "vault",
            Self::VaultRight => "vault right",
            Self::Secret => "secret",
            Self::StorageRight => "storage right",
            Self::Login => "login",
        }
    }
}

/// Steps so far.
#[derive(Default)]
struct Steps {
    text: String,
    list: Vec<Value>,
    faults: Vec<Fault>,
}

impl Steps {
    fn line(&mut self, word: &str, text: &str) {
        self.text.push_str(&format!("{word:10} {text}\n"));
    }

    fn good(&mut self, step: Step, subject: &str) {
        self.line("ok", &format!("{}: {subject}", step.name()));
        self.list.push(json!({ "step": step.name(), "subject": subject, "ok": true }));
    }

    fn bad(&mut self, step: Step, subject: &str, error: Error) {
        self.refused(step, subject, fault_of(error));
    }

    fn refused(&mut self, step: Step, subject: &str, mut fault: Fault) {
        self.line("REFUSED", &format!("{}: {subject}", step.name()));
        self.list.push(json!({ "step": step.name(), "subject": subject, "ok": false, "error": fault.what }));
        fault.what = format!("{}: {}", step.name(), fault.what);
        self.faults.push(fault);
    }

    /// Notes the result of a step and returns its value.
    fn tried<T>(&mut self, step: Step, subject: &str, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => {
                self.good(step, subject);
                Some(value)
            }
            Err(error) => {
                self.bad(step, subject, error);
                None
            }
        }
    }

    /// Tries the token of an identity for a service. Names the principal.
    fn token(&mut self, sources: &Sources, name: &str, audience: Audience) -> bool {
        let subject = format!("{name} for {}", audience.shown());
        match sources.identity(name).and_then(|identity| identity.token(audience, false)) {
            Ok(token) => {
                let principal = claims(&token).principal;
                let whose = principal.map_or(String::new(), |principal| format!(", principal {principal}"));
                self.good(Step::Token, &format!("{subject}{}", crate::base::fault::escape(&whose)));
                true
            }
            Err(error) => {
                self.bad(Step::Token, &subject, error);
                false
            }
        }
    }

    /// Tries to read a secret.
    fn secret(&mut self, sources: &Sources, subject: &str, secret: &Secret, by: Option<&str>) -> bool {
        let Source::Keyvault(address) = &secret.source else {
            let read = sources.secret(secret, by).and_then(|source| source.read(false));
            return match read {
                Ok(_) => {
                    self.good(Step::Secret, &format!("{subject}, {}", secret.source));
                    true
                }
                Err(error) => {
                    self.bad(Step::Secret, &format!("{subject}, {}", secret.source), error);
                    false
                }
            };
        };
        let Ok(parsed) = Address::parse(address) else { return false };
        let vault = parsed.vault();
        let reader = sources.vault_reader(&parsed, by);
        let whom = by.unwrap_or("the reader");
        let token = reader.and_then(|identity| identity.token(Audience::Vault, false));
        if self.tried(Step::Token, &format!("{whom} for key vault {vault}"), token).is_none() {
            return false;
        }
        let named = format!("{subject}, {} of {vault}", parsed.name());
        match sources.secret(secret, by).and_then(|source| source.read(false)) {
            Ok(_) => {
                self.good(Step::VaultRight, &vault);
                self.good(Step::Secret, &named);
                true
            }
            Err(error) => {
                match error.class {
                    Failure::Denied => self.bad(Step::VaultRight, &vault, error),
                    Failure::Policy => {
                        self.good(Step::VaultRight, &vault);
                        self.bad(Step::Secret, &named, error);
                    }
                    _ => self.bad(Step::Vault, &vault, error),
                }
                false
            }
        }
    }
}

/// Converts the failure of a step.
fn fault_of(error: Error) -> Fault {
    // A configuration that cannot work is a matter of usage, as for all other commands.
    let usage = error.class == Failure::Policy;
    let mut fault = error.into_fault(Class::Source);
    if usage {
        fault.class = Class::Usage;
    }
    fault
}

/// Checks a credential.
///
/// # Errors
/// Class usage: no such credential, or a configuration that cannot be read. A step that fails is part of the outcome.
pub(super) fn check(name: &str, network: &Network, session: &Session<'_>) -> Result<Outcome, Fault> {
    let config = Arc::new(network.config.load(session.world)?);
    let one = config.credentials.get(name).ok_or_else(|| absent(name))?;
    let sources = registries::sources(network, session, Arc::clone(&config))?;
    let mut steps = Steps::default();

    let mut readable = true;
    for (key, secret) in one.kind.secrets() {
        readable &= steps.secret(&sources, key, secret, None);
    }
    if readable {
        steps.line("readable", name);
        if matches!(one.kind, Kind::Identity(..)) {
            for audience in audiences(name, one, &config) {
                readable &= steps.token(&sources, name, audience);
            }
        }
    }
    let mut hosts = Vec::new();
    if readable {
        containers(name, (network, session, &config), &sources, &mut steps);
        // An identity that is for a vault or a container needs no token for registries.
        let is_used = !matches!(one.kind, Kind::Identity(..)) || !self::hosts(name, one, &config).is_empty();
        if one.kind.is_login() && is_used {
            match sources.login(name, one, false) {
                Ok(login) => hosts = logins(name, one, login, (network, session, &config), &mut steps)?,
                Err(error) => steps.bad(Step::Login, name, error),
            }
        }
    }
    let result = json!({ "name": name, "readable": readable, "steps": steps.list, "hosts": hosts });
    let outcome = Outcome::new(steps.text, result);
    Ok(match Fault::from_list(steps.faults) {
        Some(fault) => outcome.failed(fault),
        None => outcome,
    })
}

/// Returns the hosts at which the credential is a login.
fn hosts(name: &str, one: &Credential, config: &Config) -> Vec<String> {
    let mut hosts: Vec<String> = match &one.host {
        Some(host) if is_vault(one, host) => Vec::new(),
        Some(host) => vec![host.clone()],
        None => {
            let users = config.registries.iter().filter(|registry| registry.credential.as_deref() == Some(name));
            users.map(|registry| registry.host.clone()).collect()
        }
    };
    hosts.sort();
    hosts.dedup();
    hosts
}

fn is_vault(one: &Credential, host: &str) -> bool {
    let Kind::Identity(_, cloud) = &one.kind else { return false };
    Url::parse(&format!("https://{host}")).is_ok_and(|url| cloud.has_vault(&url))
}

/// Returns the services that an identity is used for: that of vaults if the configuration names none.
fn audiences(name: &str, one: &Credential, config: &Config) -> Vec<Audience> {
    let mut all = Vec::new();
    let is_used = |storage: &&crate::cli::network::config::Storage| storage.credential.as_deref() == Some(name);
    if config.storage.values().filter(is_used).any(|storage| storage.sas.is_none()) {
        all.push(Audience::Storage);
    }
    if !hosts(name, one, config).is_empty() {
        all.push(Audience::Registry);
    }
    if all.is_empty() {
        all.push(Audience::Vault);
    }
    all
}

/// Tries the containers that use the credential, as every command opens them.
fn containers(
    name: &str,
    (network, session, config): (&Network, &Session<'_>, &Config),
    sources: &Sources,
    steps: &mut Steps,
) {
    for (table, storage) in config.storage.iter().filter(|(_, storage)| storage.credential.as_deref() == Some(name)) {
        if let Some(sas) = &storage.sas
            && !steps.secret(sources, &format!("storage {table}: sas"), sas, Some(name))
        {
            continue;
        }
        let subject = format!("storage {table}: list");
        let address = Place::Table { name: table.clone(), prefix: String::new() };
        match open(network, &address, session).and_then(|container| lists(&*container, session)) {
            Ok(()) => steps.good(Step::StorageRight, &subject),
            Err(fault) => steps.refused(Step::StorageRight, &subject, fault),
        }
    }
}

/// Lists what has a name that nothing has: the smallest request that needs the right.
fn lists(container: &dyn Container, session: &Session<'_>) -> Result<(), Fault> {
    let needs = Needs { list: true, ..Needs::default() };
    let listed =
        container.check_rights(needs, &session.flow).and_then(|()| container.list(NOTHING, &mut |_: Object| ()));
    listed.map_err(fault_of)
}

/// Tries the login at every registry that uses the credential.
fn logins(
    name: &str,
    one: &Credential,
    login: registry::Credential,
    (network, session, config): (&Network, &Session<'_>, &Arc<Config>),
    steps: &mut Steps,
) -> Result<Vec<Value>, Fault> {
    let hosts = hosts(name, one, config);
    if hosts.is_empty() {
        steps.line("not tried", "no host uses it");
        return Ok(Vec::new());
    }
    let registries = registries::open_with(network, session, Arc::clone(config), login)?;
    let mut list = Vec::new();
    for host in hosts {
        let tried = registries.log_in(&host);
        match &tried {
            Ok(true) => steps.line("accepted", &host),
            Ok(false) => steps.line("not tried", &format!("{host} asks for no login")),
            Err(_) => {}
        }
        let (is_tried, accepted) = (tried.as_ref().ok().copied(), tried.as_ref().ok() == Some(&true));
        list.push(json!({ "host": host, "tried": is_tried, "accepted": accepted }));
        if let Err(error) = tried {
            steps.bad(Step::Login, &host, error);
        }
    }
    Ok(list)
}
