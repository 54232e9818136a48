//! Errors as the distribution-spec writes them: a status, a code, a message.

use axum::http::StatusCode;
use serde_json::json;

use super::path::PathError;

/// A refusal. Its message never contains anything of the machine: no paths, no errors of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// No such repository.
    pub(super) fn name_unknown(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", format!("repository {name}: not served here"))
    }

    /// No such manifest.
    pub(super) fn manifest_unknown(name: &str, reference: &dyn std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", format!("{name}: no manifest {reference}"))
    }

    /// No such blob.
    pub(super) fn blob_unknown(name: &str, digest: &dyn std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", format!("{name}: no blob {digest}"))
    }

    /// A method that would write, or that nobody knows.
    pub(super) fn unsupported() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "this registry is read-only")
    }

    /// A place failed; the reason is in the server's own log.
    pub(super) fn failed() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the content could not be read")
    }

    /// Not here, but listed to be brought.
    pub(super) fn wanted(name: &str, reference: &dyn std::fmt::Display) -> Self {
        let message =
            format!("{name}: {reference} is not here; it was put on the list of what the next bundle should bring");
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message)
    }

    /// The upstream failed; the reason is in the server's own log.
    pub(super) fn upstream() -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "UNKNOWN", "the content is not kept here, and its source could not give it")
    }

    /// Too many clients wait for content that is being fetched.
    pub(super) fn crowded() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", "too many clients wait for content that is fetched")
    }

    /// A malformed request.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", message)
    }

    /// Returns the body.
    pub(super) fn body(&self) -> Vec<u8> {
        json!({ "errors": [{ "code": self.code, "message": self.message }] }).to_string().into_bytes()
    }
}

impl From<PathError> for Refusal {
    fn from(error: PathError) -> Self {
        let (status, code, message) = match error {
            PathError::Unknown => (StatusCode::NOT_FOUND, "NOT_FOUND", "no such path"),
            PathError::Name => (StatusCode::BAD_REQUEST, "NAME_INVALID", "expected the name of a repository"),
            PathError::Reference => (StatusCode::BAD_REQUEST, "TAG_INVALID", "expected a tag or a digest"),
            PathError::Digest => (StatusCode::BAD_REQUEST, "DIGEST_INVALID", "expected sha256:HEX or sha512:HEX"),
        };
        Self::new(status, code, message)
    }
}
