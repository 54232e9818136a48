//! The gate of `import` and `unpack`: what is checked of a bundle before the first push and before the first tag.

use std::sync::{Mutex, PoisonError};

use crate::base::fault::Fault;
use crate::bundle::Trusted;
use crate::bundle::check::parallel::check_computed;
use crate::bundle::source::one_pass::OnePassSource;
use crate::flow::Flow;
use crate::operate::import::Gate;
use crate::operate::verify::blobs;
use crate::scan::{Scanner, Summary};

/// The gate of an import: the medium's files and the documents were checked before the first push, and
/// what no artifact asks for (headers, index, end) is checked before the first tag. Each blob that was
/// pushed came through a checked reader; one that the destination has was not read.
pub struct BundleGate<'a> {
    bundle: &'a Trusted,
    flow: &'a Flow,
    scanner: Option<&'a Scanner>,
    scanned: Mutex<Option<Summary>>,
}

impl<'a> BundleGate<'a> {
    /// Checks files, documents and closure of `bundle`.
    ///
    /// # Errors
    /// Class format, integrity, io: everything that is wrong with the files.
    pub fn open(bundle: &'a Trusted, flow: &'a Flow) -> Result<Self, Fault> {
        let faults = bundle.survey(flow).into_iter().map(Fault::from).collect();
        if let Some(fault) = Fault::from_list(faults) {
            return Err(fault);
        }
        bundle.closure(flow)?;
        Ok(Self { bundle, flow, scanner: None, scanned: Mutex::default() })
    }

    /// The same; with `scanner` nothing is pushed before all was scanned and is clean.
    #[must_use]
    pub fn with_scanner(mut self, scanner: Option<&'a Scanner>) -> Self {
        self.scanner = scanner;
        self
    }

    /// What the scanner said, once it was asked.
    pub fn into_scanned(self) -> Option<Summary> {
        self.scanned.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate for BundleGate<'_> {
    fn admit(&self) -> Result<(), Fault> {
        let Some(scanner) = self.scanner else { return Ok(()) };
        let artifacts = &self.bundle.manifest().artifacts;
        let summary = crate::scan::run(self.flow, scanner, self.bundle, artifacts, &blobs(self.bundle))?;
        let fault = summary.fault();
        *self.scanned.lock().unwrap_or_else(PoisonError::into_inner) = Some(summary);
        fault.map_or(Ok(()), Err)
    }

    fn pass(&self) -> Result<(), Fault> {
        Ok(check_computed(self.bundle, self.flow)?)
    }

    fn accept(&self) -> Result<(), Fault> {
        self.bundle.accept()
    }
}

/// The gate of an import from what passes once: all of it was checked.
pub struct PassingGate<'s, 'a>(pub &'s OnePassSource<'a>, pub &'s Trusted);

impl Gate for PassingGate<'_, '_> {
    fn pass(&self) -> Result<(), Fault> {
        self.0.gate()
    }

    fn accept(&self) -> Result<(), Fault> {
        self.1.accept()
    }
}
