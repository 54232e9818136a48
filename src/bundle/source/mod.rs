//! A trusted bundle as a source of artifacts.

pub(super) mod blob_cache;
mod blob_reader;
pub(super) mod cache;
mod lists;
#[cfg(feature = "carry")]
pub mod one_pass;
pub(super) mod random;
mod ranges;
mod shared;
