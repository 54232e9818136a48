//! Options and operands: from what was typed to resolved values.

pub mod bundle;
#[cfg(feature = "carry")]
pub mod channel;
#[cfg(feature = "carry")]
pub mod delta;
#[cfg(feature = "carry")]
pub mod destination;
#[cfg(feature = "online")]
pub mod network;
pub mod place;
pub mod scan;
#[cfg(feature = "carry")]
pub mod selectors;
#[cfg(feature = "carry")]
pub mod size;
pub mod trust;

#[cfg(all(feature = "carry", not(feature = "online")))]
pub use crate::cli::offline as network;
