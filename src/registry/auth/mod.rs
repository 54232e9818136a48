//! Logins and tokens: which challenge counts, and which `Authorization` a call gets.

pub(super) mod authorization;
pub mod docker_config;
pub(super) mod login;
pub(super) mod token;
