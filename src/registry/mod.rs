//! Registries: a place that speaks the OCI distribution protocol over HTTP.
//!
//! From below: `settings`, `credential` and `rules` are values; `http` exchanges requests and knows no logins; `auth` knows
//! logins and tokens; `api` asks whole questions of the protocol; [`Registries`] chooses the registry and has the blocking
//! traits of [`crate::content`]. Knows nothing of bundles, reads no environment and no file.

mod api;
pub mod auth;
mod credential;
pub mod http;
mod registries;
mod rules;
mod settings;

pub use self::credential::Credential;
pub use self::http::rate::Limits;
pub use self::http::secrets::Secrets;
pub use self::registries::Registries;
pub use self::settings::{ClientCertificate, HostLookup, HostSettings, Lookup, Proxies, Settings};
