//! The gate of `import` and `unpack`: what is checked of a bundle before the first push and before the first tag.

use crate::bundle::Trusted;
use crate::bundle::arriving::Arriving;
use crate::bundle::check::check_computed;
use crate::fault::Fault;
use crate::flow::Flow;
use crate::import::Gate;

/// The gate of an import: the medium's files and the documents were checked before the first push, and
/// what no artifact asks for (headers, index, end) is checked before the first tag. Each blob that was
/// pushed came through a checked reader; one that the destination has was not read.
pub struct BundleGate<'a> {
    bundle: &'a Trusted,
    flow: &'a Flow,
}

impl<'a> BundleGate<'a> {
    /// Checks files, documents and closure of `bundle`.
    ///
    /// # Errors
    /// Class format, integrity, io: everything that is wrong with the files.
    pub fn open(bundle: &'a Trusted, flow: &'a Flow) -> Result<Self, Fault> {
        let faults = bundle.survey().into_iter().map(Fault::from).collect();
        if let Some(fault) = Fault::from_list(faults) {
            return Err(fault);
        }
        bundle.closure(flow)?;
        Ok(Self { bundle, flow })
    }
}

impl Gate for BundleGate<'_> {
    fn pass(&self) -> Result<(), Fault> {
        check_computed(self.bundle, self.flow)?;
        self.bundle.accept()
    }
}

/// The gate of an import from what passes once: all of it was checked.
pub struct PassingGate<'s, 'a>(pub &'s Arriving<'a>, pub &'s Trusted);

impl Gate for PassingGate<'_, '_> {
    fn pass(&self) -> Result<(), Fault> {
        self.0.gate()?;
        self.1.accept()
    }
}
