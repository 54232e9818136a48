//! Nouns that every module may use: sizes, times, faults.

pub mod fault;
pub mod lock;
pub mod size;
pub mod time;
