//! Stores that take the files of a new bundle.
//!
//! Files are put one by one, each as soon as it is whole. At the end they become a bundle in one
//! step. Stores do not know how a bundle is made.

use std::sync::Arc;

use super::volumes::Volumes;
use super::{Body, Error};
use crate::oci::Digest;

/// A file that is whole.
#[derive(Clone)]
pub struct Whole {
    /// Its final name relative to the folder of the manifest, with `/` between components.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its bytes, taken while writing.
    pub digest: Digest,
    /// Offsets at which its frames end, ascending: good ends for the parts of an upload. Empty for a
    /// file without frames.
    pub ends: Vec<u64>,
    /// Its content.
    pub body: Arc<dyn Staged>,
}

/// Content of a whole file, where it was written.
pub trait Staged: Body {
    /// Notes that the store has the file, and removes it from where it was written. Called by stores
    /// that keep files elsewhere, once the file is durable there.
    ///
    /// # Errors
    /// Those of the file system.
    fn release(&self) -> Result<(), Error>;
}

/// A small file that is made at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Small {
    /// Its name.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Description of a bundle whose volumes or files were all put.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The names of all volumes, in order.
    pub volumes: Vec<String>,
    /// The folder with the files of form flat; `None` for volumes.
    pub folder: Option<String>,
    /// The other files, in the order in which they must appear. The manifest is the last.
    pub small: Vec<Small>,
}

/// Store of the files of one new bundle.
pub trait Store: Send + Sync {
    /// Takes a whole file while others are still being written. Volumes come in order and from one
    /// thread. A file may be put again with other content, in this run or the next one; the last
    /// content counts. May return before the file was taken; a failure is then returned by a later
    /// call.
    ///
    /// # Errors
    /// The errors of the store. They end the run.
    fn put(&self, file: Whole) -> Result<(), Error>;

    /// Tells the store how many bytes are about to be put, at most. A store that is reached with a
    /// credential warns if the credential ends before that.
    ///
    /// # Errors
    /// The errors of the store.
    fn expect(&self, _bytes: u64) -> Result<(), Error> {
        Ok(())
    }

    /// Returns a place to read files that an earlier run put, if the store keeps them elsewhere.
    fn earlier(&self) -> Option<Arc<dyn Volumes>> {
        None
    }

    /// Makes the named volumes durable, which were all put, and returns a place to read back all files
    /// that were put, under their final names. Others do not see a bundle yet.
    ///
    /// # Errors
    /// The errors of the store.
    fn settle(&self, volumes: &[String]) -> Result<Arc<dyn Volumes>, Error>;

    /// Makes a bundle of the files that were put. Replaces any other bundle of its name. The manifest
    /// appears last.
    ///
    /// # Errors
    /// The errors of the store. Then there is no bundle.
    fn finish(&self, bundle: &Finished) -> Result<(), Error>;

    /// Removes all unfinished files.
    ///
    /// # Errors
    /// The errors of the store.
    fn clear(&self) -> Result<(), Error>;
}
