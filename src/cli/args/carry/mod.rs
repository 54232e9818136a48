//! Options of commands that write or import: with the feature `carry`.

pub mod channel;
pub mod delta;
pub mod destination;
pub mod selectors;
pub mod size;
