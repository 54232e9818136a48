//! Receipts: the results of an import, artifact by artifact, to be sent back (`spec/receipt.md`).
//!
//! Only the format: members in the order of their names, canonical JSON bytes, and rules between
//! members. Reading back and signing happen elsewhere. Nothing here reads files or accesses a
//! place.

mod rules;

use serde::{Deserialize, Serialize};

use crate::base::fault::{Class, Description, Fault, differs, escape};
use crate::base::time::Moment;
use crate::oci::{Digest, Repository, Tag};

/// Value of `format`.
pub const FORMAT: &str = "packmule.receipt.v1";
/// `mediaType` in the statement about a receipt.
pub const MEDIA_TYPE: &str = "application/vnd.packmule.receipt.v1+json";
/// Largest receipt in bytes.
pub const MAX_RECEIPT: u64 = 64 << 20;
/// Start of every canonical receipt. No other output of packmule starts like this.
pub const BEGINS: &[u8] = b"{\"artifacts\":[";

/// A receipt. Members in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Artifacts of the bundle, all of them, by repository and digest.
    pub artifacts: Vec<Arrival>,
    /// Newest line of the audit log, if one was kept, at the time of writing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Line>,
    /// Leaves of the artifacts that arrived, by digest.
    pub blobs: Vec<Leaf>,
    /// Bundle.
    pub bundle: Bundle,
    /// Amounts that the import transferred.
    pub counts: Counts,
    /// Destination, as given.
    pub destination: String,
    /// End of the import, by the clock of that machine.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub ended: Moment,
    /// Reason why not everything arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Reason>,
    /// [`FORMAT`].
    pub format: String,
    /// Order of the bundle in its channel, according to the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Id of the pipeline's run, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Result of a scanner, if one was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<Scan>,
    /// Signers whose signatures admitted the bundle, by key id.
    pub signers: Vec<Signer>,
    /// Start of the import, by the clock of that machine.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub started: Moment,
    /// `packmule VERSION`.
    pub tool: String,
}

/// An artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Arrival {
    /// Repository at the destination. Absent if it was mapped to no name there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Digest.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub digest: Digest,
    /// Outcome.
    pub outcome: Outcome,
    /// Digest of the manifest's bytes as read back from the destination. Absent if it was not read
    /// back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "online", schemars(with = "Option<String>"))]
    pub read_back: Option<Digest>,
    /// Reason of a failure, or why it is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Repository in the bundle.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub repository: Repository,
    /// Tags, by name.
    pub tags: Vec<Named>,
}

/// Outcome for an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Pushed completely or in part, or given new tags; and read back.
    Pushed,
    /// Already complete at the destination; and read back.
    Present,
    /// It was sent, the destination took it, and does not let it be read.
    Unread,
    /// The original of a cut index that the destination does not take, or something that refers to
    /// it: not at the destination, and not missed there.
    Left,
    /// Not known to be at the destination.
    Failed,
    /// A referrer that was left out, as requested.
    LeftOut,
}

impl Outcome {
    /// Returns whether it is there and was read back.
    pub const fn is_arrived(self) -> bool {
        matches!(self, Self::Pushed | Self::Present)
    }
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Named {
    /// Name of the tag.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub name: Tag,
    /// Outcome.
    pub outcome: State,
    /// Digest of the manifest's bytes that the tag named afterwards. Absent if it was not read
    /// back, or named nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "online", schemars(with = "Option<String>"))]
    pub read_back: Option<Digest>,
}

/// Outcome for a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The tag was set.
    Set,
    /// The tag already named the artifact.
    Present,
    /// The tag names something else and was left unchanged, as requested.
    Kept,
    /// It was set, and the destination does not let it be read.
    Unread,
    /// The tag is not known to name the artifact.
    Failed,
    /// The tag of an artifact that was left out.
    LeftOut,
}

/// A leaf that is at the destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// Digest.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub digest: Digest,
    /// How its presence is known.
    pub how: How,
    /// A repository of the bundle at whose place it is.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub repository: Repository,
    /// Size in bytes.
    pub size: u64,
}

/// How the presence of a leaf is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// This import sent it, and the destination confirmed it before the first tag was set.
    Sent,
    /// It was mounted from another repository of the destination.
    Mounted,
    /// It was found at the destination.
    Found,
    /// Content of a base, not in the bundle, that was found at the destination.
    Base,
    /// Content of a base that was mounted from another repository of the destination.
    BaseMounted,
    /// Not looked up: a manifest that refers to it was already there.
    Implied,
}

