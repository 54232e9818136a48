//! Cache of fetched documents, each checked against its descriptor.
//!
//! Turns errors into faults of the plan. Does not decide what is carried.

use crate::base::lock::{into_inner, lock};
use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Mutex, MutexGuard};

use super::resolved::Resolved;
use crate::base::fault::{Class, Fault, differs, escape};
use crate::content::checked::Checked;
use crate::content::{Error, Kind, Source};
use crate::oci::document::{DocumentError, MAX_DOCUMENT};
use crate::oci::media_type::{DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED, OCI_CONFIG, document_kind};
use crate::oci::{Descriptor, Digest, Document, Platform, Reference, Repository};

const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// Documents of one source.
pub struct Library<'a> {
    source: &'a dyn Source,
    resolved: Resolved,
    kept: Mutex<HashMap<Digest, Document>>,
}

impl<'a> Library<'a> {
    /// Returns an empty library over `source`.
    pub fn new(source: &'a dyn Source) -> Self {
        Self { source, resolved: Resolved::default(), kept: Mutex::new(HashMap::new()) }
    }

    /// Returns the source.
    pub const fn source(&self) -> &'a dyn Source {
        self.source
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Digest, Document>> {
        lock(&self.kept)
    }

    /// Resolves a reference. The answer is the same for the whole run.
    ///
    /// # Errors
    /// Errors of the source.
    pub fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        self.resolved.get(self.source, reference)
    }

    /// Returns the document of `descriptor`; fetches it if it is not held yet.
    ///
    /// # Errors
    /// Errors of the source; [`Kind::Mismatch`] if it returns another document.
    pub fn get(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        if let Some(document) = self.held(&descriptor.digest) {
            return Ok(document);
        }
        // Refuses schema 1 and unknown types by name before any byte is requested.
        refuse_unknown(descriptor).map_err(|error| Error::new(Kind::Refused, error.to_string()))?;
        let document = self.source.document(repository, descriptor)?;
        if document.digest() != descriptor.digest || document.size() != descriptor.size {
            let (digest, size) = (document.digest(), document.size());
            return Err(Error::new(
                Kind::Mismatch,
                differs(
                    format_args!("manifest {}", descriptor.digest),
                    format_args!("{} bytes with this digest", descriptor.size),
                    format_args!("{size} with {digest}"),
                ),
            ));
        }
        self.put(document.clone());
        Ok(document)
    }

    /// Returns the document with `digest`, if it is held.
    pub fn held(&self, digest: &Digest) -> Option<Document> {
        self.kept().get(digest).cloned()
    }

    /// Adds a document that the source does not have.
    pub fn put(&self, document: Document) {
        self.kept().insert(document.digest(), document);
    }

    /// Returns the documents for which `keep` is true.
    pub fn into_documents(self, keep: impl Fn(&Digest) -> bool) -> HashMap<Digest, Document> {
        let mut kept = into_inner(self.kept);
        kept.retain(|digest, _| keep(digest));
        kept
    }

    /// Returns the platform stated by an image's configuration; `None` if `manifest` is not an
    /// image or states no platform.
    ///
    /// # Errors
    /// Fails if the configuration cannot be read or does not match its digest.
    pub fn config_platform(&self, repository: &Repository, manifest: &Document) -> Result<Option<Platform>, Error> {
        let Some(config) = manifest.config() else { return Ok(None) };
        if ![OCI_CONFIG, DOCKER_CONFIG].contains(&config.media_type.as_str()) || config.size > MAX_DOCUMENT {
            return Ok(None);
        }
        let mut content = Vec::new();
        Checked::new(self.source.blob(repository, config)?, config.clone())
            .read_to_end(&mut content)
            .map_err(|error| Error::from_io(format_args!("blob {}", config.digest), error))?;
        let stated = serde_json::from_slice::<Platform>(&content).ok();
        Ok(stated.filter(|stated| !stated.os.is_empty() && !stated.architecture.is_empty() && !stated.is_unknown()))
    }
}

/// Refuses descriptors of documents that cannot be carried.
///
/// # Errors
/// [`DocumentError::Schema1`], [`DocumentError::Type`], [`DocumentError::TooLarge`].
pub fn refuse_unknown(descriptor: &Descriptor) -> Result<(), DocumentError> {
    match descriptor.media_type.as_str() {
        DOCKER_SCHEMA1 | DOCKER_SCHEMA1_SIGNED => Err(DocumentError::Schema1(descriptor.digest)),
        other if document_kind(other).is_some() && descriptor.size > MAX_DOCUMENT => {
            Err(DocumentError::TooLarge { digest: descriptor.digest, size: descriptor.size })
        }
        other if document_kind(other).is_some() => Ok(()),
        other => Err(DocumentError::Type { digest: descriptor.digest, media_type: escape(other) }),
    }
}

/// Turns a source's error into a fault: its own text, prefixed with `subject` unless it is already
/// included.
pub fn fault(subject: &str, error: Error) -> Fault {
    let mut fault = error.into_fault(Class::Source);
    if !fault.what.contains(subject) && fault.class != Class::Cancelled {
        fault = fault.within(subject);
    }
    fault
}
