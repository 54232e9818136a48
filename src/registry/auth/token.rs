//! Requests tokens from the realm that a registry names, with the login if the realm may receive
//! it.
//!
//! The only file that sends a login to a server other than the registry: to a realm with the
//! registry's own scheme, host and port, to a realm named in the settings, or to one of two
//! well-known realms. Never sends it anywhere else, and never follows a redirect with it.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::authorization::{Auth, Token, basic, secret};
use super::form::{ask, form};
use super::scopes::Scopes;
use crate::base::fault::{differs, escape};
use crate::content::Kind;
use crate::network::origin;
use crate::network::retry::Trouble;
use crate::registry::credential::Credential;
use crate::registry::http::exchange::Http;

/// Time before the end of a token from which on it is no longer used.
const MARGIN: Duration = Duration::from_secs(10);

/// Time for which a token lasts if the server does not say so, in seconds.
const DEFAULT_LIFE: u64 = 60;

/// Answer of a token server. Only a token must be right; everything else is a hint.
#[derive(Deserialize)]
struct Granted {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Value,
}

impl Granted {
    /// Returns the token, if there is one: the first that is not empty.
    fn token(&mut self) -> Option<Zeroizing<String>> {
        let both = [self.token.take(), self.access_token.take()];
        both.into_iter().flatten().map(Zeroizing::new).find(|token| !token.is_empty())
    }

    /// Returns how long the token lasts, at least a second and at most a day. Anything that is not
    /// a number of seconds counts as missing.
    fn life(&self) -> Duration {
        let stated = match &self.expires_in {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse::<f64>().ok(),
            _ => None,
        };
        let day = Duration::from_secs(24 * 3600);
        let stated = stated.filter(|seconds| *seconds >= 0.0);
        let stated = stated.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(day));
        stated.unwrap_or(Duration::from_secs(DEFAULT_LIFE)).clamp(Duration::from_secs(1), day)
    }
}

impl Auth {
    /// Reports whether the realm may receive the login of this registry.
    fn may_have_login(http: &Http, home: &Url, realm: &Url) -> bool {
        if origin::same(home, realm) {
            return true;
        }
        let authority = origin::authority(realm);
        let built_in = matches!(
            (http.rules.login_host.as_str(), authority.as_str()),
            ("docker.io", "auth.docker.io") | ("registry.gitlab.com", "gitlab.com")
        );
        built_in && realm.scheme() == "https" || http.rules.realms.contains(&authority)
    }

    /// Requests a token for `scopes`. Tries once more if the login was refused and a different one
    /// is found now.
    pub fn token(
        &self,
        http: &Http,
        realm: &Url,
        service: Option<&str>,
        scopes: &Scopes,
        now: Duration,
    ) -> Result<Token, Trouble> {
        let login = self.login(http, scopes.path())?;
        match self.token_once(http, realm, service, scopes, now) {
            Err(trouble) if trouble.error.class == Kind::Denied => match login {
                Some(login) if self.another_login(http, scopes.path(), &login)? => {
                    self.token_once(http, realm, service, scopes, now)
                }
                _ => Err(trouble),
            },
            ended => ended,
        }
    }

    fn token_once(
        &self,
        http: &Http,
        realm: &Url,
        service: Option<&str>,
        scopes: &Scopes,
        now: Duration,
    ) -> Result<Token, Trouble> {
        let home = http.base()?;
        let authority = escape(&origin::authority(realm));
        let mut realm = usable(http, &home, realm, &authority)?;
        let mut login = self.login(http, scopes.path())?;
        let trusted = Self::may_have_login(http, &home, &realm);
        if login.is_some() && !trusted {
            self.withhold(&authority);
            login = None;
        }
        let address = realm.clone();
        let client = http.client(&realm, trusted)?;
        let texts = scopes.texts(&http.rules.prefix);
        let subject = format!("token of {authority}");
        let identity = match login.as_deref() {
            Some(Credential::Identity(token)) => Some(token.clone()),
            Some(Credential::Entra(token)) => Some(self.exchange(http, &realm, service, token)?),
            Some(Credential::Password { .. }) | None => None,
        };
        let request = match (identity, login.as_deref()) {
            (Some(token), _) => {
                let form = refresh(&token, service, &texts);
                client
                    .request(Method::POST, realm)
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(form.as_str().to_owned())
            }
            (None, other) => {
                {
                    let mut query = realm.query_pairs_mut();
                    if let Some(service) = service {
                        query.append_pair("service", service);
                    }
                    for scope in &texts {
                        query.append_pair("scope", scope);
                    }
                }
                let mut request = client.get(realm);
                if let Some(Credential::Password { username, password }) = other
                    && let Some(value) = basic(username, password)
                {
                    request = request.header(AUTHORIZATION, value);
                }
                request
            }
        };
        let answer = ask(http, request, &address, &subject)?;
        let answer = match self.granted(http, answer, &subject) {
            Err(trouble) if trouble.error.class == Kind::Denied => {
                if let Some(Credential::Entra(token)) = login.as_deref() {
                    self.forget(token);
                }
                return Err(trouble);
            }
            ended => ended?,
        };
        let wrong = || Trouble::last(http.error(Kind::Failed, format_args!("{subject}: the answer holds no token")));
        let mut granted: Granted = serde_json::from_slice(&answer.body).map_err(|_| wrong())?;
        let token = granted.token().ok_or_else(wrong)?;
        http.settings.clients.secrets.token(&token);
        let header = secret(&Zeroizing::new(format!("Bearer {}", *token))).ok_or_else(wrong)?;
        // A token that lasts less than the margin is still used for a moment.
        let ends = now + granted.life().saturating_sub(MARGIN).max(Duration::from_secs(1));
        Ok(Token { header, ends })
    }
}

