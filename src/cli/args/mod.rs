//! Options and arguments, and their conversion from text to values.

pub mod bundle;
#[cfg(feature = "carry")]
pub mod carry;
pub mod container;
pub mod place;
pub mod scan;
pub mod shard;
pub mod time;
pub mod trust;
