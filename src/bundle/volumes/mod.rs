//! Locations and files of a bundle's volumes.

pub mod flat;
pub mod foreign_files;
pub mod local;
