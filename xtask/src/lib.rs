//! Tasks around the crate that would otherwise be shell scripts, one module each.
//!
//! Nothing here is part of the program, and `src/` must not use it.

pub mod bench;
pub mod ci;
pub mod corpus;
pub mod fuzz;
pub mod guard;
pub mod install;
pub mod services;
pub mod shell;
pub mod tidy;
pub mod vectors;
pub mod windows;
