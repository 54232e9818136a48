//! Decisions: pure functions from what was asked and what is there to what is done. Nothing here opens a file or a connection but through [`crate::content`].

pub mod delta;
pub mod plan;
pub mod route;
pub mod select;
pub mod wanted;
