//! What an import has done to the destination, told also when it failed: what a receipt is made of.

use crate::receipt::{Arrival, Counts, Leaf};

/// What was done, by what was read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Every artifact in the request's order; empty where the import ended before it had a plan.
    pub artifacts: Vec<Arrival>,
    /// The leaves of those that are there, by digest.
    pub blobs: Vec<Leaf>,
    /// What was moved, for those that failed too.
    pub counts: Counts,
}
