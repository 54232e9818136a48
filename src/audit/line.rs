//! One line of an audit log: canonical JSON and a line end (`spec/audit.md`).

use serde::{Deserialize, Serialize};

use super::state_id::StateId;
use crate::base::time::Moment;
use crate::oci::Digest;
use crate::oci::descriptor::MAX_SIZE;

/// Value of `format`.
pub const FORMAT: &str = "packmule.audit.v1";
/// Maximum length of a line in bytes, including its line end.
pub const MAX_LINE: usize = 64 << 10;
/// Start of every line. No other output of packmule starts like this.
pub const BEGINS: &[u8] = b"{\"at\":\"";

/// Whether a line marks the start or the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// Written before the work of the run.
    Begin,
    /// Written after it.
    End,
}

/// A line. Members in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Time, by the clock of the machine.
    #[cfg_attr(feature = "online", schemars(with = "String"))]
    pub at: Moment,
    /// In an end line: the number of the line where the run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<u64>,
    /// Bundle id, if the run learned one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// The command's words.
    pub command: String,
    /// Start or end of the run.
    pub event: Event,
    /// Exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
    /// [`FORMAT`].
    pub format: String,
    /// Keys that signed in this run, including those of a receipt. For `sign`, all keys in the
    /// signature file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keyids: Vec<String>,
    /// Number of bytes of an unfinished line that were removed before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mended: Option<u64>,
    /// Name of the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Number of the line, from 1.
    pub number: u64,
    /// `ok`, `PASS`, `PART`, `REFUSED`, or the name of a class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Digest of the previous line. Absent in the first line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "online", schemars(with = "Option<String>"))]
    pub previous: Option<Digest>,
    /// Digest of the receipt that was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "online", schemars(with = "Option<String>"))]
    pub receipt: Option<Digest>,
    /// Id of the pipeline's run, if the command was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Keys whose signatures admitted the bundle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<String>,
    /// Id of the state that wrote the line. Absent if the run had no place for a state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "online", schemars(with = "Option<String>"))]
    pub state: Option<StateId>,
    /// In a begin line: BUNDLE or the output, as typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// In a begin line: the destination, as typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `packmule VERSION`.
    pub tool: String,
    /// User id.
    pub user: u32,
}

/// Members of a line that do not depend on its position in the log.
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
    pub run: Option<String>,
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

/// Position of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Digest of the line.
    pub digest: Digest,
    /// Number of the line.
    pub number: u64,
}

impl Line {
    /// Creates the line of `entry`, which `state` writes after `last`.
    pub(super) fn after(
        last: Option<Newest>,
        state: Option<StateId>,
        at: Moment,
        mended: Option<u64>,
        entry: Entry,
    ) -> Self {
        let Entry {
            begin,
            bundle,
            command,
            exit,
            keyids,
            name,
            outcome,
            receipt,
            run,
            signers,
            subject,
            to,
            tool,
            user,
        } = entry;
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
            run,
            signers,
            state,
            subject,
            to,
            tool,
            user,
        }
    }

    /// Parses a line, including its line end. Returns `None` for bytes that [`Line::to_bytes`] does
    /// not produce.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let line: Self = serde_json::from_slice(bytes.strip_suffix(b"\n")?).ok()?;
        let is_good = line.format == FORMAT
            && (1..=MAX_SIZE).contains(&line.number)
            && (line.number == 1) == line.previous.is_none()
            && (line.event == Event::Begin) == line.begin.is_none();
        (is_good && line.to_bytes() == bytes).then_some(line)
    }

    /// Whether `bytes`, which contain no line end, may be the start of the first line of a log.
    pub fn is_begun(bytes: &[u8]) -> bool {
        let mut rest = bytes;
        // Consumes the common prefix. Returns `false` if the two differ.
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

    /// Returns the bytes of the line, including its line end.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serializing cannot fail: every key is a string and the output goes to memory.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

impl Newest {
    /// Returns the position of the line with these bytes, which include the line end.
    pub fn of(number: u64, bytes: &[u8]) -> Self {
        Self { digest: Digest::sha256(bytes), number }
    }
}
