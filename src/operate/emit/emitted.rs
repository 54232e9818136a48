//! The result of `emit`: files, and what they could not express.

use super::kind::Kind;
use super::names::{Ambiguous, Elsewhere};
use crate::oci::{Digest, Repository};

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path below the output directory, with `/`.
    pub path: String,
    /// Content, which begins with the mark of its kind.
    pub text: String,
}

/// A name that a kind of file cannot lead to its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmapped {
    /// Old name.
    pub source: Repository,
    /// New name.
    pub destination: Repository,
    /// Reason.
    pub reason: &'static str,
}

/// Files of one kind.
#[derive(Clone, Debug)]
pub struct Emitted {
    /// Kind.
    pub kind: Kind,
    /// Files, by path.
    pub files: Vec<File>,
    /// Number of repositories that the receipts name.
    pub repositories: usize,
    /// Names that the files do not map.
    pub unmapped: Vec<Unmapped>,
    /// Names that mean more than one repository if no host is written.
    pub ambiguous: Vec<Ambiguous>,
    /// Artifacts that are not known to be at the destination.
    pub unarrived: Vec<(Repository, Digest)>,
    /// Artifacts that only an earlier place has.
    pub elsewhere: Vec<Elsewhere>,
}
