//! The facts of a run from which a report is made. Nothing is put into words or checked here.

use crate::base::fault::Fault;
use crate::base::shard::Shard;
use crate::bundle::check::gate::Tally;
use crate::bundle::{Manifest, Trusted, Untrusted};
use crate::oci::Digest;
use crate::operate::diff::Difference;
use crate::operate::freshness::Told;
use crate::report::{Base, Check, Verdict};
use crate::signing::{Policy, Roll};

/// Name of the check that a scanner makes.
pub const SCAN: &str = "Search for malware";

/// Which bytes of a bundle were checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Bytes {
    /// None, or not all to the end.
    #[default]
    Open,
    /// All bytes.
    Whole(Tally),
    /// All bytes, by this number of shards.
    Joined(Tally, usize),
    /// Those of one shard.
    Shard(Shard, Tally),
    /// These volumes, counted from 1.
    Volumes(Vec<usize>),
    /// The bytes that were sent to a destination.
    Sent,
    /// The bytes were just written.
    Written,
}

/// Input of the checks.
pub struct Stage<'a> {
    /// The facts.
    pub found: &'a Found<'a>,
    /// The manifest, if a known key signed it.
    pub manifest: Option<&'a Manifest>,
    /// Whether all documents were read and the closure holds.
    pub is_read: bool,
}

/// Facts of a bundle before it is judged.
#[derive(Debug, Default)]
pub struct Sight {
    pub(super) name: String,
    pub(super) id: Option<Digest>,
    pub(super) roll: Option<Roll>,
    // Set if a signature by a known key is valid and none is invalid.
    pub(super) manifest: Option<Manifest>,
}

impl Sight {
    /// Returns the facts of something that could not be read as a bundle.
    pub fn of_none(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Returns the facts of a bundle under a policy.
    pub fn of(head: &Untrusted, policy: &Policy) -> Self {
        let mut manifest = None;
        let roll = head.envelopes().ok().map(|envelopes| {
            policy.roll(&head.statement(), &envelopes, || {
                manifest = head.claimed().ok();
                manifest.as_ref().map(|manifest| manifest.channel.clone())
            })
        });
        Self { name: head.name().to_string(), id: Some(head.id()), roll, manifest }
    }
}

/// Facts that a command found about a bundle.
#[derive(Default)]
pub struct Found<'a> {
    /// Facts from before it was judged.
    pub sight: Sight,
    /// The verdict.
    pub verdict: Verdict,
    /// The bundle, if it was authenticated.
    pub bundle: Option<&'a Trusted>,
    /// Which of its bytes were checked.
    pub bytes: Bytes,
    /// Result of the order check in its channel.
    pub order: Told,
    /// The fault of the run, if it is refused or failed.
    pub fault: Option<&'a Fault>,
    /// Files to transfer again.
    pub again: &'a [String],
    /// The bases and the difference from them.
    pub news: Option<(Vec<Base>, &'a Difference)>,
    /// Check of a scanner, if one was used; its name is [`SCAN`].
    pub scan: Option<Check>,
    /// Destination of an import.
    pub to: Option<String>,
}
