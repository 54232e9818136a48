//! Values around the writing of a bundle: its options, its result, and why a pass ends early.

use std::sync::Arc;

use crate::base::fault::Class;
use crate::bundle::{Error, Manifest};
use crate::content::volumes::Volumes;
use crate::flow::Flow;
use crate::oci::Digest;

/// Makes the bytes of `NAME.sig.json` from the bytes of the manifest.
pub type Sign<'a> = dyn Fn(&[u8]) -> Result<Vec<u8>, Error> + Sync + 'a;
/// Compares the files that were put and are not a bundle yet with what was written. Takes the sum of
/// each frame; none for form flat ([`super::read_back::read_back`]).
pub type ReadBack<'a> = dyn Fn(Arc<dyn Volumes>, &Manifest, &[u64], &Flow) -> Result<(), Error> + Sync + 'a;

/// Options for writing.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Makes the bytes of `NAME.sig.json` from the bytes of the manifest.
    pub sign: &'a Sign<'a>,
    /// Reads the written volumes back; `None` for no read-back.
    pub read_back: Option<&'a ReadBack<'a>>,
    /// Whether a leaf that is wrong or gone twice is left out, as missing, instead of ending the
    /// run.
    pub leave_out: bool,
}

/// A written bundle.
#[derive(Clone, Debug)]
pub struct Written {
    /// The bundle id: digest of the manifest's bytes.
    pub id: Digest,
    /// Returns the manifest.
    pub manifest: Manifest,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Names of the files in the directory, manifest first.
    pub files: Vec<String>,
    /// Blobs that were left out while writing, and why.
    pub left_out: Vec<String>,
}

/// Reason why a pass ended early.
#[derive(Debug)]
pub enum Trouble {
    /// A blob does not match its digest or size, or no longer exists.
    Wrong {
        /// Its member.
        member: usize,
        /// Description of the content found.
        what: String,
    },
    /// A frame of an earlier run could not be read back.
    Damaged {
        /// Index of the frame.
        frame: usize,
    },
    /// Anything else.
    Ended(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Ended(error)
    }
}

/// Returns the error for a source that returned wrong content, or none, for the second time.
pub(in crate::bundle) fn wrong_twice(what: &str) -> Error {
    Error::new(Class::Source, format!("{what}, twice"))
        .help("the source holds a damaged blob: push it there again, leave the artifact out, or use --allow-partial")
}
