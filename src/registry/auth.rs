//! Logging in: challenges, logins, tokens by scope.
//!
//! A login goes to the registry itself or to a realm that is its own or named; to no other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64ct::Encoding as _;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::answer;
use super::client::{Host, SMALL, lock};
use super::origin;
use super::retry::{self, Trouble};
use super::settings::Credential;
use crate::content::{Error, Kind};
use crate::fault::escape;
use crate::oci::Repository;

/// How long before its end a token is no longer used.
const MARGIN: Duration = Duration::from_secs(10);

/// What a call needs: the repository whose login counts, and the scopes of its token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scopes {
    path: String,
    scopes: Vec<String>,
}

impl Scopes {
    /// Reading a repository.
    pub fn pull(repository: &Repository) -> Self {
        let path = repository.path().to_owned();
        Self { scopes: vec![format!("repository:{path}:pull")], path }
    }

    /// Writing a repository.
    pub fn push(repository: &Repository) -> Self {
        let path = repository.path().to_owned();
        Self { scopes: vec![format!("repository:{path}:pull,push")], path }
    }

    /// And reading another one of the same registry.
    pub fn and_pull(mut self, repository: &Repository) -> Self {
        self.scopes.push(format!("repository:{}:pull", repository.path()));
        self.scopes.sort();
        self
    }
}

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

struct Token {
    header: HeaderValue,
    ends: Duration,
}

/// What is known of a registry's logins.
#[derive(Default)]
pub(super) struct Auth {
    challenge: Mutex<Option<Challenge>>,
    tokens: Mutex<HashMap<Scopes, Token>>,
    logins: Mutex<HashMap<String, Option<Arc<Credential>>>>,
    withheld: Mutex<Option<String>>,
}

#[derive(Deserialize)]
struct Granted {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Auth {
    /// Takes the best challenge of a 401: Bearer before Basic. Whether there was one.
    pub fn learn(&self, headers: &HeaderMap) -> bool {
        let found = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| parse(value.to_str().ok()?)).fold(
            None,
            |best, next| match (best, next) {
                (Some(bearer @ Challenge::Bearer { .. }), _) => Some(bearer),
                (_, next) => Some(next),
            },
        );
        let known = found.is_some();
        if known {
            *lock(&self.challenge) = found;
        }
        known
    }

    /// The realm that was given no login though there is one.
    pub fn withheld(&self) -> Option<String> {
        lock(&self.withheld).clone()
    }
}

fn parse(text: &str) -> Option<Challenge> {
    let mut best = None;
    for challenge in http_auth::parse_challenges(text).ok()? {
        let param = |name: &str| {
            let (_, value) = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
            Some(value.to_unescaped())
        };
        if challenge.scheme.eq_ignore_ascii_case("bearer") {
            let realm = param("realm").and_then(|realm| Url::parse(&realm).ok());
            if let Some(realm) = realm.filter(|realm| matches!(realm.scheme(), "http" | "https")) {
                return Some(Challenge::Bearer { realm, service: param("service") });
            }
        } else if challenge.scheme.eq_ignore_ascii_case("basic") {
            best = Some(Challenge::Basic);
        }
    }
    best
}

/// A header value that is not shown and not kept in HTTP/2's tables.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn basic(username: &str, password: &str) -> Option<HeaderValue> {
    let pair = Zeroizing::new(format!("{username}:{password}"));
    let encoded = Zeroizing::new(base64ct::Base64::encode_string(pair.as_bytes()));
    secret(&Zeroizing::new(format!("Basic {}", *encoded)))
}

impl Host {
    fn login(&self, path: &str) -> Result<Option<Arc<Credential>>, Error> {
        // Held while a helper runs: all transfers need the same answer.
        let mut logins = lock(&self.auth.logins);
        if let Some(known) = logins.get(path) {
            return Ok(known.clone());
        }
        let found = (self.settings.credentials)(&self.name, path).map_err(|why| {
            self.error(Kind::Denied, format_args!("login: {}", escape(&why))).help("mend the auth file or its helper")
        })?;
        let found = found.map(Arc::new);
        logins.insert(path.to_owned(), found.clone());
        Ok(found)
    }

