//! One line of an audit log: canonical JSON and a line end (`spec/audit.md`).

use serde::{Deserialize, Serialize};

use super::state_id::StateId;
use crate::base::time::Moment;
use crate::oci::Digest;
use crate::oci::descriptor::MAX_SIZE;

/// The value of `format`.
pub const FORMAT: &str = "packmule.audit.v1";
/// The longest line in bytes, its end included.
pub const MAX_LINE: usize = 64 << 10;
/// The beginning of every line; nothing else that packmule writes begins so.
pub const BEGINS: &[u8] = b"{\"at\":\"";

/// Which end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// Before its work.
    Begin,
    /// After it.
    End,
}

/// A line. Members in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// When, by the clock of the machine.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub at: Moment,
    /// At the end: the number of the line where the run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<u64>,
    /// The bundle id, where the run came to know one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// The command's words.
    pub command: String,
    /// Which end of the run.
    pub event: Event,
    /// The exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
    /// [`FORMAT`].
    pub format: String,
    /// The keys that signed in this run, a receipt included; of `sign` all that stand in the signature file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keyids: Vec<String>,
    /// Bytes of an unfinished line that were taken away before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mended: Option<u64>,
    /// The bundle's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number of the line, from 1.
    pub number: u64,
    /// `ok`, `PASS`, `PART`, `REFUSED`, or the name of a class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The digest of the line before; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "online", schemars(with = "Option<String>"))]
    pub previous: Option<Digest>,
    /// The digest of the receipt that was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "online", schemars(with = "Option<String>"))]
    pub receipt: Option<Digest>,
    /// The keys whose signatures let the bundle in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<String>,
    /// The id of the state that wrote it; absent where the run had no place for a state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "online", schemars(with = "Option<String>"))]
    pub state: Option<StateId>,
    /// At the beginning: BUNDLE or the output, as typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// At the beginning: the destination, as typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `packmule VERSION`.
    pub tool: String,
    /// The number of the user.
    pub user: u32,
}

/// The members of a line that do not depend on its place in the log.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// See [`Line`].
    pub begin: Option<u64>,
    /// See [`Line`].
    pub bundle: Option<String>,
    /// See [`Line`].
    pub command: String,
    /// See [`Line`].
    pub exit: Option<u8>,
    /// See [`Line`].
    pub keyids: Vec<String>,
    /// See [`Line`].
    pub name: Option<String>,
    /// See [`Line`].
    pub outcome: Option<String>,
    /// See [`Line`].
    pub receipt: Option<Digest>,
    /// See [`Line`].
    pub signers: Vec<String>,
    /// See [`Line`].
    pub subject: Option<String>,
    /// See [`Line`].
    pub to: Option<String>,
    /// See [`Line`].
    pub tool: String,
    /// See [`Line`].
    pub user: u32,
}

/// The place of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Its digest.
    pub digest: Digest,
    /// Its number.
    pub number: u64,
}

impl Line {
    /// The line of `entry`, which `state` writes after `last`.
    pub(super) fn after(
        last: Option<Newest>,
        state: Option<StateId>,
        at: Moment,
        mended: Option<u64>,
        entry: Entry,
    ) -> Self {
        let Entry { begin, bundle, command, exit, keyids, name, outcome, receipt, signers, subject, to, tool, user } =
            entry;
        Self {
            at,
            bundle,
            command,
            event: if begin.is_none() { Event::Begin } else { Event::End },
            begin,
            exit,
            format: FORMAT.to_owned(),
            keyids,
            mended,
            name,
            number: last.map_or(1, |last| last.number + 1),
            outcome,
            previous: last.map(|last| last.digest),
            receipt,
            signers,
            state,
            subject,
            to,
            tool,
            user,
        }
    }

    /// The line that `bytes` (its end included) are; `None` for all that [`Line::to_bytes`] does not give.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let line: Self = serde_json::from_slice(bytes.strip_suffix(b"\n")?).ok()?;
        let is_good = line.format == FORMAT
            && (1..=MAX_SIZE).contains(&line.number)
            && (line.number == 1) == line.previous.is_none()
            && (line.event == Event::Begin) == line.begin.is_none();
        (is_good && line.to_bytes() == bytes).then_some(line)
    }

    /// Whether `bytes`, which have no line end, may be the beginning of the first line of a log.
    pub fn is_begun(bytes: &[u8]) -> bool {
        let mut rest = bytes;
        // Takes what both have; `false` where they differ.
        let literal = |rest: &mut &[u8], expected: &[u8]| {
            let common = rest.len().min(expected.len());
            let is_same = rest[..common] == expected[..common];
            *rest = &rest[common..];
            is_same
        };
        let is_time = |at: usize, byte: u8| match b"0000-00-00T00:00:00Z".get(at) {
            Some(b'0') => byte.is_ascii_digit(),
            expected => expected == Some(&byte),
        };
        if !literal(&mut rest, BEGINS) {
            return false;
        }
        let (time, behind) = rest.split_at(rest.len().min(20));
        if !time.iter().enumerate().all(|(at, byte)| is_time(at, *byte)) {
            return false;
        }
        rest = behind;
        if !literal(&mut rest, b"\",\"command\":\"") {
            return false;
        }
        let words = rest.iter().take_while(|byte| byte.is_ascii_lowercase() || matches!(byte, b' ' | b'-')).count();
        rest = &rest[words..];
        let format = format!("\",\"event\":\"begin\",\"format\":\"{FORMAT}\",\"number\":1,");
        literal(&mut rest, format.as_bytes())
    }

    /// Its bytes, line end included.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serialising cannot fail: every key is a string and writing goes to memory.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

impl Newest {
    /// The place of the line whose bytes, line end included, these are.
    pub fn of(number: u64, bytes: &[u8]) -> Self {
        Self { digest: Digest::sha256(bytes), number }
    }
}
