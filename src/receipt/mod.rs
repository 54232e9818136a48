//! Receipts: what an import has done, artifact by artifact, for the way back (`spec/receipt.md`).
//!
//! The form alone: members in the order of their names, bytes that are canonical JSON, rules between members. What was
//! read back and who signs is others' business; nothing here reads a file or asks a place.

mod rules;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::fault::{Class, Fault, escape};
use crate::base::time::Moment;
use crate::oci::{Digest, Repository, Tag};

/// The value of `format`.
pub const FORMAT: &str = "packmule.receipt.v1";
/// `mediaType` in the statement over a receipt.
pub const MEDIA_TYPE: &str = "application/vnd.packmule.receipt.v1+json";
/// The largest receipt in bytes.
pub const MAX_RECEIPT: u64 = 64 << 20;
/// What a canonical receipt begins with: nothing else that packmule writes does.
pub const BEGINS: &[u8] = b"{\"artifacts\":[";

/// A receipt. Members in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Every artifact of the bundle, by repository and digest.
    pub artifacts: Vec<Arrival>,
    /// The newest line of the audit log that was kept, when this was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Line>,
    /// The leaves of what arrived, by digest.
    pub blobs: Vec<Leaf>,
    /// Which bundle.
    pub bundle: Bundle,
    /// What the import moved.
    pub counts: Counts,
    /// The place, as it was named.
    pub destination: String,
    /// When it was over, by the clock there.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub ended: Moment,
    /// Why not all of it arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Reason>,
    /// [`FORMAT`].
    pub format: String,
    /// What the state of its channel said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// What a scanner said, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<Scan>,
    /// Whose signatures let the bundle in, by key id.
    pub signers: Vec<Signer>,
    /// When it began, by the clock there.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub started: Moment,
    /// `packmule VERSION`.
    pub tool: String,
}

/// One artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Arrival {
    /// Its repository at the destination; absent where it came to no name there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Its digest.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub digest: Digest,
    /// What became of it.
    pub outcome: Outcome,
    /// The digest over the manifest's bytes as the destination gave them afterwards; absent where it was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "online", schemars(with = "Option<String>"))]
    pub read_back: Option<Digest>,
    /// Why it failed or could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its repository in the bundle.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub repository: Repository,
    /// Its tags, by name.
    pub tags: Vec<Named>,
}

/// What became of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was pushed, in part or whole, or tagged anew; and read back.
    Pushed,
    /// All of it was there before; and read back.
    Present,
    /// It was sent, the destination took it, and does not let it be read.
    Unread,
    /// It is not known to be there.
    Failed,
}

impl Outcome {
    /// Returns whether it is there and was read back.
    pub const fn is_arrived(self) -> bool {
        matches!(self, Self::Pushed | Self::Present)
    }
}

/// One tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Named {
    /// The tag.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub name: Tag,
    /// What became of it.
    pub outcome: State,
    /// What it named afterwards, over the manifest's bytes; absent where it was not read, or named nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "online", schemars(with = "Option<String>"))]
    pub read_back: Option<Digest>,
}

/// What became of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was set.
    Set,
    /// It named the artifact before.
    Present,
    /// It names something else and was left so, as was asked.
    Kept,
    /// It was set, and the destination does not let it be read.
    Unread,
    /// It is not known to name the artifact.
    Failed,
}

/// A leaf that is at the destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// Its digest.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub digest: Digest,
    /// How that is known.
    pub how: How,
    /// A repository, in the bundle's names, at whose place it is.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub repository: Repository,
    /// Its size in bytes.
    pub size: u64,
}

/// How it is known that a leaf is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// This import sent it, and the destination had it when it was asked before the first tag.
    Sent,
    /// It was taken over from another repository of the destination.
    Mounted,
    /// It was there when it was asked for.
    Found,
    /// Content of a base, not in the bundle, that was there when it was asked for.
    Base,
    /// Content of a base that was taken over from another repository of the destination.
    BaseMounted,
    /// It was not asked for: a manifest that holds it was there already.
    Implied,
}

/// The bundle, as its signed manifest has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Its channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// When it was made.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub created: Moment,
    /// With a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The bundle id.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub id: Digest,
    /// Its name.
    pub name: String,
    /// With a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

/// What was moved, each blob once a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Base content that was there, or was mounted.
    pub base: u64,
    /// Bytes of the blobs sent.
    pub bytes: u64,
    /// Blobs of the bundle that were there.
    pub found: u64,
    /// Blobs of the bundle that were mounted.
    pub mounted: u64,
    /// Blobs sent.
    pub sent: u64,
}

/// A class of `spec/cli.md` and what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The name of the class.
    pub class: String,
    /// Subject, expected, found.
    pub text: String,
}

/// The order of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// `allow-stale`, `init-state`: what the operator allowed.
    pub allowed: Vec<String>,
    /// What was overlooked because of it.
    pub overlooked: Vec<String>,
    /// `first`, `same`, `next`, `behind`, `gap`, `unchecked`.
    pub state: String,
}

/// A scanner, and what it said of the content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// Whether all was scanned and nothing was found.
    pub clean: bool,
    /// Its command line, as it was given.
    pub scanner: String,
    /// Its version and its database's, where it tells them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Someone whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// Who, where a policy names the holder and the signature counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// The key's id.
    pub keyid: String,
    /// In which role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// A line of an audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its digest.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub digest: Digest,
    /// Its number, from 1.
    pub number: u64,
}

fn wrong(what: impl fmt::Display) -> Fault {
    Fault::new(Class::Format, format!("receipt: {}", escape(&what.to_string())))
        .help("get the receipt again from whoever imported the bundle")
}

impl Receipt {
    /// Reads a receipt.
    ///
    /// # Errors
    /// [`Class::Format`]: not JSON, another format, bytes that are not the canonical form, members that contradict each
    /// other.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() as u64 > MAX_RECEIPT {
            return Err(wrong(format_args!("expected at most {MAX_RECEIPT} bytes, found {}", bytes.len())));
        }
        let receipt: Self = serde_json::from_slice(bytes).map_err(wrong)?;
        if receipt.to_bytes() != bytes {
            return Err(wrong("expected canonical JSON (RFC 8785), found another form of it"));
        }
        receipt.check()?;
        Ok(receipt)
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serialising these structs cannot fail: every key is a string and writing goes to memory.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The artifacts that are there, read back.
    pub fn arrived(&self) -> usize {
        self.artifacts.iter().filter(|artifact| artifact.outcome.is_arrived()).count()
    }

    /// Whether every artifact is there.
    pub fn is_whole(&self) -> bool {
        self.arrived() == self.artifacts.len()
    }

    /// Leaves out the smallest blobs until it has at most `most` bytes or no blob more; gives how many went.
    pub fn fit(&mut self, most: u64) -> usize {
        let all = self.blobs.len();
        let length = |value: &Self| value.to_bytes().len() as u64;
        self.blobs.sort_by_key(|blob| (std::cmp::Reverse(blob.size), blob.digest));
        while !self.blobs.is_empty() && length(self) > most {
            let over = length(self) - most;
            // Each takes less than five hundred bytes; the last rounds go one by one.
            let gone = usize::try_from(over / 500).unwrap_or(usize::MAX).clamp(1, self.blobs.len());
            self.blobs.truncate(self.blobs.len() - gone);
        }
        self.blobs.sort_by_key(|blob| blob.digest);
        all - self.blobs.len()
    }
}

#[cfg(test)]
mod tests;