    /// The `Authorization` for a call: none before the registry has asked for one.
    pub fn authorization(&self, scopes: &Scopes) -> Result<Option<HeaderValue>, Trouble> {
        let challenge = lock(&self.auth.challenge).clone();
        match challenge {
            None => Ok(None),
            Some(Challenge::Basic) => match self.login(&scopes.path)?.as_deref() {
                Some(Credential::Password { username, password }) => Ok(basic(username, password)),
                Some(Credential::Identity(_)) => {
                    let what = "login: expected a password, found an identity token; it asks for Basic";
                    Err(Trouble::last(self.error(Kind::Denied, what).help("log in again with user and password")))
                }
                None => Ok(None),
            },
            Some(Challenge::Bearer { realm, service }) => {
                // Held while the token is asked for, so that it is asked for once.
                let mut tokens = lock(&self.auth.tokens);
                let now = self.engine.flow.clock().elapsed();
                if let Some(token) = tokens.get(scopes).filter(|token| now < token.ends) {
                    return Ok(Some(token.header.clone()));
                }
                let token = self.token(&realm, service.as_deref(), scopes, now)?;
                let header = token.header.clone();
                tokens.insert(scopes.clone(), token);
                Ok(Some(header))
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
            Some(Challenge::Basic) => sent.is_none() || before != after,
            Some(Challenge::Bearer { .. }) => {
                let mut tokens = lock(&self.auth.tokens);
                if tokens.get(scopes).is_some_and(|token| Some(&token.header) == sent) {
                    tokens.remove(scopes);
                }
                true
            }
        }
    }

    /// Whether the realm may have this registry's login.
    fn may_have_login(&self, home: &Url, realm: &Url) -> bool {
        if origin::same(home, realm) {
            return true;
        }
        let authority = origin::authority(realm);
        let built_in = matches!(
            (self.name.as_str(), authority.as_str()),
            ("docker.io", "auth.docker.io") | ("registry.gitlab.com", "gitlab.com")
        );
        built_in && realm.scheme() == "https"
            || self.settings.realms.iter().any(|(host, named)| *host == self.name && *named == authority)
    }

    fn token(&self, realm: &Url, service: Option<&str>, scopes: &Scopes, now: Duration) -> Result<Token, Trouble> {
        let home = self.base()?;
        let authority = escape(&origin::authority(realm));
        let plain = home.scheme() == "http" || origin::is_loopback(&self.name);
        if realm.scheme() != "https" && !plain {
            let what = format_args!("token server {authority}: expected https, found {}", realm.scheme());
            return Err(Trouble::last(self.error(Kind::Policy, what).help("the registry must name an https realm")));
        }
        if origin::is_forbidden(realm) {
            let what = format_args!("token server {authority}: a link-local or metadata address");
            return Err(Trouble::last(self.error(Kind::Policy, what).help("do not trust this registry")));
        }
        let mut realm = realm.clone();
        let _ = realm.set_username("");
        let _ = realm.set_password(None);
        let mut login = self.login(&scopes.path)?;
        if login.is_some() && !self.may_have_login(&home, &realm) {
            *lock(&self.auth.withheld) = Some(authority.clone());
            login = None;
        }
        let subject = format!("token of {authority}");
        let request = match login.as_deref() {
            Some(Credential::Identity(token)) => {
                let form = refresh(token, service, scopes);
                self.client(&realm)
                    .request(Method::POST, realm)
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(form.as_str().to_owned())
            }
            other => {
                {
                    let mut query = realm.query_pairs_mut();
                    if let Some(service) = service {
                        query.append_pair("service", service);
                    }
                    for scope in &scopes.scopes {
                        query.append_pair("scope", scope);
                    }
                }
                let mut request = self.client(&realm).get(realm);
                if let Some(Credential::Password { username, password }) = other
                    && let Some(value) = basic(username, password)
                {
                    request = request.header(AUTHORIZATION, value);
                }
                request
            }
        };
        let response = self
            .engine
            .wait(self.settings.idle, request.header(ACCEPT, "application/json").send())
            .map_err(|stop| self.stopped(&subject, stop))?
            .map_err(|error| answer::broken(&self.name, &subject, &error))?;
        if retry::passes(response.status().as_u16()) {
            return Err(self.troubled(response, &subject));
        }
        let answer = self.whole(response, SMALL, &subject)?;
        if !answer.status.is_success() {
            let mut error = self.refusal(&answer, &subject);
            if error.kind == Kind::Absent || error.kind == Kind::Refused {
                error.kind = Kind::Denied;
            }
            return Err(Trouble::last(error));
        }
        let wrong = || Trouble::last(self.error(Kind::Failed, format_args!("{subject}: the answer holds no token")));
        let granted: Granted = serde_json::from_slice(&answer.body).map_err(|_| wrong())?;
        let token = granted.token.or(granted.access_token).map(Zeroizing::new);
        let token = token.filter(|token| !token.is_empty()).ok_or_else(wrong)?;
        let header = secret(&Zeroizing::new(format!("Bearer {}", *token))).ok_or_else(wrong)?;
        let lasts = Duration::from_secs(granted.expires_in.unwrap_or(60).clamp(1, 24 * 3600));
        // A token shorter than the margin is still good for a moment.
        let ends = now + lasts.saturating_sub(MARGIN).max(Duration::from_secs(1));
        Ok(Token { header, ends })
    }
}

/// The form of an OAuth2 refresh (distribution's "oauth2 token authentication").
fn refresh(token: &str, service: Option<&str>, scopes: &Scopes) -> Zeroizing<String> {
    let mut form = Zeroizing::new(String::from("grant_type=refresh_token&client_id=packmule"));
    let mut add = |key: &str, value: &str| {
        form.push('&');
        form.push_str(key);
        form.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                form.push(char::from(byte));
            } else {
                form.push('%');
                form.push_str(&crate::oci::digest::encode_hex(&[byte]));
            }
        }
    };
    if let Some(service) = service {
        add("service", service);
    }
    add("scope", &scopes.scopes.join(" "));
    add("refresh_token", token);
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = parse(r#"Bearer realm="https://a/t",service="s",scope="repository:x:pull""#).unwrap();
        assert_eq!(bearer, Challenge::Bearer { realm: "https://a/t".parse().unwrap(), service: Some("s".to_owned()) });
        assert_eq!(parse(r#"Basic realm="x""#), Some(Challenge::Basic));
        assert!(matches!(parse(r#"Basic realm="x", Bearer realm="https://a/t""#), Some(Challenge::Bearer { .. })));
        for none in ["", "Bearer", r#"Bearer realm="file:///etc/passwd""#, "Negotiate", "\"\""] {
            assert_eq!(parse(none), None, "{none}");
        }
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

    #[test]
    fn the_refresh_form_is_encoded() {
        let repository = Repository::new("h", "a/b").unwrap();
        let form = refresh("t&o=k", Some("my registry"), &Scopes::pull(&repository));
        assert_eq!(
            *form,
            "grant_type=refresh_token&client_id=packmule&service=my%20registry&scope=repository%3aa%2fb%3apull&refresh_token=t%26o%3dk"
        );
    }
}
