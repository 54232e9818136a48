//! Writing a bundle: append only, killed and continued at any point.

pub(super) mod digests;
pub(super) mod fetch;
pub mod flat;
pub mod frames;
pub(super) mod journal;
pub mod output;
pub(super) mod pass;
pub mod publish;
pub mod read_back;
pub mod resume;
pub mod writer;
