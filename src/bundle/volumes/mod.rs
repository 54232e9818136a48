//! Locations and files of a bundle.

pub mod files;
pub mod flat;
pub mod foreign_files;
pub mod local;
