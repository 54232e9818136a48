//! The ledger of an import: everything that it did at the destination, even if it failed. Receipts
//! are made from it.

use crate::receipt::{Arrival, Counts, Leaf};

/// Record of an import, as read back from the destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// All artifacts, in the request's order; empty if the import ended before it had a plan.
    pub artifacts: Vec<Arrival>,
    /// Leaves of the artifacts that are there, by digest.
    pub blobs: Vec<Leaf>,
    /// Counts of transferred blobs, including those of artifacts that failed.
    pub counts: Counts,
}
