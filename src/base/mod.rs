//! What every module may use: faults, locks, sizes, times, text without secrets.

pub mod fault;
pub mod lock;
pub mod redact;
pub mod size;
pub mod time;
