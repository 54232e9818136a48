//! What a registry answered, in the words of [`crate::content`]: statuses and error bodies.
//!
//! Everything from the wire is escaped; addresses are not shown, since redirects carry secrets in
//! their queries.

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;

use crate::content::{Error, Kind};
use crate::fault::escape;

/// A whole answer.
pub(super) struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, capped by whoever asked.
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
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The media type, without parameters.
    pub fn media_type(&self) -> Option<&str> {
        let text = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        Some(text.split(';').next().unwrap_or_default().trim())
    }

    fn errors(&self) -> Vec<One> {
        serde_json::from_slice::<Errors>(&self.body).unwrap_or_default().errors
    }

    /// Whether the answer names this error code.
    pub fn says(&self, code: &str) -> bool {
        self.errors().iter().any(|error| error.code.eq_ignore_ascii_case(code))
    }

    /// The registry's own words: code and message of its first error.
    fn words(&self) -> String {
        let Some(first) = self.errors().into_iter().next() else { return String::new() };
        let text = match first.message {
            Some(message) if !message.is_empty() => format!("{}: {message}", first.code),
            _ => first.code,
        };
        format!(" ({})", escape(&text))
    }

    /// The error that an unexpected answer to a question about `subject` is.
    pub fn refusal(&self, host: &str, subject: &str) -> Error {
        let kind = match self.status.as_u16() {
            401 | 403 => Kind::Denied,
            404 | 410 => Kind::Absent,
            408 | 429 => Kind::Failed,
            400..=499 => Kind::Refused,
            _ => Kind::Failed,
        };
        let found = match kind {
            Kind::Absent => "not found",
            Kind::Denied if self.status == StatusCode::UNAUTHORIZED => "login refused or missing",
            Kind::Denied => "not permitted",
            Kind::Refused => "refused",
            _ if self.status == StatusCode::TOO_MANY_REQUESTS => "it limits our requests",
            _ => "expected success",
        };
        let error = Error::new(
            kind,
            format!("registry {host}: {subject}: {found}, status {}{}", self.status.as_u16(), self.words()),
        );
        match kind {
            Kind::Denied => error.help(format!("check that the login for {host} is there and may do this")),
            Kind::Absent => error.help("check the name; a registry may hide what the login may not see"),
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
            assert_eq!(answer(status, "").refusal("h", "s").kind, kind, "{status}");
        }
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
