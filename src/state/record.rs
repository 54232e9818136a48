//! The record of one (channel, destination): canonical JSON, nothing behind it (`spec/state.md`).

use serde::{Deserialize, Serialize};

use super::Position;
use crate::oci::descriptor::MAX_SIZE;
use crate::oci::{Algorithm, Digest};

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

    /// `None` for all that [`Record::to_bytes`] does not give, and for what no bundle can have.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        let is_place = record.epoch.max(record.sequence) <= MAX_SIZE && record.id.algorithm() == Algorithm::Sha256;
        let is_text = !record.destination.chars().chain(record.machine.chars()).any(char::is_control);
        (record.format == FORMAT && is_place && is_text && record.to_bytes() == bytes).then_some(record)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        // Serialising cannot fail: every key is a string and writing goes to memory.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub const fn position(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.sequence, id: self.id }
    }
}