/// Returns the address of a token server without a user and a password in it. `home` is the
/// registry's own address.
///
/// # Errors
/// [`Kind::Policy`]: plain http away from loopback, or a forbidden address.
fn usable(http: &Http, home: &Url, realm: &Url, authority: &str) -> Result<Url, Trouble> {
    let both_here = origin::is_loopback(&origin::authority(home)) && origin::is_loopback(&origin::authority(realm));
    let plain = home.scheme() == "http" || both_here;
    if realm.scheme() != "https" && !plain {
        let what = differs(format_args!("token server {authority}"), "https", realm.scheme());
        return Err(Trouble::last(http.error(Kind::Policy, what).help("the registry must name an https realm")));
    }
    if origin::is_forbidden(realm) {
        let what = format_args!("token server {authority}: a link-local or metadata address");
        return Err(Trouble::last(http.error(Kind::Policy, what).help("do not trust this registry")));
    }
    let mut realm = realm.clone();
    let _ = realm.set_username("");
    let _ = realm.set_password(None);
    Ok(realm)
}

/// Returns the form body of an OAuth2 refresh (distribution's "oauth2 token authentication").
fn refresh(token: &str, service: Option<&str>, scopes: &[String]) -> Zeroizing<String> {
    let scopes = scopes.join(" ");
    let mut fields = vec![("grant_type", "refresh_token"), ("client_id", "packmule")];
    fields.extend(service.map(|service| ("service", service)));
    fields.extend([("scope", scopes.as_str()), ("refresh_token", token)]);
    form(&fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Repository;

    #[test]
    fn a_life_that_is_no_number_of_seconds_is_only_a_missing_hint() {
        let granted = |text: &str| serde_json::from_str::<Granted>(text).unwrap();
        for (text, seconds) in [
            ("3600", 3600),
            ("\"3600\"", 3600),
            ("\" 90.5 \"", 90),
            ("3600.0", 3600),
            ("0", 1),
            ("1e300", 86400),
            ("-1", DEFAULT_LIFE),
            ("null", DEFAULT_LIFE),
            ("\"soon\"", DEFAULT_LIFE),
            ("\"NaN\"", DEFAULT_LIFE),
            ("[1]", DEFAULT_LIFE),
            ("{}", DEFAULT_LIFE),
        ] {
            let life = granted(&format!("{{\"token\":\"t\",\"expires_in\":{text}}}")).life();
            assert_eq!(life.as_secs(), seconds, "{text}");
        }
        assert_eq!(granted(r#"{"token":"t"}"#).life().as_secs(), DEFAULT_LIFE);
        let token = |text: &str| granted(text).token().map(|token| token.to_string());
        assert_eq!(token(r#"{"token":"","access_token":"a"}"#).as_deref(), Some("a"));
        assert_eq!(token(r#"{"token":"t","access_token":"a"}"#).as_deref(), Some("t"));
        assert_eq!(token(r#"{"token":null,"access_token":""}"#), None);
    }

    #[test]
    fn the_refresh_form_is_encoded() {
        let repository = Repository::new("h.example", "a/b").unwrap();
        let form = refresh("t&o=k", Some("my registry"), &Scopes::pull(&repository).texts(""));
        assert_eq!(
            *form,
            "grant_type=refresh_token&client_id=packmule&service=my%20registry&scope=repository%3aa%2fb%3apull&refresh_token=t%26o%3dk"
        );
    }
}
