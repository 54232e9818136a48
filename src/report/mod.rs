//! The report of a run as a value (`--report`), from which someone who is not a container expert
//! can approve a bundle.
//!
//! The command line creates a [`Page`], which becomes JSON directly (schema `packmule.report.v1`,
//! `packmule schema report`) and HTML in `html`. Pure: no files, no clock, no judgement; verdicts
//! are only shown. All text is raw, including text from outside; `markup` escapes it when writing a
//! page.

mod contents;
mod differences;
mod html;
mod markup;
#[cfg(feature = "online")]
mod served;
mod transfer;
mod tree;
#[cfg(feature = "online")]
mod watched;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::differences::{Differences, Differing};
pub use self::html::{HTML_BEGINS, HTML_UNFINISHED, to_html};
#[cfg(feature = "online")]
pub use self::served::{Reached, Served, ServedBundle, ServedCache, ServedPlace, ServedRule, served_html};
pub use self::tree::{Absent, Base, Brought, Changed, Contents, Image, Item, Kind, News, Novelty, Repository};
#[cfg(feature = "online")]
pub use self::watched::{WatchRun, Watched, WatchedBundle, WatchedPipeline, watched_html};

/// Maximum number of entries of the shorter lists of a page.
const ENTRIES: usize = 200;

/// Start of every JSON report.
pub const JSON_BEGINS: &str = r#"{"schema":"packmule.report.v1","#;

/// Name of the schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub enum Schema {
    /// First version.
    #[default]
    #[serde(rename = "packmule.report.v1")]
    V1,
}

/// Outcome of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// verify: the whole bundle is valid, and signed as the policy requires.
    Pass,
    /// verify: the requested part is valid; the rest was not checked.
    Part,
    /// verify: the bundle must not be used.
    Refused,
    /// verify: the run ended before there was a verdict, or has not ended.
    #[default]
    None,
    /// Another command did what was requested.
    Done,
    /// Another command did not do it, or not all of it.
    Failed,
}

/// Report of one run.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "online", schemars(title = "packmule report", deny_unknown_fields))]
pub struct Page {
    /// Always `packmule.report.v1`.
    pub schema: Schema,
    /// Words of the command.
    pub command: String,
    /// Outcome.
    pub verdict: Verdict,
    /// Whether the run succeeded with exit code 0.
    pub ok: bool,
    /// Exit code, as far as known when the report was written.
    pub exit: u8,
    /// Verdict in one sentence.
    pub summary: String,
    /// Time at which the report was written, in UTC.
    pub written: String,
    /// Program that wrote the report.
    pub tool: String,
    /// Recommended next steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
    /// Faults, the most important first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// Unusual findings, and problems that were overridden.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Bundle>,
    /// Signatures, present and missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Signatures>,
    /// Source, destination and times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// Contents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
    /// Changes compared with earlier bundles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub news: Option<News>,
    /// Differences between two sides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differences: Option<Differences>,
    /// Content that artifacts refer to but the bundle does not carry, by reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Absent>,
    /// Checks and their results.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// Facts that the checks prove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proven: Vec<String>,
    /// Facts that the checks do not prove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unproven: Vec<String>,
    /// Handling of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handling: Option<String>,
    /// Id of the pipeline's run, if the command was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Newest hash of the audit log, if one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<String>,
    /// Lines that the command printed for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub text: Vec<String>,
    /// Output of `--json`, for commands without their own report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<serde_json::Value>,
}

/// A problem.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Fault {
    /// Name of its exit code.
    pub class: String,
    /// Description: subject, expected, found.
    pub message: String,
    /// Subject of the description, if it is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Requirement that is not met, if the problem is a difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// Finding in place of what was expected, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

/// A bundle.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Bundle {
    /// Name.
    pub name: String,
    /// Id, the digest of its manifest. Absent if there was no manifest to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether a known key has signed the manifest. Otherwise only its name and id were read.
    pub authenticated: bool,
    /// Number of artifacts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<u64>,
    /// Number of distinct blobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blobs: Option<u64>,
    /// Size in bytes of its blobs, unpacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Number of volume files. 0 in the form flat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<u64>,
    /// Program that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
}

/// Signatures of the bundle.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Signatures {
    /// Section of the policy that was applied. Absent with keys from the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// Number of signatures that are required.
    pub needed: u64,
    /// Number that count: distinct holders, or keys if no holders are known.
    pub counted: u64,
    /// Required roles that no counted key has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_roles: Vec<String>,
    /// Keys that signed, and keys of the policy that did not.
    pub signers: Vec<Signer>,
}

/// How a key counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Signed just now; not checked.
    Signed,
    /// Signed, and it counts.
    Counted,
    /// Signed, but does not count for this bundle.
    Aside,
    /// Signed, but the key's time is over, so it does not count.
    Ended,
    /// Signed by an unknown key.
    Unknown,
    /// The signature is invalid.
    Wrong,
    /// Would count, but has not signed.
    #[default]
    Missing,
}

/// A key and its holder.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Signer {
    /// Id of the key.
    pub key: String,
    /// Holder, according to the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Role, according to the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// How the key counts.
    pub standing: Standing,
}

/// Source, destination and times. All of it is stated by the signers, except for `last` and
/// `order`.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Transfer {
    /// Origin: the annotation `from`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Registries in the names of its artifacts.
    pub registries: Vec<String>,
    /// Destination of the import, otherwise the annotation `to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Annotation `ticket`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Other annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
    /// Creation time.
    pub created: String,
    /// Expiry time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Position in the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Last accepted bundle according to the state, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Position>,
    /// Result of checking the order of the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// Id of the previous bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Ids of the bundles that it depends on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<String>,
}

/// Position in a channel.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Position {
    /// Epoch.
    pub epoch: u64,
    /// Sequence number in the epoch.
    pub sequence: u64,
    /// Id of the bundle.
    pub id: String,
}

/// Result of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// The check passed.
    Passed,
    /// The check failed.
    Failed,
    /// The check failed, or was not complete, and this was explicitly allowed.
    Overlooked,
    /// The check was not made, or not finished.
    #[default]
    Open,
}

/// A check.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Check {
    /// Name of the check.
    pub name: String,
    /// Result.
    pub result: Mark,
    /// Findings.
    pub detail: String,
}

impl Page {
    /// Returns the report as ASCII JSON with a line end.
    pub fn to_json(&self) -> String {
        // Serializing these structs cannot fail: every key is a string and the output goes to
        // memory.
        let mut text = ascii(&serde_json::to_string(self).unwrap_or_default());
        text.push('\n');
        text
    }
}

/// Converts JSON text to ASCII with the same meaning, so that none of its characters can affect a
/// terminal.
pub fn ascii(json: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

#[cfg(test)]
pub(crate) mod tests;
