//! The record of one (channel, destination): canonical JSON, nothing behind it (`spec/state.md`).

use serde::{Deserialize, Serialize};

use super::Position;
use crate::oci::Digest;

/// The value of `format`.
const FORMAT: &str = "packmule.state.v1";

/// Members in the order of their names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub channel: String,
    pub destination: String,
    epoch: u64,
    format: String,
    id: Digest,
    pub machine: String,
    sequence: u64,
}

impl Record {
    pub fn new(channel: &str, destination: &str, machine: &str, position: &Position) -> Self {
        Self {
            channel: channel.to_owned(),
            destination: destination.to_owned(),
            epoch: position.epoch,
            format: FORMAT.to_owned(),
            id: position.id,
            machine: machine.to_owned(),
            sequence: position.sequence,
        }
    }

    /// `None` for all that [`Record::to_bytes`] does not give.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        (record.format == FORMAT && record.to_bytes() == bytes).then_some(record)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        // Serialising cannot fail: every key is a string and writing goes to memory.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub const fn position(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.sequence, id: self.id }
    }
}
