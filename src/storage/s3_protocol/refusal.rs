//! Meaning of a failed step: the error to show, and whether another try may succeed.
//!
//! Decides by status and error code, never by the texts of a server.

use std::time::Duration;

use super::record::Reply;
use super::service::is_metadata;
use crate::base::fault::escape;
use crate::content::{Error, Kind};
use crate::network::fate::Fate;
use crate::network::retry;

/// A failed step.
#[derive(Debug)]
pub struct Refusal {
    /// The error to show.
    pub error: Error,
    /// Status of the answer, if there was one.
    pub status: Option<u16>,
    /// Error code in the answer.
    pub code: Box<str>,
    /// Whether another try may succeed.
    pub again: bool,
    /// Whether other credentials may help.
    pub credentials: bool,
    /// Time that the server asked to wait.
    pub after: Option<Duration>,
}

impl Refusal {
    /// Makes the refusal of a step that is not tried again.
    pub fn last(error: Error) -> Self {
        Self { error, status: None, code: Box::default(), again: false, credentials: false, after: None }
    }

    /// Makes the refusal of a step that may succeed later.
    pub fn passing(error: Error) -> Self {
        Self { again: true, ..Self::last(error) }
    }

    /// Returns whether the upload that a request names does not exist, no longer, or not with these parts.
    pub fn is_gone(&self) -> bool {
        (self.status == Some(404) && *self.code != *NO_BUCKET) || &*self.code == "InvalidPart"
    }

