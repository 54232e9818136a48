//! Logging in: which challenge counts, logins, which `Authorization` a call gets.
//!
//! Tokens are had in [`super::token`]; nothing here sends anything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64ct::Encoding as _;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode};
use zeroize::Zeroizing;

use crate::base::fault::escape;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::oci::Repository;
use crate::registry::http::call::Host;
use crate::registry::http::headers::Challenge;
use crate::registry::http::origin;
use crate::registry::http::retry::Trouble;
use crate::registry::settings::Credential;

/// What a call needs: the repository whose login counts, and the scopes of its token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::registry) struct Scopes {
    path: String,
    wants: Vec<(String, &'static str)>,
}

impl Scopes {
    /// Reading a repository.
    pub fn pull(repository: &Repository) -> Self {
        let path = repository.path().to_owned();
        Self { wants: vec![(path.clone(), "pull")], path }
    }

    /// Writing a repository.
    pub fn push(repository: &Repository) -> Self {
        let path = repository.path().to_owned();
        Self { wants: vec![(path.clone(), "pull,push")], path }
    }

    /// Listing a registry's repositories.
    pub fn catalog() -> Self {
        Self { path: String::new(), wants: Vec::new() }
    }

    /// Nothing but to be known.
    pub fn none() -> Self {
        Self { path: String::new(), wants: vec![(String::new(), "")] }
    }

    /// And reading another one of the same registry.
    pub fn and_pull(mut self, repository: &Repository) -> Self {
        self.wants.push((repository.path().to_owned(), "pull"));
        self.wants.sort();
        self
    }

    /// The repository whose login counts.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// As token servers read them; `prefix` stands before every repository there.
    pub fn texts(&self, prefix: &str) -> Vec<String> {
        if self.wants.is_empty() {
            return vec!["registry:catalog:*".to_owned()];
        }
        let wants = self.wants.iter().filter(|(path, _)| !path.is_empty());
        wants.map(|(path, actions)| format!("repository:{prefix}{path}:{actions}")).collect()
    }
}

/// A token and when it is no longer used, on the flow's clock.
pub(in crate::registry) struct Token {
    pub header: HeaderValue,
    pub ends: Duration,
}

/// Held by whoever asks for a token, so that it is asked for once.
type Slot = Arc<Mutex<Option<Token>>>;

/// What is known of a registry's logins.
#[derive(Default)]
pub(in crate::registry) struct Auth {
    challenge: Mutex<Option<Challenge>>,
    tokens: Mutex<HashMap<Scopes, Slot>>,
    logins: Mutex<HashMap<String, Option<Arc<Credential>>>>,
    withheld: Mutex<Option<String>>,
}

impl Auth {
    /// Takes the best challenge of a 401: Bearer before Basic. Whether there was one.
    pub fn learn(&self, headers: &HeaderMap) -> bool {
        let found = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| Challenge::parse(value.to_str().ok()?))
            .fold(None, |best, next| match (best, next) {
                (Some(bearer @ Challenge::Bearer { .. }), _) => Some(bearer),
                (_, next) => Some(next),
            });
        let known = found.is_some();
        if known {
            *lock(&self.challenge) = found;
        }
        known
    }

    /// A realm is given no login though there is one.
    pub fn withhold(&self, realm: &str) {
        *lock(&self.withheld) = Some(realm.to_owned());
    }

    /// Whether the registry has asked for a login.
    pub fn is_asked(&self) -> bool {
        lock(&self.challenge).is_some()
    }

    /// Of these scopes, the place of the token.
    fn slot(&self, scopes: &Scopes) -> Slot {
        Arc::clone(lock(&self.tokens).entry(scopes.clone()).or_default())
    }

    /// The realm that was given no login though there is one.
    pub fn withheld(&self) -> Option<String> {
        lock(&self.withheld).clone()
    }
}

/// A header value that is not shown and not kept in HTTP/2's tables.
pub(in crate::registry) fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

pub(in crate::registry) fn basic(username: &str, password: &str) -> Option<HeaderValue> {
    let pair = Zeroizing::new(format!("{username}:{password}"));
    let encoded = Zeroizing::new(base64ct::Base64::encode_string(pair.as_bytes()));
    secret(&Zeroizing::new(format!("Basic {}", *encoded)))
}

impl Host {
    /// The login for a repository path, looked up once.
    pub fn login(&self, path: &str) -> Result<Option<Arc<Credential>>, Error> {
        // Held while a helper runs: all transfers need the same answer.
        let mut logins = lock(&self.auth.logins);
        if let Some(known) = logins.get(path) {
            return Ok(known.clone());
        }
        let found = (self.settings.credentials)(&self.rules.login_host, &format!("{}{path}", self.rules.prefix))
            .map_err(|why| {
                self.error(Kind::Denied, format_args!("login: {}", escape(&why)))
                    .help("mend the auth file or its helper")
            })?;
        let found = found.map(Arc::new);
        found.iter().for_each(|login| self.settings.secrets.login(login));
        if found.is_none() && self.rules.login_host == "docker.io" {
            self.warn_once("asked without a login: it limits anonymous pulls; see `packmule login docker.io -u USER`");
        }
        logins.insert(path.to_owned(), found.clone());
        Ok(found)
    }

