//! Registries on the command line: options, configuration, logins, certificates (feature `online`).

pub mod auth_file;
pub mod certificates;
pub mod config;
mod contents;
pub mod edit;
mod listing;
pub mod logins;
mod options;
mod rate;
pub mod registries;
pub mod replace;
pub mod sources;
pub mod wanted_file;

pub use self::options::Network;
