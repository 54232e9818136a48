//! Parts that all protocols over the network share: the runtime, HTTP clients and their settings, addresses and
//! their resolution, certificates, bodies of uploads, secrets that were sent, waits between tries, pace and rate of
//! requests. Must not know about registries or blob storage.

pub mod certificate;
pub mod clients;
pub mod fate;
pub mod origin;
pub mod pace;
pub mod rate;
pub mod resolver;
pub mod retry;
pub mod runtime;
pub mod secret_source;
pub mod secrets;
pub mod settings;
pub mod tls;
pub mod upload_body;
