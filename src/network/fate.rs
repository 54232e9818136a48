//! Classifies failed connections from the errors of the libraries.
//!
//! The only file that looks at the texts of those errors; callers decide what to do.

use std::error::Error as _;

/// Reason for the failure of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The certificate is not accepted.
    Certificate,
    /// The server ended TLS because of the version or our certificate.
    Alert {
        /// It may require a client certificate.
        wants_certificate: bool,
    },
    /// The server answered with something other than TLS.
    NotTls,
    /// The server closed the connection while it was being made.
    HungUp,
    /// HTTP/2 failed.
    Http2 {
        /// The server asks for HTTP/1.1.
        wants_http1: bool,
    },
    /// The proxy refused the connection.
    Proxy {
        /// It requires a login.
        wants_login: bool,
    },
    /// The server closed the connection as soon as it was made.
    Closed,
    /// Anything else; may be temporary.
    Passing,
    /// The request is invalid and cannot be sent.
    Never,
}

/// Returns the reason for a failed connection, and the innermost text of its error.
pub fn look(error: &reqwest::Error) -> (Fate, String) {
    let mut texts: Vec<String> = Vec::new();
    let mut broke = false;
    let mut cause = error.source();
    while let Some(one) = cause {
        if let Some(io) = one.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
            broke |= matches!(io.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted);
        }
        texts.push(one.to_string());
        cause = one.source();
    }
    let text = texts.last().cloned().filter(|text| !text.is_empty());
    let text = text.unwrap_or_else(|| if error.is_timeout() { "timed out" } else { "broke off" }.to_owned());
    if error.is_builder() {
        return (Fate::Never, text);
    }
    // rustls, hyper and h2 are not direct dependencies, so only the texts of their errors are
    // available.
    let any = |parts: &[&str]| texts.iter().any(|text| parts.iter().any(|part| text.contains(part)));
    let last = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    let fate = if any(&["tunnel error"]) {
        Fate::Proxy { wants_login: last(&["authorization required", "407"]) }
    } else if any(&["peer certificate", "certificate not valid"]) {
        Fate::Certificate
    } else if any(&["fatal alert", "peer is incompatible"]) {
        Fate::Alert { wants_certificate: last(&["CertificateRequired", "BadCertificate", "HandshakeFailure"]) }
    } else if last(&["corrupt message"]) {
        Fate::NotTls
    } else if any(&["corrupt message"]) || (error.is_connect() && broke) {
        Fate::HungUp
    } else if any(&["http2 error", "stream error", "connection error received", "connection error detected"]) {
        Fate::Http2 { wants_http1: last(&["HTTP/1.1", "HTTP_1_1"]) }
    } else if matches!(
        text.as_str(),
        "channel closed" | "connection closed before message completed" | "connection closed"
    ) {
        Fate::Closed
    } else {
        Fate::Passing
    };
    (fate, text)
}
