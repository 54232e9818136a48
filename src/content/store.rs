//! Where the files of a new bundle go.
//!
//! Files are put one by one, each as soon as it is whole; they become a bundle at the end and at once. Nothing here
//! knows how a bundle is made.

use std::sync::Arc;

use super::volumes::Volumes;
use super::{Body, Error};
use crate::oci::Digest;

/// A file that is whole.
pub struct Whole<'a> {
    /// Its final name next to the manifest, one in a folder with `/` between the names.
    pub name: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its bytes, as they were written.
    pub digest: Digest,
    /// Its content.
    pub body: &'a dyn Body,
}

/// A file that is made at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Small {
    /// Its name.
    pub name: String,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// Everything that makes a bundle of what was put.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The names of all volumes, in their order.
    pub volumes: Vec<String>,
    /// The folder that holds the files of form flat; `None` for volumes.
    pub folder: Option<String>,
    /// The other files in the order in which they get their names: the manifest is the last.
    pub small: Vec<Small>,
}

/// Takes the files of one new bundle.
pub trait Store: Send + Sync {
    /// Takes a file that is whole, while others are still being made: volumes in their order, each by one thread. A file
    /// that was put may be put again with other content, in this run or the next: the bytes that come last count.
    ///
    /// # Errors
    /// Whatever keeps the place from taking it. The run ends.
    fn put(&self, file: &Whole<'_>) -> Result<(), Error>;

    /// Makes the named volumes durable, all of which were put, and returns what was put under its final names, for
    /// reading it back. Nobody else sees it as a bundle yet.
    ///
    /// # Errors
    /// Whatever keeps the place from it.
    fn settle(&self, volumes: &[String]) -> Result<Arc<dyn Volumes>, Error>;

    /// Makes a bundle of what was put, in place of any other of its name: the manifest gets its name last.
    ///
    /// # Errors
    /// Whatever keeps the place from it. There is no bundle then.
    fn finish(&self, bundle: &Finished) -> Result<(), Error>;

    /// Removes everything unfinished.
    ///
    /// # Errors
    /// Whatever keeps the place from it.
    fn clear(&self) -> Result<(), Error>;
}
