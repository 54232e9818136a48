//! The facts of a run that a report is made from. Nothing is worded or checked here.

use crate::base::fault::Fault;
use crate::bundle::check::gate::Tally;
use crate::bundle::{Manifest, Trusted, Untrusted};
use crate::oci::Digest;
use crate::operate::diff::Difference;
use crate::operate::freshness::Told;
use crate::report::{Base, Check, Verdict};
use crate::signing::{Policy, Roll};

/// The check that a scanner makes.
pub const SCAN: &str = "Search for malware";

/// How far the bytes of a bundle were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Bytes {
    /// Not, or not to the end.
    #[default]
    Open,
    /// All of them.
    Whole(Tally),
    /// These volumes, counted from 1.
    Volumes(Vec<usize>),
    /// Those that were sent to a destination.
    Sent,
    /// They were just written; whether they were read again.
    Written,
}

/// The input of the checks.
pub struct Stage<'a> {
    /// The facts.
    pub found: &'a Found<'a>,
    /// The manifest, where a known key signed it.
    pub manifest: Option<&'a Manifest>,
    /// Whether all documents were read and the closure holds.
    pub is_read: bool,
}

/// The facts of a bundle before it is judged.
#[derive(Debug, Default)]
pub struct Sight {
    pub(super) name: String,
    pub(super) id: Option<Digest>,
    pub(super) roll: Option<Roll>,
    // Where a signature under a known key holds and none fails.
    pub(super) manifest: Option<Manifest>,
}

impl Sight {
    /// Of something that could not be read as a bundle.
    pub fn of_none(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Of a bundle under a policy.
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

/// The facts that a command found of a bundle.
#[derive(Default)]
pub struct Found<'a> {
    /// Before it was judged.
    pub sight: Sight,
    /// The verdict.
    pub verdict: Verdict,
    /// The bundle, where it was authenticated.
    pub bundle: Option<&'a Trusted>,
    /// How far its bytes were looked at.
    pub bytes: Bytes,
    /// The order of its channel.
    pub order: Told,
    /// The fault for which it is refused.
    pub fault: Option<&'a Fault>,
    /// Files to bring again.
    pub again: &'a [String],
    /// The difference from bases.
    pub news: Option<(Vec<Base>, &'a Difference)>,
    /// The check of a scanner, if one was asked; its name is [`SCAN`].
    pub scan: Option<Check>,
    /// Where an import goes.
    pub to: Option<String>,
}
