//! The record of one (channel, destination): canonical JSON with nothing after it
//! (`spec/state.md`).

use serde::{Deserialize, Serialize};

use super::Position;
use crate::oci::descriptor::MAX_SIZE;
use crate::oci::{Algorithm, Digest};

/// Value of `format`.
const FORMAT: &str = "packmule.state.v1";

/// A record. Members in the order of their names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub channel: String,
    pub destination: String,
    epoch: u64,
    format: String,
    id: Digest,
    pub machine: String,
    // Highest version of a policy that admitted a bundle. Absent if none had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<u64>,
    sequence: u64,
}

impl Record {
    pub fn new(channel: &str, destination: &str, machine: &str, position: &Position, policy: u64) -> Self {
        Self {
            channel: channel.to_owned(),
            destination: destination.to_owned(),
            epoch: position.epoch,
            format: FORMAT.to_owned(),
            id: position.id,
            machine: machine.to_owned(),
            policy: Some(policy).filter(|version| *version > 0),
            sequence: position.sequence,
        }
    }

    /// Parses a record. Returns `None` for bytes that [`Record::to_bytes`] does not produce, and
    /// for values that no bundle can have.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        let is_place = record.epoch.max(record.sequence) <= MAX_SIZE && record.id.algorithm() == Algorithm::Sha256;
        let is_version = record.policy.is_none_or(|version| (1..=MAX_SIZE).contains(&version));
        let is_text = !record.destination.chars().chain(record.machine.chars()).any(char::is_control);
        (record.format == FORMAT && is_place && is_version && is_text && record.to_bytes() == bytes).then_some(record)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        // Serializing cannot fail: every key is a string and the output goes to memory.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Returns the version of the policy, or 0 if there is none.
    pub fn policy(&self) -> u64 {
        self.policy.unwrap_or_default()
    }

    pub const fn position(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.sequence, id: self.id }
    }
}
