//! Responses of a registry: converts statuses and error bodies to the errors of [`crate::content`].
//!
//! Escapes everything that a registry sends. Does not show addresses, since redirects have secrets
//! in their queries.

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;

use crate::base::fault::escape;
use crate::content::{Error, Kind};

/// A complete response.
pub(in crate::registry) struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, limited in size by the caller.
    pub body: Bytes,
}

#[derive(Deserialize, Default)]
struct Errors {
    #[serde(default)]
    errors: Vec<One>,
}

#[derive(Deserialize)]
struct One {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
}

impl Answer {
    /// Returns a header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the media type without parameters.
    pub fn media_type(&self) -> Option<&str> {
        let text = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        Some(text.split(';').next().unwrap_or_default().trim())
    }

    fn errors(&self) -> Vec<One> {
        serde_json::from_slice::<Errors>(&self.body).unwrap_or_default().errors
    }

    /// Reports whether the response has this error code.
    pub fn says(&self, code: &str) -> bool {
        self.errors().iter().any(|error| error.code.eq_ignore_ascii_case(code))
    }

    /// Returns the code and message of the first error in the body, escaped; empty if there is
    /// none.
    pub fn words(&self) -> String {
        let Some(first) = self.errors().into_iter().next() else { return String::new() };
        let text = match first.message {
            Some(message) if !message.is_empty() => format!("{}: {message}", first.code),
            _ => first.code,
        };
        format!(" ({})", escape(&text))
    }

    /// Reports whether the error messages are about a firewall, which no login changes.
    fn is_about_the_address(&self) -> bool {
        let about = |message: &str| {
            let message = message.to_ascii_lowercase();
            ["client with ip", "ip address", "firewall"].iter().any(|words| message.contains(words))
        };
        self.errors().iter().filter_map(|error| error.message.as_deref()).any(about)
    }

    /// Returns the error for an unexpected response about `subject`.
    pub fn refusal(&self, host: &str, subject: &str) -> Error {
        let kind = match self.status.as_u16() {
            401 | 403 => Kind::Denied,
            404 | 410 => Kind::Absent,
            408 | 429 => Kind::Failed,
            400..=499 => Kind::Refused,
            _ => Kind::Failed,
        };
        let shut_out = kind == Kind::Denied && self.is_about_the_address();
        let found = match kind {
            Kind::Denied if shut_out => "this machine's address is blocked",
            Kind::Absent => "not found",
            Kind::Denied if self.status == StatusCode::UNAUTHORIZED => "login refused or missing",
            Kind::Denied => "not permitted",
            Kind::Refused => "refused",
            _ if self.status == StatusCode::TOO_MANY_REQUESTS => "too many requests",
            _ => "expected success",
        };
        let error = Error::new(
            kind,
            format!("registry {host}: {subject}: {found}, status {}{}", self.status.as_u16(), self.words()),
        );
        match kind {
            Kind::Denied if shut_out => {
                error.help(format!("allow this machine in the firewall of {host}, or use a proxy that it allows"))
            }
            Kind::Denied => error.help(format!("check that the login for {host} exists and has this permission")),
            Kind::Absent => error.help("check the name; a registry may hide what the login has no access to"),
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn statuses_become_kinds() {
        for (status, kind) in [
            (401, Kind::Denied),
            (403, Kind::Denied),
            (404, Kind::Absent),
            (400, Kind::Refused),
            (405, Kind::Refused),
            (429, Kind::Failed),
            (503, Kind::Failed),
        ] {
            assert_eq!(answer(status, "").refusal("h", "s").class, kind, "{status}");
        }
    }

    #[test]
    fn i9_a_firewall_is_told_from_a_wrong_login() {
        let text = r#"{"errors":[{"code":"DENIED","message":"client with IP '192.0.2.7' is not allowed access"}]}"#;
        let shut_out = answer(403, text).refusal("h:1", "ping");
        assert!(shut_out.what.contains("address is blocked") && shut_out.help.unwrap().contains("firewall"));
        let login = answer(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#);
        assert!(login.refusal("h:1", "ping").help.unwrap().contains("login"));
    }

    #[test]
    fn the_registrys_words_are_shown_escaped() {
        let refused = answer(400, r#"{"errors":[{"code":"TAG_INVALID","message":"immutable\u001b[2J"}]}"#);
        let what = refused.refusal("h:1", "tag a").what;
        assert_eq!(what, "registry h:1: tag a: refused, status 400 (TAG_INVALID: immutable\\u{1b}[2J)");
        assert!(refused.says("tag_invalid") && !refused.says("DENIED"));
        assert!(answer(400, "<html>").refusal("h", "s").what.ends_with("status 400"));
    }
}
