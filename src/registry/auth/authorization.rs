//! Finds the login of a repository and the `Authorization` of a request.
//!
//! Sends nothing; [`super::token`] requests tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64ct::Encoding as _;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode};
use zeroize::Zeroizing;

use super::scopes::Scopes;
use crate::base::fault::escape;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::network::origin;
use crate::network::retry::Trouble;
use crate::registry::credential::Credential;
use crate::registry::http::exchange::Http;
use crate::registry::http::headers::Challenge;
use crate::registry::http::request::Authorization;
use crate::registry::http::response::Answer;

/// A token, and the time on the flow's clock from which on it is no longer used.
pub(in crate::registry) struct Token {
    pub header: HeaderValue,
    pub ends: Duration,
}

/// A token, locked while it is requested, so that it is requested only once.
type Slot = Arc<Mutex<Option<Token>>>;

/// A token of an identity, and the token that the registry gave for it.
pub(super) struct Exchanged {
    pub given: Zeroizing<String>,
    pub got: Zeroizing<String>,
}

/// Logins and tokens of one registry.
#[derive(Default)]
pub(in crate::registry) struct Auth {
    tokens: Mutex<HashMap<Scopes, Slot>>,
    /// Scopes to ask for instead, where a challenge asked for more.
    wider: Mutex<HashMap<Scopes, Scopes>>,
    logins: Mutex<HashMap<String, Option<Arc<Credential>>>>,
    /// Identity tokens that the registry gave for tokens of identities.
    pub(super) exchanged: Mutex<Vec<Exchanged>>,
    withheld: Mutex<Option<String>>,
}

impl Auth {
    /// Records that the login was not sent to `realm`.
    pub fn withhold(&self, realm: &str) {
        *lock(&self.withheld) = Some(realm.to_owned());
    }

    /// Returns the slot of the token for `scopes`.
    fn slot(&self, scopes: &Scopes) -> Slot {
        Arc::clone(lock(&self.tokens).entry(scopes.clone()).or_default())
    }

    /// Returns the scopes that a token for `scopes` is requested with.
    fn requested(&self, scopes: &Scopes) -> Scopes {
        lock(&self.wider).get(scopes).unwrap_or(scopes).clone()
    }

    /// Requests tokens for `scopes` without those of a challenge again: they did not help.
    pub fn narrow(&self, scopes: &Scopes) {
        lock(&self.wider).remove(scopes);
    }

    /// Returns the realm to which the login was not sent, if any.
    pub fn withheld(&self) -> Option<String> {
        lock(&self.withheld).clone()
    }
}

/// Returns a header value that `Debug` does not show and HTTP/2 does not index.
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

impl Auth {
    /// Returns the login for a repository path. Looks it up only once.
    pub fn login(&self, http: &Http, path: &str) -> Result<Option<Arc<Credential>>, Error> {
        // Locked while a helper runs: all transfers need the same answer.
        let mut logins = lock(&self.logins);
        if let Some(known) = logins.get(path) {
            return Ok(known.clone());
        }
        let found = (http.settings.credentials)(&http.rules.login_host, &format!("{}{path}", http.rules.prefix))
            .map_err(|why| {
                let help = why.help.as_deref().unwrap_or("fix the auth file or its credential helper");
                http.error(Kind::Denied, format_args!("login: {}", escape(&why.what))).help(help)
            })?;
        let found = found.map(Arc::new);
        found.iter().for_each(|login| login.add_to(&http.settings.clients.secrets));
        if found.is_none() && http.rules.login_host == "docker.io" {
            http.warn_once("no login found, and anonymous pulls are limited; see `packmule login docker.io -u USER`");
        }
        logins.insert(path.to_owned(), found.clone());
        Ok(found)
    }

    /// Looks the login up again after `refused` was refused. Reports whether there is a different
    /// one now.
    pub fn another_login(&self, http: &Http, path: &str, refused: &Credential) -> Result<bool, Error> {
        {
            let mut logins = lock(&self.logins);
            // Unless another call has already looked it up again.
            if logins.get(path).is_some_and(|known| known.as_deref() == Some(refused)) {
                logins.remove(path);
            }
        }
        Ok(self.login(http, path)?.is_some_and(|found| *found != *refused))
    }

