//! What every module may use: faults, locks, sizes, times.

pub mod fault;
pub mod lock;
pub mod size;
pub mod time;
