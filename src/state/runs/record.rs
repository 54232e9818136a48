//! The record of one run: canonical JSON with nothing after it (`spec/runs.md`).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::Id;
use crate::base::fault::{Class, Fault};
use crate::base::redact::redact;
use crate::base::time::Moment;
use crate::oci::{Digest, canonical};

/// Value of `format`.
const FORMAT: &str = "packmule.run.v1";
/// Largest number of characters of a name, a path or an error.
const MAX_TEXT: usize = 1024;
/// Largest number of warnings.
pub const MAX_WARNINGS: usize = 12;
/// Largest number of characters of a warning.
const MAX_WARNING: usize = 256;

/// Direction of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Makes a bundle.
    Export,
    /// Imports one.
    Import,
}

/// State of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It works.
    Running,
    /// It made what it was to make, and waits for signatures.
    Waiting,
    /// It ended well.
    Done,
    /// It ended with an error.
    Failed,
    /// It ended without a word. Never stored: a record that says "running" and that no process holds.
    Killed,
}

/// Numbers of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Artifacts of the bundle.
    pub artifacts: u64,
    /// Artifacts that failed.
    pub failed: u64,
    /// Blobs sent, or written.
    pub blobs: u64,
    /// Blobs that were at the destination before.
    pub present: u64,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Name of the fault's class.
    pub class: String,
    /// The messages, one a line, without secrets.
    pub text: String,
}

/// The record of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub(super) format: String,
    /// Its id.
    pub id: Id,
    /// Name of its pipeline.
    pub pipeline: String,
    /// Direction.
    pub kind: Kind,
    /// State.
    pub state: State,
    /// When it started.
    pub started: Moment,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Moment>,
    /// Id of the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Digest>,
    /// Name of the bundle, with the folders above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Channel of the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Its number in the channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Numbers.
    pub counts: Counts,
    /// Bytes sent, or written.
    pub bytes: u64,
    /// Why it failed, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Path of its receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// The run that it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_of: Option<Id>,
    /// Destination of an import, or place of an export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Path of the bundle that waits for signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<String>,
    /// Warnings; their number is limited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl State {
    /// Returns the name in JSON documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Killed => "killed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Kind {
    /// Returns the name in JSON documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Import => "import",
        }
    }
}

/// Returns at most `most` characters of a text, the last one an ellipsis if there were more.
fn cut_to(text: &str, most: usize) -> String {
    if text.chars().nth(most).is_none() {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

fn cut(text: &str) -> String {
    cut_to(text, MAX_TEXT)
}

impl Failure {
    /// Returns the texts of a fault without secrets, cut to a bounded size.
    pub fn of(fault: &Fault) -> Self {
        let texts = std::iter::once(&fault.what).chain(fault.others.iter().map(|other| &other.what));
        let text = texts.map(|text| redact(text).into_owned()).collect::<Vec<_>>().join("\n");
        Self { class: fault.class.name().to_owned(), text: cut(&text) }
    }
}

impl Run {
    pub(super) fn new(id: Id, pipeline: &str, kind: Kind, again_of: Option<Id>, now: Moment) -> Self {
        Self {
            format: FORMAT.to_owned(),
            id,
            pipeline: cut(pipeline),
            kind,
            state: State::Running,
            started: now,
            ended: None,
            bundle: None,
            name: None,
            channel: None,
            sequence: None,
            counts: Counts::default(),
            bytes: 0,
            error: None,
            receipt: None,
            again_of,
            to: None,
            sign: None,
            warnings: Vec::new(),
        }
    }

    /// Parses a record. Returns `None` for bytes that [`Run::to_bytes`] does not produce.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let run: Self = serde_json::from_slice(bytes).ok()?;
        let is_id = |id: &Id| Id::parse(id.as_str()).is_some();
        let is_good = run.format == FORMAT && run.state != State::Killed && run.again_of.as_ref().is_none_or(is_id);
        (is_good && run.to_bytes().is_ok_and(|own| own == bytes)).then_some(run)
    }

    /// Returns the canonical bytes, with names and texts cut to a bounded size.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, Fault> {
        let cut_all = |text: &Option<String>| text.as_deref().map(cut);
        let run = Self {
            name: cut_all(&self.name),
            channel: cut_all(&self.channel),
            receipt: cut_all(&self.receipt),
            to: cut_all(&self.to),
            sign: cut_all(&self.sign),
            warnings: self.warnings.iter().take(MAX_WARNINGS).map(|text| cut_to(&redact(text), MAX_WARNING)).collect(),
            ..self.clone()
        };
        canonical::serialize(&run).map_err(|error| Fault::new(Class::Bug, format!("run {}: {error}", self.id)))
    }
}