    /// Returns whether the store does not know a header or query of the request.
    pub fn is_unsupported(&self) -> bool {
        matches!(self.status, Some(405 | 501)) || &*self.code == "NotImplemented"
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::last(error)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

const NO_BUCKET: &str = "NoSuchBucket";
/// Codes of credentials that have ended, in answers with status 400.
const ENDED: [&str; 4] = ["ExpiredToken", "InvalidToken", "TokenRefreshRequired", "ExpiredTokenException"];
/// Codes of content that changed on its way, in answers with status 400.
const DAMAGED: [&str; 5] =
    ["BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody", "RequestTimeout", "InvalidDigest"];

/// The store that a step was about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its host and port.
    pub home: &'a str,
    /// Whether requests to it have no login.
    pub is_anonymous: bool,
}

/// Converts the reply to a failed step.
pub fn refusal(subject: &str, asked: Asked<'_>, reply: Reply, source: &object_store::Error) -> Refusal {
    if let Some(error) = reply.barred {
        return Refusal::last(error);
    }
    // A token or metadata service was asked, not the store.
    let elsewhere = !reply.host.is_empty() && reply.host != asked.home;
    let place = if elsewhere { format!("credentials from {}", escape(&reply.host)) } else { subject.to_owned() };
    if let Some((fate, text)) = reply.broken {
        let refusal = broken(&place, fate, &text);
        return if elsewhere { without_credentials(refusal, is_metadata(&reply.host)) } else { refusal };
    }
    let Some(status) = reply.status else {
        return Refusal::last(unsent(subject, source));
    };
    let refused = reply.refused.unwrap_or_default();
    let code = refused.code;
    let said = match (code.is_empty(), refused.message.is_empty()) {
        (true, _) => String::new(),
        (false, true) => format!(" {}", escape(&code)),
        (false, false) => format!(" {}: {}", escape(&code), escape(&refused.message)),
    };
    let refuse = |kind: Kind| Error::new(kind, format!("{place}: refused, status {status}{said}"));
    let full = |error: Error, again: bool, credentials: bool| Refusal {
        error,
        status: Some(status),
        code: code.as_str().into(),
        again,
        credentials,
        after: reply.after,
    };
    match status {
        200..=299 if !code.is_empty() => full(refuse(Kind::Failed), true, false),
        200..=299 => {
            let what = format!("{place}: expected an answer of the protocol, found another, status {status}");
            full(Error::new(Kind::Failed, what), true, false)
        }
        300..=399 => {
            let region = reply.headers.get("x-amz-bucket-region").and_then(|value| value.to_str().ok());
            let help = match region {
                Some(region) => format!("the bucket is in region {}: set it in the [storage] table", escape(region)),
                None => "name the bucket's own endpoint and region in the [storage] table".to_owned(),
            };
            full(refuse(Kind::Refused).help(help), false, false)
        }
        400 if ENDED.contains(&code.as_str()) => full(refuse(Kind::Denied).help(RENEW), false, true),
        400 if DAMAGED.contains(&code.as_str()) => full(refuse(Kind::Mismatch), true, false),
        400 if elsewhere => full(refuse(Kind::Denied).help(RENEW), false, true),
        401 | 403 => {
            let help = match code.as_str() {
                "RequestTimeTooSkewed" => "set the clock of this machine",
                "SignatureDoesNotMatch" | "InvalidAccessKeyId" => "check the access key and its secret",
                _ if asked.is_anonymous => {
                    "the bucket is not open to everyone: name a credential in the [storage] table instead of anonymous"
                }
                _ => {
                    "check the credentials and their rights; a store that may not be listed says this of an absent object too"
                }
            };
            full(refuse(Kind::Denied).help(help), false, code != "RequestTimeTooSkewed")
        }
        404 if code == NO_BUCKET => {
            let what = format!("{place}: expected the bucket, found none");
            full(Error::new(Kind::Refused, what).help("check the name of the bucket and its endpoint"), false, false)
        }
        404 => full(refuse(Kind::Absent), false, false),
        409 => full(refuse(Kind::Refused), true, false),
        412 => full(refuse(Kind::Refused), false, false),
        416 => full(refuse(Kind::Mismatch), false, false),
        _ if retry::passes(status) => full(refuse(Kind::Failed), true, false),
        _ => full(refuse(Kind::Refused), false, false),
    }
}

/// Advice for credentials that have ended.
const RENEW: &str = "get new credentials: these have ended or are unknown";

/// Adds advice to the failure of a service that gives credentials. Machines outside a cloud have no
/// metadata service, so that it is not asked again.
fn without_credentials(refusal: Refusal, is_metadata: bool) -> Refusal {
    let help =
        "name a credential in the [storage] table, or set anonymous = true there if the bucket is open to everyone";
    let error = refusal.error.help(help);
    Refusal { again: refusal.again && !is_metadata, error, ..refusal }
}

fn unsent(subject: &str, source: &object_store::Error) -> Error {
    // Nothing was sent: the credentials could not be made, or the name is not possible. The texts of the library
    // may hold parts of a key.
    match source {
        object_store::Error::InvalidPath { .. } => {
            let what = format!("{subject}: expected a name without empty parts and dots, found another");
            Error::new(Kind::Refused, what)
        }
        _ => Error::new(Kind::Policy, format!("{subject}: credentials: expected usable ones, found others"))
            .help("check the keys, the token file and the role in the [storage] table"),
    }
}

fn broken(place: &str, fate: Fate, text: &str) -> Refusal {
    let failed = |what: &str| Error::new(Kind::Failed, format!("{place}: {what}: {}", escape(text)));
    match fate {
        Fate::Never => Refusal::last(failed("not sent")),
        Fate::Certificate => Refusal::last(
            failed("expected a valid certificate, found").help("give the CA that signed it with --ca FILE"),
        ),
        Fate::Alert { .. } => Refusal::last(failed("TLS ended")),
        Fate::NotTls => Refusal::last(failed("no TLS").help("check the address: https needs a port that speaks TLS")),
        Fate::Proxy { .. } => Refusal::last(failed("proxy").help("check the proxy and its login")),
        Fate::HungUp | Fate::Http2 { .. } | Fate::Closed | Fate::Passing => {
            Refusal::passing(failed("connection lost").help("check that the store can be reached from here"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::documents::Refused;
    use super::*;

    const STORE: Asked<'_> = Asked { home: "h", is_anonymous: false };

    fn refused(status: u16, code: &str) -> Refusal {
        let refused = Some(Refused { code: code.to_owned(), message: "why".to_owned() });
        let reply = Reply { host: "h".to_owned(), status: Some(status), refused, ..Reply::default() };
        let source = object_store::Error::NotImplemented { operation: String::new(), implementer: String::new() };
        refusal("s3://b/n", STORE, reply, &source)
    }

    #[test]
    fn classes_follow_status_and_code() {
        for (status, code, kind, again, credentials) in [
            (200, "InternalError", Kind::Failed, true, false),
            (400, "ExpiredToken", Kind::Denied, false, true),
            (400, "BadDigest", Kind::Mismatch, true, false),
            (400, "InvalidArgument", Kind::Refused, false, false),
            (403, "AccessDenied", Kind::Denied, false, true),
            (403, "RequestTimeTooSkewed", Kind::Denied, false, false),
            (404, "NoSuchKey", Kind::Absent, false, false),
            (404, "NoSuchBucket", Kind::Refused, false, false),
            (409, "ConditionalRequestConflict", Kind::Refused, true, false),
            (412, "PreconditionFailed", Kind::Refused, false, false),
            (416, "InvalidRange", Kind::Mismatch, false, false),
            (429, "", Kind::Failed, true, false),
            (501, "NotImplemented", Kind::Refused, false, false),
            (503, "SlowDown", Kind::Failed, true, false),
        ] {
            let found = refused(status, code);
            let seen = (found.error.class, found.again, found.credentials);
            assert_eq!(seen, (kind, again, credentials), "{status} {code}");
        }
        assert!(refused(404, "NoSuchUpload").is_gone() && !refused(404, "NoSuchBucket").is_gone());
        assert!(refused(501, "").is_unsupported());
    }

    #[test]
    fn the_failing_step_is_named() {
        let source = object_store::Error::NotImplemented { operation: String::new(), implementer: String::new() };
        let reply = Reply { host: "sts.example".to_owned(), status: Some(403), ..Reply::default() };
        let error = refusal("s3://b/n", STORE, reply, &source).error;
        assert!(error.what.starts_with("credentials from sts.example"), "{error}");
        for (host, again) in [("169.254.169.254", false), ("metadata.google.internal", false), ("sts.example", true)] {
            let broken = Some((Fate::Closed, "closed".to_owned()));
            let refused =
                refusal("s3://b/n", STORE, Reply { host: host.to_owned(), broken, ..Reply::default() }, &source);
            assert_eq!(refused.again, again, "{host}");
            assert!(refused.error.help.is_some_and(|help| help.contains("anonymous = true")), "{host}");
        }
        let reply = Reply { host: "h".to_owned(), status: Some(403), ..Reply::default() };
        let open = refusal("s3://b/n", Asked { is_anonymous: true, ..STORE }, reply, &source);
        assert!(open.error.help.is_some_and(|help| help.contains("not open to everyone")));
        assert_eq!(refused(403, "AccessDenied").error.what, "s3://b/n: refused, status 403 AccessDenied: why");
    }
}
