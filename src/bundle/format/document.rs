//! Documents of a bundle: their form and their size (`spec/closure.md`).
//!
//! Opens no file and compares no digest: the caller has done that.

use std::sync::Arc;

use crate::base::fault::{Class, differs};
use crate::bundle::Error;
use crate::oci::document::{DocumentError, MAX_DOCUMENT};
use crate::oci::{Descriptor, Digest, Document};

/// Parses a document from bytes whose digest was checked.
///
/// # Errors
/// [`Class::Integrity`] for wrong `data` in it, [`Class::Format`] for anything else.
pub fn parse(descriptor: &Descriptor, raw: impl Into<Arc<[u8]>>) -> Result<Document, Error> {
    Document::with_digest(&descriptor.media_type, descriptor.digest, raw).map_err(|error| {
        let class = if matches!(error, DocumentError::Data { .. }) { Class::Integrity } else { Class::Format };
        Error::new(class, error.to_string()).help("the bundle was signed with this document in it; ask whoever made it")
    })
}

/// Checks that a blob of this size, as listed in the manifest, can be a document. Called before any
/// of it is read.
///
/// # Errors
/// [`Class::Format`].
pub fn check_size(digest: Digest, size: u64) -> Result<(), Error> {
    if (1..=MAX_DOCUMENT).contains(&size) {
        return Ok(());
    }
    Err(Error::format(differs(
        format_args!("manifest {digest}"),
        format_args!("a document of 1 to {MAX_DOCUMENT} bytes"),
        size,
    ))
    .help("the bundle was signed with this list of blobs; ask whoever made it"))
}
