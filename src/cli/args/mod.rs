//! Options and operands: from what was typed to resolved values.

pub mod bundle;
#[cfg(feature = "carry")]
pub mod carry;
pub mod place;
pub mod scan;
pub mod time;
pub mod trust;
