//! Checks whole bundles, and finds what is missing or damaged in them (`spec/verification.md`).

pub(super) mod closure;
pub mod damage;
mod files;
mod flat;
pub mod gate;
pub mod joined;
pub mod one_pass;
pub mod parallel;
mod runs;
pub mod seen;
pub mod shard;
pub(super) mod unit;
mod workers;

use super::sync;
