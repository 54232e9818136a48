//! The sentences of a report. They are written for readers who are not container experts, and claim
//! no more than was found.

use super::found::{Bytes, Found, SCAN, Stage};
use crate::bundle::Manifest;
use crate::oci::Reason;
use crate::operate::freshness::Told;
use crate::report::{Mark, Verdict};
use crate::signing::Call;

/// Returns the next steps for a bundle that passed.
pub fn approve() -> Vec<String> {
    [
        "Ask the sender for the bundle id by another way than the bundle came (for example by phone): all groups must match.",
        "Check the ticket, the contents and what is new: is it what was requested?",
        "Then sign below and let the bundle pass. Otherwise hold it back.",
    ]
    .map(ToOwned::to_owned)
    .to_vec()
}

/// Returns the verdict as a sentence.
pub fn summary(found: &Found<'_>, manifest: Option<&Manifest>) -> String {
    let faults = found.fault.map_or(0, |fault| 1 + fault.others.len());
    let first = || found.fault.map(|fault| fault.what.clone()).unwrap_or_default();
    let artifacts = manifest.map_or(0, |manifest| manifest.artifacts.len());
    match (found.verdict, &found.bytes) {
        (Verdict::Pass, _) => {
            "Every byte is as it was signed, and all required signers have signed. Compare the bundle id before you let it pass.".to_owned()
        }
        (Verdict::Part, Bytes::Volumes(list)) => format!(
            "As signed: volume {}. No other volume was checked: this does not approve the bundle.",
            numbers(list)
        ),
        (Verdict::Part, Bytes::Shard(shard, _)) => {
            format!("As signed: shard {shard}. No other was checked: this does not approve the bundle.")
        }
        (Verdict::Refused, _) if faults == 1 => format!("Do not use this bundle, and do not pass it on. 1 fault was found: {}", first()),
        (Verdict::Refused, _) => {
            format!("Do not use this bundle, and do not pass it on. {faults} faults were found, the first: {}", first())
        }
        (Verdict::None, _) => format!("The run ended before there was a verdict: {}", first()),
        (Verdict::Done, Bytes::Written) => format!("A bundle of {artifacts} artifacts was written. It must still be verified where it arrives."),
        (Verdict::Done, _) => {
            format!("All {artifacts} artifacts are at the destination: {}", found.to.as_deref().unwrap_or_default())
        }
        (Verdict::Part | Verdict::Failed, _) => first(),
    }
}

/// Returns the result of the order check in words.
pub fn order(told: &Told) -> Option<String> {
    let (_, line) = told.line.split_once(": ").unwrap_or(("", &told.line));
    let said = match told.json["state"].as_str() {
        Some("first") => "yes: the first one here",
        Some("same") => "yes: the last one accepted, again",
        Some("next") => "yes: newer than the last one accepted",
        Some("behind") => "NO: older than the last one accepted (overlooked because of --allow-stale)",
        Some("gap") => "NO: it does not follow the last one accepted (overlooked because of --allow-stale)",
        _ => line,
    };
    Some(said.to_owned()).filter(|said| !said.is_empty())
}

/// Returns numbers separated by commas.
pub fn numbers(list: &[usize]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the sentences on what the checks prove; `order` is the result of the order check.
pub fn proven(stage: &Stage<'_>, order: Mark) -> Vec<String> {
    let found = stage.found;
    let called = found.sight.roll.iter().flat_map(|roll| &roll.called).filter(|one| one.call == Call::Counted);
    let mut who: Vec<String> = called
        .map(|one| match &one.who {
            Some((holder, role)) => format!("{holder} ({role})"),
            None => format!("the holder of key {}…", one.keyid.chars().take(12).collect::<String>()),
        })
        .collect();
    who.dedup();
    let origin = format!("Origin: the list of everything in the bundle was signed by {}.", who.join(" and "));
    match (found.verdict, &found.bytes) {
        (Verdict::Pass, _) => {
            let mut lines = vec![
                origin,
                "Integrity: every byte is as they signed it.".to_owned(),
                "Completeness: everything the artifacts refer to is inside or listed as not inside, and nothing else is."
                    .to_owned(),
            ];
            if order == Mark::Passed {
                lines.push("Order: it is in order, as far as is known here, and has not expired.".to_owned());
            }
            lines
        }
        (Verdict::Part, Bytes::Volumes(list)) => {
            vec![origin, format!("Integrity: volume {}, as they signed.", numbers(list))]
        }
        (Verdict::Part, Bytes::Shard(shard, _)) => {
            vec![origin, format!("Integrity: the content of shard {shard}, as they signed.")]
        }
        (Verdict::Done, Bytes::Sent) => {
            vec![origin, "Integrity: every byte that was sent is as they signed it.".to_owned()]
        }
        _ => Vec::new(),
    }
}

/// Returns the sentences on what the checks do not prove.
pub fn unproven(stage: &Stage<'_>, order: Mark) -> Vec<String> {
    let found = stage.found;
    if !matches!(found.verdict, Verdict::Pass | Verdict::Part | Verdict::Done) || found.bytes == Bytes::Written {
        return Vec::new();
    }
    let mut lines = Vec::new();
    if matches!(found.bytes, Bytes::Volumes(_)) {
        lines.push("Anything about the volumes that were not checked.".to_owned());
    }
    if matches!(found.bytes, Bytes::Shard(..)) {
        lines.push(
            "Anything about the other shards: `packmule verify --join` checks whether all of them hold.".to_owned(),
        );
    }
    if matches!(found.bytes, Bytes::Joined(..)) {
        lines.push(
            "That the shards read what lies here now: their tallies say what they have read, and when.".to_owned(),
        );
    }
    lines.push(format!(
        "Harmlessness: genuine content can still do harm. “{SCAN}”, above, says whether it was scanned."
    ));
    lines.push("That notes, ticket, origin and date are true: the signers vouch for them.".to_owned());
    lines.push(
        "That the artifacts' own signatures, SBOMs and VEX are correct: they were carried, not checked.".to_owned(),
    );
    if stage.manifest.is_some_and(|manifest| !manifest.absent.is_empty()) {
        lines.push("That the destination has what is not inside: the import checks that.".to_owned());
    }
    if order != Mark::Passed {
        lines.push("That there is no newer bundle: its order was not checked.".to_owned());
    }
    lines
}

/// Returns the sentence on how content is handled.
pub const fn handling(bytes: &Bytes) -> &'static str {
    match bytes {
        Bytes::Written => {
            "packmule carries content and does not transform it: every blob and manifest is the source's, byte for byte. Only an index that was cut to fewer platforms was rebuilt, and it is marked as such."
        }
        _ => {
            "packmule verifies content and never transforms it: no blob or manifest is changed, cleaned, converted or rebuilt. What arrives is byte for byte what was signed, including harmful content."
        }
    }
}

/// Returns a reason as a word and as a sentence.
pub const fn absent(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::Base => ("base", "An earlier bundle delivered it: the destination should have it"),
        Reason::Foreign => ("foreign", "Its maker does not allow it to be passed on"),
        Reason::Missing => ("missing", "The source did not have it"),
        Reason::Platform => ("platform", "It is for platforms that the sender left out"),
    }
}
