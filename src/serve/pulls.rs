//! Questions of a server to a cache: content that is fetched from elsewhere when a client asks for it.
//!
//! Only traits and values; who fetches, from where and by which rules is none of this module's
//! business. The methods block, except where it says otherwise.

use std::sync::Arc;

use super::arrival::Arrival;
use super::path::ByTagOrDigest;
use crate::content::{Error, Source};
use crate::oci::{Digest, Document, Repository, Tag};

/// A repository that content may be fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Number of the rule.
    pub rule: usize,
    /// Repository at the upstream.
    pub upstream: Repository,
}

/// A blob of a cache.
pub enum Pulled {
    /// It is there, and has this size.
    Kept(Arc<dyn Source>, u64),
    /// It arrives.
    Coming(Arrival),
    /// It is at the upstream and has this size; its content was not asked for.
    There(u64),
}

/// Content that is fetched when it is asked for.
pub trait Pulls: Send + Sync {
    /// Returns the repository that a name, or a name at the host `ns`, may be fetched from. Does not
    /// block.
    fn covered(&self, name: &str, ns: Option<&str>) -> Option<Covered>;

    /// Returns the names of repositories of which something is kept, in order. Does not block.
    fn names(&self) -> Vec<String>;

    /// Returns the tags of a repository, in order.
    ///
    /// # Errors
    /// Those of the upstream.
    fn tags(&self, covered: &Covered) -> Result<Vec<Tag>, Error>;

    /// Returns a manifest, kept or fetched and checked; `None` if there is none, or if the rule
    /// leaves it out.
    ///
    /// # Errors
    /// Those of the upstream and of the store.
    fn manifest(&self, covered: &Covered, by: &ByTagOrDigest) -> Result<Option<Arc<Document>>, Error>;

    /// Returns a blob, kept or arriving; `None` if no manifest that was fetched names it, or if the
    /// upstream has none. With `is_head` nothing is fetched.
    ///
    /// # Errors
    /// Those of the upstream and of the store.
    fn blob(&self, covered: &Covered, digest: Digest, is_head: bool) -> Result<Option<Pulled>, Error>;

    /// Returns the manifests that refer to `subject`, in order of their digests.
    ///
    /// # Errors
    /// Those of the upstream and of the store.
    fn referrers(&self, covered: &Covered, subject: Digest) -> Result<Vec<Arc<Document>>, Error>;

    /// Says that a manifest was asked for that is not here. Returns whether it is listed to be brought
    /// later. Does not block.
    fn missed(&self, covered: &Covered, by: &ByTagOrDigest) -> bool;

    /// Says that a kept blob turned out not to be what its digest promises.
    fn spoiled(&self, digest: Digest);
}
