//! Registries on the command line: options, configuration, logins, certificates (feature `online`).

pub mod auth_file;
mod bundles;
pub mod certificates;
pub mod config;
pub mod containers;
mod contents;
mod listing;
pub mod logins;
mod options;
mod rate;
pub mod registries;
pub mod replace;
pub mod sources;

pub use self::options::Network;
