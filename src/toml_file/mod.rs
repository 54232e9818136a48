//! Files that people write in TOML: values in their one spelling, and faults with file and line.
//!
//! Which tables there are and what they mean is not known here.

pub mod error;
pub mod spelling;
