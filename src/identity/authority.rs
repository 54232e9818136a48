//! Tokens from the login authority of a cloud (OAuth 2.0 client credentials): for an application with a secret, and for
//! a workload with a token of its own platform.

use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::cloud::{self, Cloud};
use super::kept::Fresh;
use super::web::{Ask, Web, form};
use crate::base::fault::escape;
use crate::content::{Error, Kind};

/// Longest time that a token is believed to last.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Time that a token lasts if nobody says so.
const UNSAID: Duration = Duration::from_secs(300);

/// Proof of an application.
pub(super) enum Proof<'a> {
    /// Its secret.
    Secret(&'a str),
    /// A token that its own platform signed.
    Assertion(&'a str),
}

/// An answer with a token, of the login authority or a metadata service.
#[derive(Deserialize)]
pub(super) struct Granted {
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    expires_on: Value,
}

/// An answer without a token.
#[derive(Default, Deserialize)]
pub(super) struct Refused {
    #[serde(default)]
    error: Value,
    #[serde(default)]
    error_codes: Vec<i64>,
}

impl Refused {
    /// Reads the answer; what it says in words stays out, since it may repeat anything.
    pub fn read(body: &[u8]) -> String {
        let refused: Self = serde_json::from_slice(body).unwrap_or_default();
        let name = refused
            .error
            .as_str()
            .filter(|name| name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        let code = refused.error_codes.first().map(|code| format!("AADSTS{code}"));
        let words: Vec<_> = name.map(ToOwned::to_owned).into_iter().chain(code).collect();
        words.join(", ")
    }
}

fn seconds(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Reads the token of an answer. `now`: the seconds since 1970.
pub(super) fn granted(body: &[u8], now: i64) -> Option<Fresh> {
    let answer: Granted = serde_json::from_slice(body).ok()?;
    let value = Zeroizing::new(answer.access_token?);
    let until = || seconds(&answer.expires_on)?.checked_sub(u64::try_from(now).ok()?);
    let life = seconds(&answer.expires_in).or_else(until).map_or(UNSAID, Duration::from_secs).min(DAY);
    let is_header = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
    is_header.then_some(Fresh { value, life: Some(life) })
}

/// Requests a token for `resource` from the login authority.
pub(super) fn token(
    web: &Web,
    cloud: &Cloud,
    (tenant, client): (&str, &str),
    proof: &Proof<'_>,
    resource: &str,
) -> Result<Fresh, Error> {
    let wrong = |what: &str| {
        Error::new(Kind::Policy, format!("login authority {}: {what}", escape(&cloud.authority)))
            .help("set cloud to the addresses of the identity's own cloud")
    };
    let mut url = Url::parse(&cloud.authority).map_err(|_| wrong("expected an address, found something else"))?;
    if !cloud::is_safe(&url) {
        return Err(wrong("expected https, found another scheme"));
    }
    url.path_segments_mut()
        .map_err(|()| wrong("expected an address, found something else"))?
        .pop_if_empty()
        .extend([tenant, "oauth2", "v2.0", "token"]);
    let mut fields = vec![("client_id", client), ("grant_type", "client_credentials")];
    let scope = format!("{resource}/.default");
    fields.push(("scope", &scope));
    match proof {
        Proof::Secret(secret) => fields.push(("client_secret", secret)),
        Proof::Assertion(token) => {
            fields.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
            fields.push(("client_assertion", token));
        }
    }
    let host = url.host_str().unwrap_or_default().to_owned();
    let subject = format!("token of {}: application {}", escape(&host), escape(client));
    let answer = web.ask(&subject, &Ask::post(url, form(&fields)))?;
    match answer.status {
        200 => granted(&answer.body, web.now())
            .ok_or_else(|| Error::new(Kind::Failed, format!("{subject}: expected a token in the answer, found none"))),
        status => {
            let why = Refused::read(&answer.body);
            let why = if why.is_empty() { format!("status {status}") } else { why };
            let help = match proof {
                Proof::Secret(_) => "check tenant, client_id and whether the application's secret has ended",
                Proof::Assertion(_) => "check the federated credential of the application: issuer, subject, audience",
            };
            Err(Error::new(Kind::Denied, format!("{subject}: refused: {why}")).help(help))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_in_every_form() {
        for (body, life) in [
            (r#"{"access_token":"t","expires_in":3599}"#, 3599),
            (r#"{"access_token":"t","expires_in":"3599","expires_on":"1"}"#, 3599),
            (r#"{"access_token":"t","expires_on":"1700003600"}"#, 3600),
            (r#"{"access_token":"t","expires_on":1700000000}"#, 0),
            (r#"{"access_token":"t","expires_on":"12/01/2023 10:00:00 AM +00:00"}"#, 300),
            (r#"{"access_token":"t"}"#, 300),
            (r#"{"access_token":"t","expires_in":99999999999}"#, 86400),
        ] {
            let fresh = granted(body.as_bytes(), 1_700_000_000).unwrap();
            assert_eq!((fresh.value.as_str(), fresh.life), ("t", Some(Duration::from_secs(life))), "{body}");
        }
        for other in
            ["", "{}", r#"{"access_token":""}"#, r#"{"access_token":"a b"}"#, r#"{"access_token":"a\n"}"#, "[]"]
        {
            assert!(granted(other.as_bytes(), 0).is_none(), "{other}");
        }
    }

    #[test]
    fn a_refusal_keeps_its_codes_and_not_its_words() {
        let body = br#"{"error":"invalid_client","error_description":"AADSTS7000215: canary","error_codes":[7000215]}"#;
        assert_eq!(Refused::read(body), "invalid_client, AADSTS7000215");
        for other in [&b"canary"[..], br#"{"error":{"code":"canary"}}"#, br#"{"error":"Canary 1"}"#] {
            assert_eq!(Refused::read(other), "");
        }
    }
}
