//! The checks of a bundle with their results, derived from the facts. Nothing is checked here.

use super::found::{Bytes, SCAN, Stage};
use super::words;
use crate::base::fault::{Class, Fault};
use crate::base::size::show;
use crate::report::{Check, Mark};

fn check(name: &str, result: Mark, detail: impl Into<String>) -> Check {
    Check { name: name.to_owned(), result, detail: detail.into() }
}

/// Returns all checks, in the order in which they are made.
pub fn list(stage: &Stage<'_>) -> Vec<Check> {
    if stage.found.bytes == Bytes::Written {
        return Vec::new();
    }
    let mut list =
        vec![stage.genuine(), stage.enough(), stage.allowed(), stage.in_turn(), stage.whole(), stage.bytes()];
    list.push(stage.found.scan.clone().unwrap_or_else(|| check(SCAN, Mark::Open, "no scanner was used")));
    list
}

impl Stage<'_> {
    fn faults(&self, class: Class) -> impl Iterator<Item = &Fault> {
        let all = self.found.fault.into_iter().flat_map(|fault| std::iter::once(fault).chain(&fault.others));
        all.filter(move |fault| fault.class == class)
    }

    /// Returns a failed check with the first fault of `class` and the number of others, if there is
    /// any.
    fn failed(&self, name: &str, class: Class) -> Option<Check> {
        let first = self.faults(class).next()?;
        let more = self.faults(class).count() - 1;
        let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
        Some(check(name, Mark::Failed, first.what.clone() + &more))
    }

    fn has(&self, class: Class) -> bool {
        self.faults(class).next().is_some()
    }

    /// Returns whether the signatures were sufficient, which all later steps require.
    fn is_let_in(&self) -> bool {
        self.found.bundle.is_some() || self.has(Class::Policy) || self.has(Class::Stale)
    }

    fn genuine(&self) -> Check {
        const NAME: &str = "Signatures are genuine";
        let good = "all signatures by known keys are valid for exactly this list of contents";
        self.failed(NAME, Class::Signature).unwrap_or_else(|| {
            if self.is_let_in() || self.has(Class::Trust) && self.manifest.is_some() {
                check(NAME, Mark::Passed, good)
            } else {
                check(NAME, Mark::Open, "no known key has signed, or the files are not a bundle")
            }
        })
    }

    fn enough(&self) -> Check {
        const NAME: &str = "Signed by the required signers";
        self.failed(NAME, Class::Trust).unwrap_or_else(|| match &self.found.sight.roll {
            Some(roll) if self.is_let_in() && roll.needed > 0 => {
                let whom = if roll.section.is_some() { ", by different holders" } else { "" };
                check(NAME, Mark::Passed, format!("needed {}{whom}, found {}", roll.needed, roll.counted))
            }
            _ if self.found.bundle.is_some() => check(NAME, Mark::Passed, "as the policy or the given keys require"),
            _ => check(NAME, Mark::Open, "not reached"),
        })
    }

    fn allowed(&self) -> Check {
        const NAME: &str = "Allowed by the policy here";
        let section = self.found.sight.roll.as_ref().and_then(|roll| roll.section.as_deref());
        // Findings of a scanner are a separate check.
        let scanned = self.found.scan.as_ref().is_some_and(|scan| scan.result == Mark::Failed);
        let failed = self.failed(NAME, Class::Policy).filter(|_| !scanned);
        failed.unwrap_or_else(|| match section {
            _ if !self.is_let_in() => check(NAME, Mark::Open, "not reached"),
            None => check(NAME, Mark::Open, "keys were given instead of a policy file: only signatures were checked"),
            Some(section) if self.is_read || self.found.bundle.is_none() => check(
                NAME,
                Mark::Passed,
                format!("policy, {section}: repositories, types, sizes, what images must come with"),
            ),
            Some(section) => {
                check(NAME, Mark::Passed, format!("policy, {section}, as far as the list of contents shows"))
            }
        })
    }

    /// Returns the result of the order check.
    pub fn order(&self) -> Mark {
        self.in_turn().result
    }

    fn in_turn(&self) -> Check {
        const NAME: &str = "In order, not expired";
        let told = &self.found.order;
        let overlooked = told.warnings.iter().find(|text| text.starts_with("overlooked"));
        self.failed(NAME, Class::Stale).unwrap_or_else(|| match (self.found.bundle, overlooked) {
            (None, _) => check(NAME, Mark::Open, "not reached"),
            (Some(_), Some(text)) => check(NAME, Mark::Overlooked, text.clone()),
            (Some(_), None) if told.json.is_null() || told.json["state"] == "unchecked" => {
                check(NAME, Mark::Open, told.line.clone())
            }
            (Some(_), None) => check(NAME, Mark::Passed, words::order(told).unwrap_or_default()),
        })
    }

    fn whole(&self) -> Check {
        const NAME: &str = "Well-formed and complete";
        self.failed(NAME, Class::Format).unwrap_or_else(|| {
            if self.is_read {
                let text = "everything the artifacts refer to is listed, as inside or not inside, and nothing else is";
                check(NAME, Mark::Passed, text)
            } else if matches!(self.found.bytes, Bytes::Volumes(_)) {
                check(NAME, Mark::Open, "only selected volumes were checked")
            } else if matches!(self.found.bytes, Bytes::Shard(..)) {
                check(NAME, Mark::Open, "only one shard was checked")
            } else {
                check(NAME, Mark::Open, if self.found.bundle.is_some() { "not completed" } else { "not reached" })
            }
        })
    }

    /// Returns the files of the bundle in words.
    fn files(&self) -> String {
        match self.manifest.map_or(0, |manifest| manifest.volumes.len()) {
            0 => "plain files".to_owned(),
            1 => "1 volume".to_owned(),
            files => format!("{files} volumes"),
        }
    }

    fn bytes(&self) -> Check {
        const NAME: &str = "Every byte as signed";
        self.failed(NAME, Class::Integrity).unwrap_or_else(|| match &self.found.bytes {
            Bytes::Whole(tally) => {
                let text =
                    format!("{} blobs, {} in {}, each counted once", tally.blobs, show(tally.bytes), self.files());
                check(NAME, Mark::Passed, text)
            }
            Bytes::Joined(tally, shards) => {
                let (blobs, bytes) = (tally.blobs, show(tally.bytes));
                let text = format!(
                    "{blobs} blobs, {bytes} in {}, each counted once by one of {shards} shards on other runs",
                    self.files()
                );
                check(NAME, Mark::Passed, text)
            }
            Bytes::Shard(shard, tally) if self.found.fault.is_none() => {
                let text = format!(
                    "as signed: shard {shard}, {} blobs, {}; no other was checked",
                    tally.blobs,
                    show(tally.bytes)
                );
                check(NAME, Mark::Open, text)
            }
            Bytes::Volumes(list) if self.found.fault.is_none() => {
                let all = self.manifest.map_or(0, |manifest| manifest.volumes.len());
                let text = format!("as signed: volume {} (of {all}); no other was checked", words::numbers(list));
                check(NAME, Mark::Open, text)
            }
            Bytes::Sent if self.found.fault.is_none() => check(
                NAME,
                Mark::Passed,
                "every blob that was sent was checked on the way; what was already there was not read",
            ),
            _ if self.found.bundle.is_some() => check(NAME, Mark::Open, "not completed"),
            _ => check(NAME, Mark::Open, "not reached"),
        })
    }
}
