//! Nouns that every module may use: sizes, times, faults, the name of the program.

pub mod fault;
pub mod product;
pub mod size;
pub mod time;
