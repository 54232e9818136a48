//! Text and JSON for the differences that `diff` and `verify --base` show.

use serde_json::{Value, json};

use crate::oci::Tag;
use crate::operate::diff::{Change, Difference, Name};

/// Returns one change as a line.
pub fn line(repository: &str, tag: Option<&Tag>, change: &Change) -> String {
    let name = tag.map_or_else(|| repository.to_owned(), |tag| format!("{repository}:{tag}"));
    match change {
        Change::New(digest) => format!("new        {name}@{digest}\n"),
        Change::Gone(digest) => format!("gone       {name}@{digest}\n"),
        Change::Changed { old, new } => format!("changed    {name}: {old} is now {new}\n"),
    }
}

/// Maximum number of changes listed; of the others only the count is given.
pub const LISTED: usize = 100_000;

/// Returns the first [`LISTED`] changes as JSON.
pub fn as_json(found: &Difference) -> Vec<Value> {
    let one = |(name, change): &(Name, Change)| {
        let (word, old, new) = match change {
            Change::New(digest) => ("new", None, Some(&**digest)),
            Change::Gone(digest) => ("gone", Some(&**digest), None),
            Change::Changed { old, new } => ("changed", Some(&**old), Some(&**new)),
        };
        json!({ "repository": &*name.repository, "tag": name.tag, "change": word, "old": old, "new": new })
    };
    found.changes.iter().take(LISTED).map(one).collect()
}
