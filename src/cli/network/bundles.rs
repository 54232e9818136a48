//! Lists of the bundles in a container, for `ls`.

use serde_json::{Value, json};

use super::{Network, containers};
use crate::base::fault::{Fault, escape};
use crate::cli::Session;
use crate::cli::args::container::Address;
use crate::cli::output::Outcome;
use crate::cli::progress::size as show;
use crate::operate::transfer::list::{self, Listed, State, Stated};

impl Network {
    /// Lists the bundles in a container, and uploads that were not completed.
    ///
    /// # Errors
    /// Class usage, source, io.
    pub fn bundles(&self, address: &Address, session: &Session<'_>) -> Result<Outcome, Fault> {
        let container = containers::open(self, address, session)?;
        let listing = list::run(&session.flow, &*container, "")?;
        let mut text: String = listing.bundles.iter().map(line).collect();
        for part in &listing.unfinished {
            let size = part.size.map(|size| format!("  {}", show(size))).unwrap_or_default();
            text.push_str(&format!("unfinished  upload of {}{size}\n", escape(&part.name)));
        }
        let bundles: Vec<Value> = listing.bundles.iter().map(as_json).collect();
        let parts: Vec<Value> = (listing.unfinished.iter())
            .map(|part| json!({ "name": part.name, "id": part.id, "size": part.size }))
            .collect();
        let result = json!({
            "place": address.to_string(), "bundles": bundles, "uploads": parts, "authenticated": false,
        });
        Ok(Outcome::new(text, result))
    }
}

fn line(listed: &Listed) -> String {
    let about = |stated: &Stated| {
        format!("{}  {} volumes  {}  {}", stated.created, stated.volumes, show(stated.bytes), stated.id)
    };
    let (word, rest) = match &listed.state {
        State::Complete(stated) => ("complete", about(stated)),
        State::Incomplete(stated, missing) => {
            ("incomplete", format!("{}  {} files missing", about(stated), missing.len()))
        }
        State::Unreadable(why) => ("unreadable", escape(why)),
        State::NoManifest => ("incomplete", format!("no manifest  {}", show(listed.size()))),
    };
    format!("{word:10}  {}  {rest}\n", escape(&listed.name))
}

fn as_json(listed: &Listed) -> Value {
    let mut value = json!({ "name": listed.name, "size": listed.size(), "complete": false });
    let stated = match &listed.state {
        State::Complete(stated) => {
            value["complete"] = json!(true);
            Some(stated)
        }
        State::Incomplete(stated, missing) => {
            value["missing"] = json!(missing);
            Some(stated)
        }
        State::Unreadable(why) => {
            value["unreadable"] = json!(why);
            None
        }
        State::NoManifest => None,
    };
    if let Some(stated) = stated {
        value["id"] = json!(stated.id);
        value["created"] = json!(stated.created);
        value["volumes"] = json!(stated.volumes);
        value["bytes"] = json!(stated.bytes);
    }
    value
}
