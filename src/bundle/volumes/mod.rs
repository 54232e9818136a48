//! Where the volumes of a bundle lie.

pub mod flat;
pub mod local;
