//! HTTP with registries: requests, redirects, connections, outages. Must not know about the
//! distribution protocol, and leaves logging in to `auth`.

pub(super) mod body;
pub(super) mod connection;
pub(super) mod encoding;
pub(super) mod exchange;
pub mod headers;
pub(super) mod health;
pub(super) mod outage;
pub(super) mod ping;
pub(super) mod request;
pub(super) mod response;
pub(super) mod stream;
pub(super) mod tries;
