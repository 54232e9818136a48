//! The record of one answered request, and who receives it.

use std::net::SocketAddr;
use std::time::Duration;

/// An answered request. Never holds a header, a query or a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Address of the client.
    pub client: SocketAddr,
    /// User, if a login was asked for and right.
    pub user: Option<String>,
    /// Method.
    pub method: String,
    /// Path as sent, without the query.
    pub path: String,
    /// Version of the protocol: `HTTP/1.1`, `HTTP/2.0`.
    pub version: String,
    /// Status.
    pub status: u16,
    /// Number of bytes of the body that were sent.
    pub bytes: u64,
    /// Whether the body was sent to its end.
    pub is_complete: bool,
    /// Time from the head of the request to the end of the answer.
    pub took: Duration,
}

/// Receives what a server has to say. Called from many threads; must not block for long.
pub trait Log: Send + Sync {
    /// Receives the record of a request.
    fn access(&self, access: Access);
    /// Receives a failure that a client was only told the status of.
    fn failure(&self, text: String);
}
