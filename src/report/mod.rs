//! The report of a run as a value (`--report`): what someone who is no container expert approves a bundle from.
//!
//! [`Page`] is made by the command line, becomes JSON as it stands (schema `packmule.report.v1`, `packmule schema
//! report`) and HTML in `html`. Pure: no file, no clock, no judgement; a verdict is shown here and never found. All
//! text is as it came, from outside too; `markup` alone escapes it on its way to a page.

mod contents;
mod html;
mod markup;
mod tree;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::html::{HTML_BEGINS, HTML_UNFINISHED, to_html};
pub use self::tree::{Absent, Base, Brought, Changed, Contents, Item, Kind, News, Novelty, Repository};

/// How every JSON report begins.
pub const JSON_BEGINS: &str = r#"{"schema":"packmule.report.v1","#;

/// The schema's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub enum Schema {
    /// The first.
    #[default]
    #[serde(rename = "packmule.report.v1")]
    V1,
}

/// What the run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// verify: the whole bundle holds, and whom the policy demands has signed it.
    Pass,
    /// verify: what was asked for holds; the rest was not looked at.
    Part,
    /// verify: the bundle must not be used.
    Refused,
    /// verify: the run ended before there was a verdict, or has not ended.
    #[default]
    None,
    /// Another command did what it was asked for.
    Done,
    /// Another command did not, or not all of it.
    Failed,
}

/// The report of one run.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "online", schemars(title = "packmule report", deny_unknown_fields))]
pub struct Page {
    /// Always `packmule.report.v1`.
    pub schema: Schema,
    /// The command's words.
    pub command: String,
    /// What it came to.
    pub verdict: Verdict,
    /// Whether the run succeeded: exit code 0.
    pub ok: bool,
    /// The exit code, as far as it was known when the report was written.
    pub exit: u8,
    /// The verdict in a sentence.
    pub summary: String,
    /// When the report was written, UTC.
    pub written: String,
    /// Which program wrote it.
    pub tool: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
    /// What was wrong, the fault that counts most first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// What is odd, or was overlooked because that was allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Bundle>,
    /// Who signed, and who did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Signatures>,
    /// From where to where, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// What is inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
    /// What is new against bundles that were there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub news: Option<News>,
    /// What artifacts refer to and the bundle does not carry, by reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Absent>,
    /// Each check and its result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// What the checks prove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proven: Vec<String>,
    /// What they do not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unproven: Vec<String>,
    /// What is done to content, and what is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handling: Option<String>,
    /// The newest hash of the audit log, where one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<String>,
    /// The lines that the command said to people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub text: Vec<String>,
    /// What `--json` gives, of commands without a report of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<serde_json::Value>,
}

/// Something that was wrong.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Fault {
    /// The name of its exit code.
    pub class: String,
    /// Subject, expected, found.
    pub message: String,
}

/// Which bundle.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Bundle {
    /// Its name.
    pub name: String,
    /// Its id, the digest of its manifest; absent where there was no manifest to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether a known key has signed the manifest: else nothing but its name and its id was read.
    pub authenticated: bool,
    /// How many artifacts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<u64>,
    /// How many blobs, each once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blobs: Option<u64>,
    /// Bytes of its blobs, unpacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How many volume files; 0 in form flat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<u64>,
    /// Which program made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
}

/// Who signed.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Signatures {
    /// The section of the policy that was asked; absent under keys of a command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// How many must have signed.
    pub needed: u64,
    /// How many count: distinct holders, or keys where no holders are known.
    pub counted: u64,
    /// Roles that lack among those that count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_roles: Vec<String>,
    /// Everyone who signed, and everyone of the policy who did not.
    pub signers: Vec<Signer>,
}

/// What became of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Signed just now; nothing was checked.
    Signed,
    /// Signed, and it counts.
    Counted,
    /// Signed, but it does not count for this bundle.
    Aside,
    /// Signed, but the key's time is over: it does not count.
    Ended,
    /// Signed by a key that nobody here knows.
    Unknown,
    /// The signature is wrong.
    Wrong,
    /// Would count, and has not signed.
    #[default]
    Missing,
}

/// A key and whose it is.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Signer {
    /// The key's id.
    pub key: String,
    /// Whose it is, by the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// In which role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What became of it.
    pub standing: Standing,
}

/// From where to where, and when. All of it is what the signers say, but `last` and `order`.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Transfer {
    /// Where it comes from: its annotation `from`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The registries that its artifacts are named after.
    pub registries: Vec<String>,
    /// Where it goes: an import's destination, else the annotation `to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The annotation `ticket`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The other annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
    /// When it was made.
    pub created: String,
    /// From when on it is stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Its channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Where it stands in the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The bundle that was accepted last here, where a state says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Position>,
    /// What the order of the channel says to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// The id of the bundle that it follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// The ids of bundles that it relies on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<String>,
}

/// A place in a channel.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Position {
    /// The epoch.
    pub epoch: u64,
    /// The number in it.
    pub sequence: u64,
    /// The bundle's id.
    pub id: String,
}

/// What became of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// It does not, or not in full, and someone allowed that.
    Overlooked,
    /// It was not made, or not to its end.
    #[default]
    Open,
}

/// A check.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Check {
    /// What was asked.
    pub name: String,
    /// What became of it.
    pub result: Mark,
    /// What was found.
    pub detail: String,
}

impl Page {
    /// As JSON, in ASCII alone, with a line end.
    pub fn to_json(&self) -> String {
        // Serialising these structs cannot fail: every key is a string and writing goes to memory.
        let mut text = ascii(&serde_json::to_string(self).unwrap_or_default());
        text.push('\n');
        text
    }
}

/// JSON text in ASCII alone, with the same meaning: no character of it can change a terminal.
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
