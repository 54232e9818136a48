//! Building blocks for every module: faults, locks, sizes, times, schemes and escapes of addresses, redaction of
//! secrets, the name of the program, parts of a run.

pub mod fault;
pub mod lock;
pub mod percent;
pub mod product;
pub mod redact;
pub mod scheme;
pub mod shard;
pub mod size;
pub mod time;
