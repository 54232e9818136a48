//! Where the files of a bundle lie, and what lies next to them.

pub mod files;
pub mod flat;
pub mod foreign_files;
pub mod local;
