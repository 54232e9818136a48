//! Registries: places that speak the OCI distribution protocol over HTTP.
//!
//! From the bottom up: `settings`, `credential` and `rules` are values; `http` sends requests and
//! does not log in; `auth` handles logins and tokens; `api` implements the calls of the protocol;
//! [`Registries`] selects the registry and implements the blocking traits of [`crate::content`].
//! Must not know about bundles, and must not read the environment or files.

mod api;
pub mod auth;
mod credential;
pub mod http;
mod registries;
mod rules;
mod settings;

pub use self::credential::Credential;
pub use self::registries::Registries;
pub use self::settings::{Home, HomeLookup, Lookup, Settings};
