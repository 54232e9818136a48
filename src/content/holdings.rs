//! The artifacts of a place and the sizes of its content: an optional ability of sources, which a
//! server needs.

use super::Error;
use crate::oci::{Artifact, Digest, Repository};

/// Lists the artifacts of a place.
pub trait Holdings: Send + Sync {
    /// Returns all artifacts under the names of the place. One without a name that only refers to
    /// another is not listed: it is found as a referrer of that one.
    fn artifacts(&self) -> Result<Vec<Artifact>, Error>;

    /// Returns the size in bytes of a blob or document, or `None` if the place does not hold it.
    fn size(&self, repository: &Repository, digest: Digest) -> Result<Option<u64>, Error>;
}
