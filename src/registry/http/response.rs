//! Responses of a registry: converts statuses and error bodies to the errors of [`crate::content`].
//!
//! Escapes everything that a registry sends. Does not show addresses, since redirects have secrets
//! in their queries.

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;
use serde_json::Value;

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
    #[serde(default)]
    detail: Value,
}

/// Maximum number of errors of one response that are shown.
const MOST_SHOWN: usize = 8;
/// Error codes that another try of the same request cannot change, even if the status says that the
/// server failed: some registries answer with the status of the first of several errors.
const FINAL: [&str; 5] =
    ["MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID", "MANIFEST_UNVERIFIED", "NAME_INVALID", "DIGEST_INVALID"];

impl One {
    /// Returns code and message, and the detail with `with_detail`.
    fn text(&self, with_detail: bool) -> String {
        let mut text = self.code.clone();
        if let Some(message) = self.message.as_ref().filter(|message| !message.is_empty()) {
            text.push_str(&format!("{}{}", if text.is_empty() { "" } else { ": " }, message));
        }
        let detail = match &self.detail {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Array(list) if list.is_empty() => String::new(),
            Value::Object(members) if members.is_empty() => String::new(),
            other => other.to_string(),
        };
        if with_detail && !detail.is_empty() && self.message.as_ref() != Some(&detail) {
            text.push_str(&format!("{}{}", if text.is_empty() { "" } else { ", " }, detail));
        }
        text
    }
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

    /// Returns the errors in the body with their details, escaped and in parentheses; empty if
    /// there are none.
    pub fn words(&self) -> String {
        let errors = self.errors();
        let mut texts: Vec<String> = Vec::new();
        for text in errors.iter().take(MOST_SHOWN).map(|error| escape(&error.text(true))) {
            if !text.is_empty() && !texts.contains(&text) {
                texts.push(text);
            }
        }
        if errors.len() > MOST_SHOWN {
            texts.push(format!("{} more", errors.len() - MOST_SHOWN));
        }
        if texts.is_empty() { String::new() } else { format!(" ({})", texts.join("; ")) }
    }

    /// Returns the codes and messages of all errors in the body, to be searched.
    pub fn codes_and_messages(&self) -> String {
        self.errors().iter().map(|error| error.text(false)).collect::<Vec<_>>().join("\n")
    }

    /// Reports whether another try of the same request cannot succeed, although the status says
    /// that the server failed.
    pub fn is_final(&self) -> bool {
        self.status.is_server_error() && FINAL.iter().any(|code| self.says(code))
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
            _ if self.is_final() => Kind::Refused,
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
        let status = self.status.as_u16();
        let error = Error::new(kind, format!("registry {host}: {subject}: {found}, status {status}{}", self.words()));
        // A login, or another address, would change all of these. What a login may do differs by name.
        let error = match kind {
            Kind::Denied if shut_out || self.status == StatusCode::UNAUTHORIZED => {
                error.caused_by(format!("registry {host}: {found}, status {status}"), subject)
            }
            _ => error,
        };
        match kind {
            Kind::Denied if shut_out => {
                error.help(format!("allow this machine in the firewall of {host}, or use a proxy that it allows"))
            }
            Kind::Denied if self.status == StatusCode::UNAUTHORIZED => error.help(format!(
                "log in with `packmule login {host} -u USER`, or check that the login there is has this permission"
            )),
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

    #[test]
    fn all_errors_are_shown_with_their_detail() {
        let body = r#"{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{}},
            {"code":"UNKNOWN","message":"unknown error"},
            {"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown","detail":{"digest":"sha256:0"}},
            {"code":"DENIED","message":null,"detail":"no\u0007"},{"message":"m","detail":[]},{}]}"#;
        let several = answer(500, body);
        let words = r#" (UNKNOWN: unknown error; MANIFEST_BLOB_UNKNOWN: blob unknown, {\"digest\":\"sha256:0\"}; DENIED, no\u{7}; m)"#;
        assert_eq!(several.words().replace('\\', ""), words.replace('\\', ""));
        assert!(several.is_final() && several.refusal("h", "s").class == Kind::Refused);
        assert!(!several.codes_and_messages().contains("sha256"));
        assert!(!answer(404, body).is_final(), "may have been pushed just now");
        assert!(!answer(500, r#"{"errors":[{"code":"UNKNOWN"}]}"#).is_final());
        let many: Vec<_> =
            (0..30).map(|number| serde_json::json!({"code": format!("{number}{}", "x".repeat(1000))})).collect();
        let long = answer(400, &serde_json::json!({ "errors": many }).to_string()).words();
        assert!(long.contains("…; 7x") && long.ends_with("…; 22 more)") && long.len() < 4000, "{long}");
    }
}