    /// Returns the `Authorization` for a request; `None` until the registry has asked for one.
    pub fn authorization(&self, http: &Http, scopes: &Scopes) -> Result<Option<Authorization>, Trouble> {
        let challenge = http.challenge();
        match challenge {
            None => Ok(None),
            Some(Challenge::Basic) => match self.login(http, scopes.path())?.as_deref() {
                Some(Credential::Password { username, password }) => at_home(http, basic(username, password)),
                Some(Credential::Identity(_) | Credential::Entra(_)) => {
                    let what = "login: the registry asks for Basic: expected a password, found an identity token";
                    Err(Trouble::last(
                        http.error(Kind::Denied, what).help("log in again with a user name and password"),
                    ))
                }
                None => Ok(None),
            },
            Some(Challenge::Bearer { realm, service }) => {
                let scopes = &self.requested(scopes);
                let slot = self.slot(scopes);
                let mut slot = lock(&slot);
                let now = http.flow().clock().elapsed();
                if let Some(token) = slot.as_ref().filter(|token| now < token.ends) {
                    return at_home(http, Some(token.header.clone()));
                }
                let token = self.token(http, &realm, service.as_deref(), scopes, now)?;
                at_home(http, Some(slot.insert(token).header.clone()))
            }
        }
    }

    /// Reports whether the response is a 401 after which another login may succeed. Takes over the
    /// new challenge: if it asks for more scopes, the next token is requested with these too;
    /// otherwise drops the token that was sent if it is still the current one.
    pub fn renew(&self, http: &Http, response: &Response, scopes: &Scopes, sent: Option<&Authorization>) -> bool {
        let sent = sent.map(|sent| &sent.header);
        let ours = http.base().is_ok_and(|base| origin::same(&base, response.url()));
        if response.status() != StatusCode::UNAUTHORIZED || !ours {
            return false;
        }
        let before = http.challenge();
        http.learn(response.headers());
        let after = http.challenge();
        match after {
            None => false,
            // Sending this login again would be refused again.
            Some(Challenge::Basic) if sent.is_none() || before != after => true,
            Some(Challenge::Basic) => match self.login(http, scopes.path()).ok().flatten().as_deref() {
                Some(login @ Credential::Password { username, password })
                    if basic(username, password).as_ref() == sent =>
                {
                    self.another_login(http, scopes.path(), login).unwrap_or(false)
                }
                // Another call has found a different login.
                found => found.is_some(),
            },
            Some(Challenge::Bearer { .. }) => {
                let requested = self.requested(scopes);
                let challenged = challenged(response.headers());
                if let Some(wider) = challenged.and_then(|text| requested.with(&text, &http.rules.prefix)) {
                    // The token is good, but not for this.
                    lock(&self.wider).insert(scopes.clone(), wider);
                    return true;
                }
                let slot = self.slot(&requested);
                let mut slot = lock(&slot);
                if slot.as_ref().is_some_and(|token| Some(&token.header) == sent) {
                    *slot = None;
                }
                true
            }
        }
    }

    /// Returns the error for an unexpected response. Mentions a login that our own rule withheld.
    pub fn refusal(&self, http: &Http, answer: &Answer, subject: &str) -> Error {
        let error = answer.refusal(&http.name, subject);
        match self.withheld() {
            Some(realm) if error.class == Kind::Denied => {
                let what = format!("{}; the login was not sent to its token server {realm}", error.what);
                Error::new(Kind::Policy, what).help(format!(
                    "if {realm} may receive it, allow that with --realm {}={realm}; another port is another server",
                    http.rules.login_host
                ))
            }
            _ => error,
        }
    }
}

/// Returns the scopes that a 401 asks for, if it names any.
fn challenged(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    values.find_map(Challenge::scope)
}

/// Pairs a header with the only server that it may be sent to.
fn at_home(http: &Http, header: Option<HeaderValue>) -> Result<Option<Authorization>, Trouble> {
    let Some(header) = header else { return Ok(None) };
    Ok(Some(Authorization { header, home: http.base()? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Event, Events, FixedClock, Flow};
    use crate::network::clients::Clients;
    use crate::network::runtime::Runtime;
    use crate::registry::settings::Settings;

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
        let settings = Arc::new(Settings::default());
        let clients = Arc::new(Clients::new(Arc::clone(&settings.clients)).unwrap());
        let runtime = Arc::new(Runtime::new(flow).unwrap());
        for (name, paths) in [("docker.io", &["library/a", "library/b"][..]), ("registry.example", &["a"])] {
            let http = Http::new(name, Arc::clone(&runtime), Arc::clone(&settings), Arc::clone(&clients)).unwrap();
            let auth = Auth::default();
            for path in paths {
                assert!(auth.login(&http, path).unwrap().is_none());
            }
        }
        let heard = lock(&heard.0);
        assert!(matches!(&heard[..], [Event::Warning(text)] if text.contains("packmule login docker.io")), "{heard:?}");
    }
}
