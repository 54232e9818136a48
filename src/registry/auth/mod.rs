//! Logins and tokens: selects the `Authorization` of a request.

pub(super) mod authorization;
pub mod docker_config;
mod entra;
mod form;
pub(super) mod scopes;
pub(super) mod token;
