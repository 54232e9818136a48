//! Logins and tokens: which `Authorization` a request gets.

pub(super) mod authorization;
pub mod docker_config;
pub(super) mod scopes;
pub(super) mod token;
