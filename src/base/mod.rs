//! Building blocks for every module: faults, locks, sizes, times, schemes and escapes of addresses, redaction of
//! secrets, the name of the program.

pub mod fault;
pub mod lock;
pub mod percent;
pub mod product;
pub mod redact;
pub mod scheme;
pub mod size;
pub mod time;
