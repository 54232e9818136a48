//! The request: which content to import, where to, and how; and the checks on the way, which the caller knows and the
//! import does not.
//!
//! Values and one trait; nothing is done here.

use std::collections::HashMap;
use std::sync::Mutex;

use super::ledger::Ledger;
use crate::base::fault::{Class, Fault};
use crate::content::{Destination, Source};
use crate::decide::route::Route;
use crate::oci::{Absent, Artifact, Descriptor, Digest, Repository};

/// How to treat a tag that names another digest at the destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagConflict {
    /// Nothing is pushed and all conflicts are listed.
    #[default]
    Fail,
    /// The destination's tag stays.
    Keep,
    /// The tag moves.
    Move,
}

/// Which classes the faults of the two sides have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    /// The source does not give what it should.
    pub source: Class,
    /// The source's documents are not what they must be.
    pub shape: Class,
    /// The destination refuses or fails.
    pub destination: Class,
}

impl Sides {
    /// Between two places, as `copy` has it.
    pub const PLACES: Self = Self { source: Class::Source, shape: Class::Source, destination: Class::Destination };
    /// From a bundle: its bytes are the bundle's integrity.
    pub const BUNDLE: Self = Self { source: Class::Integrity, shape: Class::Format, destination: Class::Destination };
}

/// Base content that is missing at the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingBase {
    /// The destination's repository that needs it.
    pub destination: Repository,
    /// The artifact that needs it, by its place in the request.
    pub artifact: usize,
    /// The missing blob.
    pub blob: Descriptor,
}

/// An import: artifacts, the two places, and how.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Where the content comes from.
    pub source: &'a dyn Source,
    /// Where it goes.
    pub destination: &'a dyn Destination,
    /// Checks the content on the way.
    pub check: &'a dyn ImportCheck,
    /// The artifacts, all that are to be imported.
    pub artifacts: &'a [Artifact],
    /// Blobs and manifests that they refer to and that are not carried.
    pub absent: &'a [Absent],
    /// The names.
    pub route: &'a Route,
    /// Tags that name something else.
    pub tag_conflict: TagConflict,
    /// Whether the destination's failures are recorded, artifact by artifact, and the others go on.
    pub keep_going: bool,
    /// Look only; the outcome says what would be done.
    pub dry_run: bool,
    /// Classes of faults.
    pub sides: Sides,
    /// Repositories of the destination's own place that have blobs of the source: mounted from there
    /// where that works, in place of being sent.
    pub siblings: Option<&'a HashMap<Digest, Repository>>,
    /// Takes the base blobs that are missing.
    pub wanted: Option<&'a Mutex<Vec<MissingBase>>>,
    /// Takes what was done, read back, however the import ends.
    pub ledger: Option<&'a Mutex<Ledger>>,
}

/// Checks that the caller makes before the first push and before the first tag.
pub trait ImportCheck: Sync {
    /// Asked before the first push, when nothing at the destination stands in the way.
    ///
    /// # Errors
    /// The fault for which nothing may be pushed.
    fn before_push(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// Asked once, after all content was pushed and before the first tag is set.
    ///
    /// # Errors
    /// The fault for which no tag may be set: the content was not the whole of what was signed.
    fn before_tags(&self) -> Result<(), Fault>;

    /// Notes that the content is taken, durably, when something of it is about to get its names. Not called where
    /// nothing is.
    ///
    /// # Errors
    /// The fault for which no tag may be set.
    fn accept(&self) -> Result<(), Fault> {
        Ok(())
    }
}

/// Checks nothing.
pub struct NoCheck;

impl ImportCheck for NoCheck {
    fn before_tags(&self) -> Result<(), Fault> {
        Ok(())
    }
}
