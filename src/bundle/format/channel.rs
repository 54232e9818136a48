//! A bundle's place in a channel (`spec/manifest.md`, `channel`).
//!
//! A value only; where the last one stood is the state's business.

use serde::{Deserialize, Serialize};

use crate::bundle::time::Moment;
use crate::oci::Digest;

/// The members of a manifest that stand together or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelPosition {
    /// The channel.
    pub channel: String,
    /// Its epoch.
    pub epoch: u64,
    /// The moment from which on the bundle is stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
    /// The id of the bundle before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// Its number.
    pub sequence: u64,
}
