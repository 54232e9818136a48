//! Checking whole bundles, and what they lack (`spec/verification.md`).

pub(super) mod closure;
pub mod damage;
pub mod gate;
pub mod one_pass;
pub mod parallel;

use super::sync;
