//! An optional ability of places: to list everything that they hold, and to find content by its
//! digest alone.

use super::Error;
use crate::oci::{Artifact, Digest, Repository};

/// Lists what a place holds.
pub trait Catalog: Send + Sync {
    /// Returns all artifacts under the names of the place. One without a name that only refers to
    /// another is not listed: it is found as a referrer of that one.
    fn artifacts(&self) -> Result<Vec<Artifact>, Error>;

    /// Returns the size in bytes of a blob or document, or `None` if the place does not hold it.
    fn size(&self, repository: &Repository, digest: Digest) -> Result<Option<u64>, Error>;
}
