//! Cache of the documents of a run: kept while there is room, otherwise requested again.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::base::fault::{Class, Fault, differs};
use crate::base::lock::lock;
use crate::content::{Error, Source};
use crate::oci::{Descriptor, Digest, Document, Repository};

use super::request::Sides;

/// Maximum bytes of documents to keep.
const ROOM: u64 = 64 << 20;

pub(super) struct Documents<'a> {
    source: &'a dyn Source,
    sides: Sides,
    room: u64,
    kept: Mutex<(u64, HashMap<Digest, Document>)>,
}

impl<'a> Documents<'a> {
    pub(super) fn new(source: &'a dyn Source, sides: Sides) -> Self {
        Self { source, sides, room: ROOM, kept: Mutex::new((0, HashMap::new())) }
    }

    /// Returns the document from the source.
    pub(super) fn get(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Fault> {
        // The parsed form depends on the media type, so that must be the same.
        let same = |document: &&Document| document.media_type() == descriptor.media_type;
        if let Some(document) = lock(&self.kept).1.get(&descriptor.digest).filter(same) {
            return Ok(document.clone());
        }
        let fault = |error: Error| error.into_fault(self.sides.source);
        let document = self.source.document(repository, descriptor).map_err(fault)?;
        if document.digest() != descriptor.digest || document.size() != descriptor.size {
            let what = differs(
                format_args!("manifest {}", descriptor.digest),
                format_args!("{} bytes", descriptor.size),
                format_args!("{} of {}", document.size(), document.digest()),
            );
            return Err(Fault::new(self.sides.source, what));
        }
        let mut kept = lock(&self.kept);
        if kept.0 + document.size() <= self.room && kept.1.insert(document.digest(), document.clone()).is_none() {
            kept.0 += document.size();
        }
        Ok(document)
    }

    /// Returns a fault of a document's form.
    pub(super) fn misshapen(&self, what: String) -> Fault {
        let class: Class = self.sides.shape;
        Fault::new(class, what)
    }
}
