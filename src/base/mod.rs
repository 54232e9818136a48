//! What every module may use: faults, locks, sizes, times, text without secrets, the name of the program.

pub mod fault;
pub mod lock;
pub mod product;
pub mod redact;
pub mod size;
pub mod time;
