//! Pipelines: what must hold before a bundle leaves, how it leaves its stage, and when the bundle that
//! was imported may be deleted.
//!
//! Knows no configuration; the command line makes the requests.

pub mod deletion;
pub mod release;
pub mod stage;
