//! Values shared by all stages of one import.

use super::documents::Documents;
use super::notes::BlobNotes;
use super::request::Request;
use super::workers::Workers;
use crate::base::fault::Fault;
use crate::content::{Destination, Error, Source};
use crate::flow::Flow;

/// One import, as seen by its stages.
pub(super) struct Context<'a> {
    pub flow: &'a Flow,
    pub source: &'a dyn Source,
    pub destination: &'a dyn Destination,
    pub request: &'a Request<'a>,
    pub documents: Documents<'a>,
    pub workers: Workers<'a>,
    pub notes: BlobNotes,
}

impl Context<'_> {
    /// Turns an error of the destination into a fault.
    pub(super) fn at_destination(&self, error: Error) -> Fault {
        error.into_fault(self.request.sides.destination)
    }
}
