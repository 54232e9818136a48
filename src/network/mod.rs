//! Parts that all protocols over the network share: the runtime, addresses and their resolution, certificates,
//! waits between tries, pace and rate of requests. Must not know about registries or blob storage.

pub mod certificate;
pub mod origin;
pub mod pace;
pub mod rate;
pub mod resolver;
pub mod retry;
pub mod runtime;
pub mod secret_source;
