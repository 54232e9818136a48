//! The HTTP edge: content behind the traits of [`crate::content`] as a read-only OCI registry
//! (distribution-spec 1.1, pull and content discovery).
//!
//! From the bottom up: `path`, `query`, `range` and `htpasswd` read what clients send; `index` says
//! which place holds what, `documents` and `blobs` read it, `pulls` says what is asked of a cache and
//! `arrival` sends a blob while it arrives; `reply`, `registry` and `pulled` answer a request;
//! `handler` adds login, log and counters; `listening` accepts connections within limits, and [`Server`]
//! is all of it. Nothing of a request reaches a place but a parsed name, tag or digest. Places are read
//! on a bounded pool of blocking threads. [`StatusServer`] answers with a few pages about a program
//! instead. Must not know what kind of place content comes from.

mod arrival;
mod blobs;
mod cache;
mod connection;
mod documents;
mod error;
mod handler;
mod htpasswd;
mod index;
mod limits;
mod listening;
mod log;
mod metrics;
mod path;
mod pulled;
mod pulls;
mod query;
mod range;
mod registry;
mod reply;
mod server;
mod status;
mod tls;

pub use self::arrival::{Arrival, Arriving};
pub use self::htpasswd::{Htpasswd, HtpasswdError};
pub use self::index::{Clash, Index};
pub use self::log::{Access, Log};
pub use self::path::ByTagOrDigest;
pub use self::pulls::{Covered, Pulled, Pulls};
pub use self::server::{Page, Server, Settings};
pub use self::status::{Pages, StatusServer};
pub use self::tls::Tls;
