//! The report of `diff`.

use crate::base::fault::Fault;
use crate::operate::diff::place::there::Seen;
use crate::operate::diff::{Change, Difference};
use crate::report::{Differences, Differing, Page, Verdict};

fn page(differences: Differences, fault: Option<&Fault>) -> Box<Page> {
    let (old, new, count) = (&differences.old, &differences.new, differences.rows.len());
    let summary = match count {
        0 => format!("Nothing differs between {old} and {new}. This is not a verdict on a bundle."),
        1 => format!("1 difference between {old} and {new}."),
        count => format!("{count} differences between {old} and {new}."),
    };
    let verdict = if fault.is_some() { Verdict::Failed } else { Verdict::Done };
    Box::new(Page { verdict, summary, differences: Some(differences), ..Page::default() })
}

/// Returns the report of a comparison of names.
pub fn of_names(found: &Difference, (old, new): (&str, &str), fault: Option<&Fault>) -> Box<Page> {
    let rows = found.changes.iter().map(|(name, change)| {
        let tag = name.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let (kind, old, new) = match change {
            Change::New(digest) => ("new", None, Some(digest)),
            Change::Gone(digest) => ("gone", Some(digest), None),
            Change::Changed { old, new } => ("changed", Some(old), Some(new)),
        };
        Differing {
            name: format!("{}{tag}", name.repository),
            kind: kind.to_owned(),
            old: old.map(ToString::to_string),
            new: new.map(ToString::to_string),
        }
    });
    let differences = Differences {
        old: old.to_owned(),
        new: new.to_owned(),
        scope:
            "Names and the digests of their manifests were compared; blobs were not looked at. Manifests of bundles \
                are not authenticated here."
                .to_owned(),
        same: Some(found.same as u64),
        rows: rows.collect(),
    };
    page(differences, fault)
}

/// Returns the report of a bundle that was looked for at a place. `is_read`: every blob was read.
pub fn of_place(seen: &Seen, (old, new): (&str, &str), is_read: bool, fault: Option<&Fault>) -> Box<Page> {
    let rows = seen.findings.iter().map(|one| Differing {
        name: one.repository.to_string(),
        kind: one.kind.to_owned(),
        old: Some(one.digest.to_string()),
        new: Some(one.detail.clone()),
    });
    let blobs = seen.blobs;
    let scope = if is_read {
        format!(
            "Every manifest, tag and list of the bundle was looked for at the place, and {blobs} blobs were read there and hashed."
        )
    } else {
        format!(
            "Every manifest, tag and list of the bundle was looked for at the place; {blobs} blobs were asked for and not read."
        )
    };
    let scope = format!("{scope} The bundle's manifest is not authenticated here.");
    let (old, new) = (old.to_owned(), new.to_owned());
    page(Differences { old, new, scope, same: None, rows: rows.collect() }, fault)
}