    /// After `refused` was refused: looks the login up anew, and says whether there is another one now.
    pub fn another_login(&self, path: &str, refused: &Credential) -> Result<bool, Error> {
        {
            let mut logins = lock(&self.auth.logins);
            // Unless another call has done so already.
            if logins.get(path).is_some_and(|known| known.as_deref() == Some(refused)) {
                logins.remove(path);
            }
        }
        Ok(self.login(path)?.is_some_and(|found| *found != *refused))
    }

    /// The `Authorization` for a call: none before the registry has asked for one.
    pub fn authorization(&self, scopes: &Scopes) -> Result<Option<HeaderValue>, Trouble> {
        let challenge = lock(&self.auth.challenge).clone();
        match challenge {
            None => Ok(None),
            Some(Challenge::Basic) => match self.login(scopes.path())?.as_deref() {
                Some(Credential::Password { username, password }) => Ok(basic(username, password)),
                Some(Credential::Identity(_)) => {
                    let what = "login: expected a password, found an identity token; it asks for Basic";
                    Err(Trouble::last(self.error(Kind::Denied, what).help("log in again with user and password")))
                }
                None => Ok(None),
            },
            Some(Challenge::Bearer { realm, service }) => {
                let slot = self.auth.slot(scopes);
                let mut slot = lock(&slot);
                let now = self.engine.flow.clock().elapsed();
                if let Some(token) = slot.as_ref().filter(|token| now < token.ends) {
                    return Ok(Some(token.header.clone()));
                }
                let token = self.token(&realm, service.as_deref(), scopes, now)?;
                Ok(Some(slot.insert(token).header.clone()))
            }
        }
    }

    /// After an answer: whether it is a 401 after which another login may do. Drops the token that
    /// was sent, if it is still the one in use, and takes the new challenge.
    pub fn renew(&self, response: &Response, scopes: &Scopes, sent: Option<&HeaderValue>) -> bool {
        let ours = self.base().is_ok_and(|base| origin::same(&base, response.url()));
        if response.status() != StatusCode::UNAUTHORIZED || !ours {
            return false;
        }
        let before = lock(&self.auth.challenge).clone();
        self.auth.learn(response.headers());
        let after = lock(&self.auth.challenge).clone();
        match after {
            None => false,
            // The same login again would be refused again.
            Some(Challenge::Basic) if sent.is_none() || before != after => true,
            Some(Challenge::Basic) => match self.login(scopes.path()).ok().flatten().as_deref() {
                Some(login @ Credential::Password { username, password })
                    if basic(username, password).as_ref() == sent =>
                {
                    self.another_login(scopes.path(), login).unwrap_or(false)
                }
                // Another call has found another one.
                found => found.is_some(),
            },
            Some(Challenge::Bearer { .. }) => {
                let slot = self.auth.slot(scopes);
                let mut slot = lock(&slot);
                if slot.as_ref().is_some_and(|token| Some(&token.header) == sent) {
                    *slot = None;
                }
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Event, Events, FixedClock, Flow};
    use crate::registry::{Registries, Settings};

    struct Heard(Mutex<Vec<Event>>);

    impl Events for Heard {
        fn event(&self, event: Event) {
            lock(&self.0).push(event);
        }
    }

    #[test]
    fn i12_docker_hub_without_a_login_is_warned_of_once() {
        let heard = Arc::new(Heard(Mutex::default()));
        let flow = Flow::new(Arc::clone(&heard) as Arc<dyn Events>, Arc::new(FixedClock::default()), 1, 1);
        let registries = Registries::new(Settings::default(), flow).unwrap();
        for name in ["docker.io/library/a", "docker.io/library/b", "registry.example/a"] {
            let repository = Repository::exact(name).unwrap();
            assert!(registries.host(&repository).unwrap().login(repository.path()).unwrap().is_none());
        }
        let heard = lock(&heard.0);
        assert!(matches!(&heard[..], [Event::Warning(text)] if text.contains("packmule login docker.io")), "{heard:?}");
    }

    #[test]
    fn the_first_bearer_of_several_headers_wins() {
        let auth = Auth::default();
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"x\""));
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"https://one/\""));
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"https://two/\""));
        assert!(auth.learn(&headers));
        let Some(Challenge::Bearer { realm, .. }) = lock(&auth.challenge).clone() else { panic!() };
        assert_eq!(realm.as_str(), "https://one/");
    }
}
