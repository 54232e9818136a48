//! Values around the writing of a bundle: what is done with it, what came of it, and why a pass ends early.

use std::sync::Arc;

use crate::base::fault::Class;
use crate::bundle::{Error, Manifest};
use crate::content::volumes::Volumes;
use crate::flow::Flow;
use crate::oci::Digest;

/// Makes the bytes of `NAME.sig.json` from those of the manifest.
pub type Sign<'a> = dyn Fn(&[u8]) -> Result<Vec<u8>, Error> + Sync + 'a;
/// Verifies what was put, which is no bundle yet, and compares the digests of volumes that were taken while they were
/// written ([`super::read_back::read_back`]).
pub type ReadBack<'a> = dyn Fn(Arc<dyn Volumes>, &Manifest, &Flow) -> Result<(), Error> + Sync + 'a;

/// What happens around the writing.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Makes the bytes of `NAME.sig.json` from those of the manifest.
    pub sign: &'a Sign<'a>,
    /// Reads the written volumes back; `None`: no read-back.
    pub read_back: Option<&'a ReadBack<'a>>,
    /// A leaf that is wrong or gone twice is left out, as missing, in place of ending the run.
    pub leave_out: bool,
}

/// A written bundle.
#[derive(Clone, Debug)]
pub struct Written {
    /// The bundle id: digest of the manifest's bytes.
    pub id: Digest,
    /// The manifest.
    pub manifest: Manifest,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Names of the files in the directory, manifest first.
    pub files: Vec<String>,
    /// What was left out while writing, and why.
    pub left_out: Vec<String>,
}

/// Why a pass ended early.
#[derive(Debug)]
pub enum Trouble {
    /// A blob is not what its digest or size says, or no longer there.
    Wrong {
        /// Its member.
        member: usize,
        /// What was found.
        what: String,
    },
    /// A frame of an earlier run does not read back.
    Damaged {
        /// Its index.
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

/// The refusal of a source that gave something else, or nothing, also the second time.
pub(in crate::bundle) fn wrong_twice(what: &str) -> Error {
    Error::new(Class::Source, format!("{what}, twice"))
        .help("the source holds a damaged blob: push it there again, leave the artifact out, or say --allow-partial")
}
