//! Turns frames on a medium into checked pieces of the tar stream.

#[cfg(feature = "carry")]
pub(super) mod built;
#[cfg(feature = "carry")]
pub(super) mod limiter;
pub mod media;
pub(super) mod members;
pub(super) mod one_pass;
pub(super) mod pool;
pub(super) mod random;
