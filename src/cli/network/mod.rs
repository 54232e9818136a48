//! Registries on the command line: options, configuration, logins, certificates (feature `online`).

pub mod auth_file;
pub mod buckets;
mod bundles;
pub mod certificates;
pub mod config;
pub mod containers;
mod contents;
pub mod edit;
mod listing;
pub mod logins;
mod options;
mod rate;
pub mod registries;
pub mod replace;
pub mod rule_sources;
pub mod sources;
pub mod wanted_file;

pub use self::options::Network;
