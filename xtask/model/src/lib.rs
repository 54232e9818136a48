//! The gate under a model checker: `src/bundle/check/gate.rs` itself, compiled with loom's mutex and atomics.
//!
//! The tests run every interleaving that C11 allows of a few workers. Nothing here restates the gate: what it
//! promises is compared with what the model's own workers did.

#[path = "../../../src/bundle/check/gate.rs"]
pub mod gate;

/// Synchronization types that the gate uses, here from loom.
mod sync {
    pub use loom::sync::atomic::{AtomicUsize, Ordering};
    pub use loom::sync::{Mutex, MutexGuard};
    pub use std::sync::PoisonError;
}