/// The bundle, according to its signed manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Creation time.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub created: Moment,
    /// Epoch, with a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Bundle id.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub id: Digest,
    /// Name.
    pub name: String,
    /// Sequence number, with a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

/// Amounts transferred. Each blob counts once per repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Base content that was found or mounted.
    pub base: u64,
    /// Size in bytes of the blobs sent.
    pub bytes: u64,
    /// Blobs of the bundle that were found.
    pub found: u64,
    /// Blobs of the bundle that were mounted.
    pub mounted: u64,
    /// Blobs sent.
    pub sent: u64,
}

/// A class of `spec/cli.md`, and a description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Name of the class.
    pub class: String,
    /// Description: subject, expected, found.
    pub text: String,
}

/// Order of the bundle in its channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Options given by the operator: `allow-stale`, `init-state`.
    pub allowed: Vec<String>,
    /// Problems that were overridden by these options.
    pub overlooked: Vec<String>,
    /// `first`, `same`, `next`, `behind`, `gap`, `unchecked`.
    pub state: String,
}

/// Scanner and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// Whether everything was scanned and nothing was found.
    pub clean: bool,
    /// Command line as given.
    pub scanner: String,
    /// Version of the scanner and its database, if it prints one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A signer with a valid signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// Holder, if a policy names one and the signature counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Id of the key.
    pub keyid: String,
    /// Role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// A line of an audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Digest of the line.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub digest: Digest,
    /// Number of the line, from 1.
    pub number: u64,
}

fn wrong(what: impl Into<Description>) -> Fault {
    Fault::new(Class::Format, what.into().within("receipt"))
        .map_texts(&|text| escape(&text))
        .help("get the receipt again from whoever imported the bundle")
}

impl Receipt {
    /// Parses a receipt.
    ///
    /// # Errors
    /// [`Class::Format`] if it is not JSON, has another format, is not in canonical form, or has
    /// contradictory members.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() as u64 > MAX_RECEIPT {
            return Err(wrong(differs("", format_args!("at most {MAX_RECEIPT} bytes"), bytes.len())));
        }
        let receipt: Self = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if receipt.to_bytes() != bytes {
            return Err(wrong(differs("", "canonical JSON (RFC 8785)", "another form of it")));
        }
        receipt.check()?;
        Ok(receipt)
    }

    /// Returns the canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serializing these structs cannot fail: every key is a string and the output goes to
        // memory.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Returns the number of artifacts that are at the destination, according to reading back.
    pub fn arrived(&self) -> usize {
        self.artifacts.iter().filter(|artifact| artifact.outcome.is_arrived()).count()
    }

    /// Returns the number of artifacts that were left out, as requested.
    pub fn left_out(&self) -> usize {
        self.artifacts.iter().filter(|artifact| artifact.outcome == Outcome::LeftOut).count()
    }

    /// Returns the number of artifacts that are left ([`Outcome::Left`]).
    pub fn left(&self) -> usize {
        self.artifacts.iter().filter(|artifact| artifact.outcome == Outcome::Left).count()
    }

    /// Whether every artifact is at the destination that was not left out and is not left.
    pub fn is_whole(&self) -> bool {
        self.arrived() + self.left_out() + self.left() == self.artifacts.len()
    }

    /// Removes the smallest blobs until the receipt has at most `most` bytes or no blobs are left.
    /// Returns the number of removed blobs.
    pub fn fit(&mut self, most: u64) -> usize {
        let all = self.blobs.len();
        let length = |value: &Self| value.to_bytes().len() as u64;
        self.blobs.sort_by_key(|blob| (std::cmp::Reverse(blob.size), blob.digest));
        while !self.blobs.is_empty() && length(self) > most {
            let over = length(self) - most;
            // Each takes less than 500 bytes. The last rounds remove them one at a time.
            let gone = usize::try_from(over / 500).unwrap_or(usize::MAX).clamp(1, self.blobs.len());
            self.blobs.truncate(self.blobs.len() - gone);
        }
        self.blobs.sort_by_key(|blob| blob.digest);
        all - self.blobs.len()
    }
}

#[cfg(test)]
pub mod tests;
