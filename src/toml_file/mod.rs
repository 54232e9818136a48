//! Support for TOML files that people write: strict spelling of values, and errors with file and
//! line.
//!
//! Does not know the tables of the files or their meaning.

pub mod error;
pub mod spelling;
