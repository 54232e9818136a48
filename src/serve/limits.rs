//! Limits of one server: what it spends at most, and for how long it waits.

use std::time::Duration;

/// Maximum number of connections; others wait until one ends.
pub(super) const CONNECTIONS: usize = 1000;
/// Memory in bytes for blobs that are read at once; others wait for their turn. One that needs more
/// is read alone.
pub(super) const READING: u64 = 64 << 20;
/// Smallest amount of it that is counted.
pub(super) const UNIT: u64 = 64 << 10;
/// Memory in bytes for each of these blobs besides its reader: chunks, and what the connection holds.
pub(super) const SENDING: u64 = 1 << 20;
/// Maximum number of threads that read.
pub(super) const READERS: usize = 32;
/// Maximum number of threads that wait for upstreams.
pub(super) const PULLING: usize = 64;
/// Maximum number of threads that wait for one upstream, so that one that hangs leaves some for others.
pub(super) const PULLING_FROM_ONE: usize = 16;
/// Maximum number of requests that wait for one upstream; others are told to try again.
pub(super) const PULLS: usize = 512;
/// Maximum size in bytes of a request's line and headers.
pub(super) const HEAD: usize = 32 << 10;
/// Maximum number of headers.
pub(super) const HEADERS: usize = 100;
/// Maximum number of requests at once on one HTTP/2 connection.
pub(super) const H2_STREAMS: u32 = 100;
/// Maximum time for the TLS handshake, and for the head of a request.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(15);
/// Maximum time in which a client takes [`LEAST`] bytes while it keeps this server waiting.
pub(super) const STALL: Duration = Duration::from_secs(30);
/// Number of bytes that a client must take in [`STALL`].
pub(super) const LEAST: u64 = 64 << 10;
/// Maximum time for which a connection stays open without a byte in either direction.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// Interval between two pings on an HTTP/2 connection, and the time for its answer.
pub(super) const PING: Duration = Duration::from_secs(30);
/// Time for requests that are being answered when the server is told to stop.
pub(super) const DRAIN: Duration = Duration::from_secs(10);
/// Maximum number of entries of a list; further ones follow under `Link`.
pub(super) const ENTRIES: usize = 10_000;
/// Maximum size in bytes of a list of referrers; further ones follow under `Link`.
pub(super) const REFERRERS: usize = 4 << 20;
/// Maximum number of logins that are checked at once; each takes the time that its hash was made to
/// take.
pub(super) const LOGINS: usize = 2;
/// Maximum number of logins that wait to be checked; others are told to try again.
pub(super) const WAITING: usize = 64;
/// Largest accepted cost of a bcrypt hash: each step doubles the work of a check.
pub(super) const COST: u32 = 14;
