//! The request: which content to import, where to, and how; and the trait for checks that the
//! caller provides.
//!
//! Values and one trait; nothing is done here.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use super::ledger::Ledger;
use crate::base::fault::{Class, Fault};
use crate::content::{Destination, Source};
use crate::decide::part::Pick;
use crate::decide::route::Route;
use crate::decide::select::Referrers;
use crate::oci::{Absent, Artifact, Descriptor, Digest, Repository, Tag};

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
    /// The tag moves if it names what imports of this channel set it to; otherwise it is a conflict.
    Advance,
}

/// A tag at the destination, and the digest of the manifest that it names.
pub type Named<'a> = (&'a Repository, &'a Tag, Digest);

/// A tag that is about to be set.
#[derive(Clone, Copy, Debug)]
pub struct Intended<'a> {
    /// Repository at the destination.
    pub repository: &'a Repository,
    /// The tag.
    pub tag: &'a Tag,
    /// Digest that it names now, if it exists.
    pub found: Option<Digest>,
    /// Digest that it is to name.
    pub digest: Digest,
}

/// Remembers the tags that this importer set at a destination.
pub trait TagBook: Sync {
    /// Returns the digests that the tag may name if nobody else set it since: the one that was read
    /// back last, and one that a run which ended early may have set. Empty if it is not known.
    fn digests(&self, repository: &Repository, tag: &Tag) -> Vec<Digest>;

    /// Durably notes tags that are about to be set.
    ///
    /// # Errors
    /// [`Class::Io`]; no tag may be set then.
    fn intend(&self, tags: &[Intended<'_>]) -> Result<(), Fault>;

    /// Durably notes tags as they were read back.
    ///
    /// # Errors
    /// [`Class::Io`].
    fn record(&self, tags: &[Named<'_>]) -> Result<(), Fault>;
}

/// How far an import goes.
#[derive(Clone, Copy, Debug, Default)]
pub enum Goal<'a> {
    /// Blobs, documents and tags.
    #[default]
    Whole,
    /// Blobs alone, these or all: no document and no tag. Another import does the rest.
    Blobs(Option<&'a HashSet<Digest>>),
}

impl Goal<'_> {
    /// Returns whether a blob is sent, if it is missing.
    pub fn has(&self, blob: &Digest) -> bool {
        match self {
            Self::Whole | Self::Blobs(None) => true,
            Self::Blobs(Some(own)) => own.contains(blob),
        }
    }

    /// Returns whether documents and tags follow.
    pub const fn is_whole(&self) -> bool {
        matches!(self, Self::Whole)
    }
}

/// Fault classes of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    /// The source does not provide the expected content.
    pub source: Class,
    /// The source's documents are malformed.
    pub shape: Class,
    /// The destination refuses or fails.
    pub destination: Class,
}

impl Sides {
    /// For two places, as in `copy`.
    pub const PLACES: Self = Self { source: Class::Source, shape: Class::Source, destination: Class::Destination };
    /// For a bundle: wrong bytes are a fault of its integrity.
    pub const BUNDLE: Self = Self { source: Class::Integrity, shape: Class::Format, destination: Class::Destination };
}

/// Base content that is missing at the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingBase {
    /// Destination repository that needs it.
    pub destination: Repository,
    /// Index in the request of the artifact that needs it.
    pub artifact: usize,
    /// The missing blob.
    pub blob: Descriptor,
}

/// An import: artifacts, the two places, and options.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Where the content comes from.
    pub source: &'a dyn Source,
    /// Where the content goes.
    pub destination: &'a dyn Destination,
    /// Checks the content on the way.
    pub check: &'a dyn ImportCheck,
    /// All artifacts to import.
    pub artifacts: &'a [Artifact],
    /// Blobs and manifests that they refer to and that are not carried.
    pub absent: &'a [Absent],
    /// Maps names of the source to names at the destination.
    pub route: &'a Route,
    /// How to treat tags that name something else.
    pub tag_conflict: TagConflict,
    /// The tags that this importer set there, if they are kept.
    pub tag_book: Option<&'a dyn TagBook>,
    /// Whether to record failures of the destination per artifact and continue with the others.
    pub keep_going: bool,
    /// Whether to change nothing; the outcome says what would be done.
    pub dry_run: bool,
    /// Fault classes of the two sides.
    pub sides: Sides,
    /// Names of the artifacts to import; all of them if there is none.
    pub select: &'a [Pick],
    /// How far to go.
    pub goal: Goal<'a>,
    /// Referrers to import; the others are left out.
    pub referrers: &'a Referrers,
    /// Repositories at the destination's own place that have blobs of the source: mounted from
    /// there if possible, instead of being sent.
    pub siblings: Option<&'a HashMap<Digest, Repository>>,
    /// Receives the missing base blobs.
    pub wanted: Option<&'a Mutex<Vec<MissingBase>>>,
    /// Receives the record of what was done, read back, however the import ends.
    pub ledger: Option<&'a Mutex<Ledger>>,
}

/// Checks that the caller makes before the first push and before the first tag.
pub trait ImportCheck: Sync {
    /// Called before the first push, if nothing at the destination prevents the import.
    ///
    /// # Errors
    /// A fault if nothing may be pushed.
    fn before_push(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// Called once, after all content was pushed and before the first tag is set.
    ///
    /// # Errors
    /// A fault if no tag may be set, because the content was not all that was signed.
    fn before_tags(&self) -> Result<(), Fault>;

    /// Durably records that the content is accepted. Called when some of it is about to be tagged,
    /// and not otherwise.
    ///
    /// # Errors
    /// A fault if no tag may be set.
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
