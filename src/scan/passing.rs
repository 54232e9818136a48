//! Scans blobs that pass once, as in a stream. They reach a scanner before their digest is known.
//! This is safe, since an answer counts only for a blob that is complete and has the correct
//! digest.
//!
//! Layers cannot be opened here: which blobs are layers is known only when all documents have
//! passed.

use std::sync::Mutex;

use super::coverage::Coverage;
use super::scanner::{Given, Scanner};
use super::summary::Summary;
use super::uses::Uses;
use crate::base::fault::{Class, Fault};
use crate::base::lock::{into_inner, lock};
use crate::content::checked::{Look, Onlooker};
use crate::flow::{Event, Flow};
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::{Artifact, Digest, Document};

/// A scan of passing content.
pub struct Passing<'a> {
    scanner: &'a Scanner,
    flow: &'a Flow,
    version: Option<String>,
    coverage: Coverage,
    uses: Mutex<Uses>,
}

impl<'a> Passing<'a> {
    /// Creates a scan of `blobs`.
    ///
    /// # Errors
    /// Class usage if the files of layers are requested; class policy if the scanner cannot be
    /// started at all.
    pub fn new(scanner: &'a Scanner, flow: &'a Flow, blobs: &[(Digest, u64)]) -> Result<Self, Fault> {
        if scanner.options().files {
            return Err(no_files("a stream"));
        }
        let version = scanner.version(flow)?;
        let (coverage, uses) = (Coverage::new(blobs), Mutex::default());
        Ok(Self { scanner, flow, version, coverage, uses })
    }

    /// Ends the scan after everything has passed. `holds` states whether it was complete and
    /// correct. If it was not, findings up to that point are reported too.
    ///
    /// # Errors
    /// Class bug if it holds and a blob was not scanned.
    pub fn finish(self, artifacts: &[Artifact], holds: bool) -> Result<Option<Summary>, Fault> {
        if !holds && !self.coverage.is_stained() {
            return Ok(None);
        }
        let uses = into_inner(self.uses);
        Summary::of(self.scanner, self.version, self.coverage, &uses, artifacts).map(Some)
    }
}

/// Returns the refusal of `--scan-files` for `what`, which passes only once.
pub fn no_files(what: &str) -> Fault {
    Fault::new(Class::Usage, format!("--scan-files: {what} passes once, and only its end tells which blobs are layers"))
        .help("write it to a disk first (tar x), or omit --scan-files to scan each blob as a whole")
}

impl Onlooker for Passing<'_> {
    fn blob(&self, digest: Digest, size: u64) -> Box<dyn Look + '_> {
        let is_idle = self.scanner.options().fail_fast && self.coverage.is_stained();
        let given = (!is_idle).then(|| self.scanner.begin());
        Box::new(Eye { passing: self, digest, size, bytes: 0, given, document: Vec::new() })
    }
}

struct Eye<'a> {
    passing: &'a Passing<'a>,
    digest: Digest,
    size: u64,
    bytes: u64,
    given: Option<Given<'a>>,
    // Content that may be a document.
    document: Vec<u8>,
}

impl Look for Eye<'_> {
    fn content(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if self.size <= MAX_DOCUMENT {
            self.document.extend_from_slice(bytes);
        }
        // The caller also notices that the run is cancelled.
        if self.given.as_mut().is_some_and(|given| given.feed(bytes, self.passing.flow).is_err()) {
            self.given = None;
        }
    }

    fn whole(self: Box<Self>) {
        let Self { passing, digest, size, bytes, given, document } = *self;
        if size <= MAX_DOCUMENT {
            let document = Document::sniff(&document).and_then(|kind| Document::parse(&kind, document).ok());
            if let Some(document) = document {
                lock(&passing.uses).see(&document);
            }
        }
        if let Some(Ok(answer)) = given.map(|given| given.finish(passing.flow)) {
            passing.coverage.judge(digest, None, answer);
            passing.coverage.count(digest, bytes, 0);
            passing.flow.event(Event::Item(digest.to_string()));
        }
    }
}
