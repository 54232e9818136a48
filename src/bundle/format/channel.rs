//! Position of a bundle in a channel (`spec/manifest.md`, `channel`).
//!
//! Only a value; the state keeps the last position.

use serde::{Deserialize, Serialize};

use crate::bundle::time::Moment;
use crate::oci::Digest;

/// Manifest members that occur together or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelPosition {
    /// Name of the channel.
    pub channel: String,
    /// Epoch of the channel.
    pub epoch: u64,
    /// Time from which the bundle is stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
    /// Id of the previous bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// Sequence number of the bundle.
    pub sequence: u64,
}
