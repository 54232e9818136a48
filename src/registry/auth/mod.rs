//! Logins and tokens: selects the `Authorization` of a request.

pub(super) mod authorization;
pub mod docker_config;
pub(super) mod scopes;
pub(super) mod token;
