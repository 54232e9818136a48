//! Checks of a bundle during `import` and `unpack`: before the first push, and before the first
//! tag.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::base::fault::Fault;
use crate::base::lock::{into_inner, lock};
use crate::bundle::Trusted;
use crate::bundle::check::parallel::{check_computed, check_computed_in};
use crate::bundle::source::one_pass::OnePassSource;
use crate::decide::part::Pick;
use crate::flow::Flow;
use crate::oci::Digest;
use crate::operate::import::ImportCheck;
use crate::operate::import::part::{self, Part};
use crate::operate::verify::blobs;
use crate::scan::{Scanner, Summary};

/// The check of a bundle whose files are at hand. Files on the medium and documents are checked
/// before the first push; content that no artifact uses (headers, index, end) is checked before the
/// first tag. Pushed blobs come through a checked reader; blobs that the destination has are not
/// read.
pub struct BundleCheck<'a> {
    bundle: &'a Trusted,
    flow: &'a Flow,
    scanner: Option<&'a Scanner>,
    scanned: Mutex<Option<Summary>>,
    part: Option<(Part, BTreeSet<usize>)>,
}

impl<'a> BundleCheck<'a> {
    /// Checks files, documents and closure of `bundle`.
    ///
    /// # Errors
    /// Class format, integrity, io: everything that is wrong with the files.
    pub fn open(bundle: &'a Trusted, flow: &'a Flow) -> Result<Self, Fault> {
        let faults = bundle.survey(flow);
        if let Some(fault) = Fault::from_list(faults) {
            return Err(fault);
        }
        bundle.closure(flow)?;
        Ok(Self { bundle, flow, scanner: None, scanned: Mutex::default(), part: None })
    }

    /// Like [`BundleCheck::open`], for an import of what `picks` select: all documents are checked, and
    /// of the files only those that hold the part, which are the only ones that have to be there.
    ///
    /// # Errors
    /// Those of [`BundleCheck::open`]; class source for a pick that takes nothing.
    pub fn open_part(bundle: &'a Trusted, flow: &'a Flow, picks: &[Pick]) -> Result<Self, Fault> {
        let manifest = bundle.manifest();
        let closure = bundle.closure(flow)?;
        let part = part::select(flow, bundle, &manifest.artifacts, &manifest.absent, picks)?;
        let documents = closure.documents().map(|node| node.descriptor.digest);
        let needed: BTreeSet<Digest> = part.blobs.iter().copied().chain(documents).collect();
        let volumes = bundle.volumes_of(&needed);
        let faults = bundle.survey_part(&volumes, &needed, flow);
        if let Some(fault) = Fault::from_list(faults) {
            return Err(fault);
        }
        Ok(Self { bundle, flow, scanner: None, scanned: Mutex::default(), part: Some((part, volumes)) })
    }

    /// Sets the scanner, if any. Nothing is then pushed before everything was scanned and found
    /// clean.
    #[must_use]
    pub fn with_scanner(mut self, scanner: Option<&'a Scanner>) -> Self {
        self.scanner = scanner;
        self
    }

    /// Returns the scan's summary, if there was a scan.
    pub fn into_scanned(self) -> Option<Summary> {
        into_inner(self.scanned)
    }
}

impl ImportCheck for BundleCheck<'_> {
    fn before_push(&self) -> Result<(), Fault> {
        let Some(scanner) = self.scanner else { return Ok(()) };
        let (artifacts, mut blobs) = (&self.bundle.manifest().artifacts, blobs(self.bundle));
        let artifacts = self.part.as_ref().map_or(artifacts, |(part, _)| &part.artifacts);
        blobs.retain(|(digest, _)| self.part.as_ref().is_none_or(|(part, _)| part.blobs.contains(digest)));
        let summary = crate::scan::run(self.flow, scanner, self.bundle, artifacts, &blobs)?;
        let fault = summary.fault();
        *lock(&self.scanned) = Some(summary);
        fault.map_or(Ok(()), Err)
    }

    fn before_tags(&self) -> Result<(), Fault> {
        match &self.part {
            None => check_computed(self.bundle, self.flow),
            Some((_, volumes)) => check_computed_in(self.bundle, self.flow, |volume| volumes.contains(&volume)),
        }
    }

    fn accept(&self) -> Result<(), Fault> {
        self.bundle.accept()
    }
}

/// The check of a bundle that is read in one pass and checked on the way.
pub struct OnePassCheck<'s, 'a>(pub &'s OnePassSource<'a>, pub &'s Trusted);

impl ImportCheck for OnePassCheck<'_, '_> {
    fn before_tags(&self) -> Result<(), Fault> {
        self.0.gate()
    }

    fn accept(&self) -> Result<(), Fault> {
        self.1.accept()
    }
}
