//! HTTP with one registry: connections, retries, pace, redirects. Knows nothing of the distribution protocol.

pub(super) mod call;
pub(super) mod certificate;
pub(super) mod clients;
pub(super) mod connection;
pub mod headers;
pub(super) mod origin;
pub(super) mod pace;
pub(super) mod rate;
pub(super) mod resolver;
pub(super) mod response;
pub(super) mod retry;
pub(super) mod runtime;
pub(super) mod upload_body;
