//! The ledger of an import: everything that it has done to the destination, also when it failed. Receipts are made of it.

use crate::receipt::{Arrival, Counts, Leaf};

/// The arrivals, as they were read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Every artifact in the request's order; empty where the import ended before it had a plan.
    pub artifacts: Vec<Arrival>,
    /// The leaves of those that are there, by digest.
    pub blobs: Vec<Leaf>,
    /// How many blobs were moved, including those of artifacts that failed.
    pub counts: Counts,
}
