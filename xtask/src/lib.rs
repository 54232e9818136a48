//! What would otherwise be shell: the tasks around the crate, each a module.
//!
//! Nothing here is part of the program; nothing in `src/` may use it.

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
