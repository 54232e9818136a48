//! Building blocks for every module: faults, locks, sizes, times, schemes, redaction of secrets, the name of
//! the program.

pub mod fault;
pub mod lock;
pub mod product;
pub mod redact;
pub mod scheme;
pub mod size;
pub mod time;
