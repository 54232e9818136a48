//! Reports of `import` and `export`: the common page with facts of their own.

use std::collections::HashMap;
use std::path::Path;

use super::found::{Bytes, Found, Sight};
use super::page::page;
use crate::base::fault::{Class, Fault, escape};
use crate::bundle::{Manifest, Trusted, open};
use crate::flow::Flow;
use crate::oci::Digest;
use crate::operate::freshness::Told;
use crate::operate::import::Landed;
use crate::report::{Check, Page, Verdict};
use crate::signing::policy::Called;
use crate::signing::{Call, Roll};

impl Sight {
    /// Returns the facts of a bundle that was just written; its signers are known only by their
    /// keys.
    pub fn of_own(id: Digest, manifest: Manifest, keyids: Vec<String>) -> Self {
        let called = |keyid| Called { keyid, who: None, call: Call::Counted };
        let roll = Roll { called: keyids.into_iter().map(called).collect(), ..Roll::default() };
        Self { name: manifest.name.to_string(), id: Some(id), roll: Some(roll), manifest: Some(manifest) }
    }

    /// Returns the facts of a bundle that was accepted.
    fn of_trusted(bundle: &Trusted) -> Self {
        let (judgement, admission) = (bundle.judgement(), bundle.admission());
        let who = |keyid: &String| {
            let entry = admission.counted.iter().find(|entry| entry.keyids.contains(keyid));
            entry.map(|entry| (entry.holder.clone(), entry.role.clone()))
        };
        let good = judgement.good.iter().map(|keyid| {
            let who = who(keyid);
            let call = if who.is_none() && admission.section.is_some() { Call::Aside } else { Call::Counted };
            Called { keyid: keyid.clone(), who, call }
        });
        let unknown = judgement.unknown.iter();
        let unknown = unknown.map(|keyid| Called { keyid: keyid.clone(), who: None, call: Call::Unknown });
        let ended = judgement.ended.iter();
        let ended = ended.map(|keyid| Called { keyid: keyid.clone(), who: None, call: Call::Ended });
        let called = good.chain(ended).chain(unknown).collect();
        let roll = Roll { section: admission.section.clone(), called, ..Roll::default() };
        let name = bundle.manifest().name.to_string();
        Self { name, id: Some(bundle.id()), roll: Some(roll), manifest: None }
    }
}

fn verdict(fault: Option<&Fault>) -> Verdict {
    match fault {
        None => Verdict::Done,
        Some(fault) if fault.class == Class::Partial => Verdict::Part,
        Some(_) => Verdict::Failed,
    }
}

/// Returns the report of an import of `bundle` to `to`, or of its dry run.
pub fn imported(
    bundle: &Trusted,
    done: &crate::operate::import::Imported,
    (to, order, dry_run): (&str, Told, bool),
    scan: Option<Check>,
    fault: Option<&Fault>,
) -> Box<Page> {
    let mut page = page(Found {
        sight: Sight::of_trusted(bundle),
        verdict: verdict(fault),
        bundle: Some(bundle),
        bytes: if dry_run { Bytes::Open } else { Bytes::Sent },
        order,
        fault,
        to: Some(to.to_owned()),
        scan,
        ..Found::default()
    });
    if dry_run && fault.is_none() {
        page.summary = format!("Dry run: nothing prevents an import to {to}. Nothing was sent.");
        page.proven.clear();
    }
    let landed: HashMap<(String, String), String> = (done.artifacts.iter())
        .map(|one| {
            let word = match (&one.landed, dry_run) {
                (Landed::Pushed, true) => "to be sent to",
                (Landed::Pushed, false) => "sent to",
                (Landed::Present, _) => "already at",
                (Landed::Unread(_), _) => "UNREAD:",
                (Landed::LeftOut, _) => "left out of",
                (Landed::Left(_), _) => "left, not taken by",
                (Landed::Failed(_), _) => "FAILED:",
            };
            let kept = if one.kept.is_empty() { "" } else { " (an existing tag was kept)" };
            let text = format!("{word} {}{kept}", one.destination);
            ((one.repository.to_string(), one.digest.to_string()), text)
        })
        .collect();
    for repository in page.contents.iter_mut().flat_map(|contents| &mut contents.repositories) {
        let name = &repository.name;
        for item in &mut repository.items {
            item.outcome = landed.get(&(name.clone(), item.digest.clone())).cloned();
            for below in &mut item.attached {
                below.outcome = landed.get(&(name.clone(), below.digest.clone())).cloned();
            }
        }
    }
    page
}

/// Returns the report of an export into `dir`. Reads the documents from the bundle that was just
/// written.
pub fn exported(
    flow: &Flow,
    dir: &Path,
    done: &crate::operate::export::Outcome,
    keyids: Vec<String>,
    fault: Option<&Fault>,
) -> Box<Page> {
    let opened = open(&dir.join(done.manifest.name.manifest())).and_then(|head| head.learning(true).assume());
    let bundle = opened.and_then(|bundle| bundle.closure(flow).map(|_| bundle));
    if let Err(error) = &bundle {
        flow.warn(format!("report: cannot read the documents again: {}", escape(&error.what)));
    }
    let bundle = bundle.ok();
    page(Found {
        sight: Sight::of_own(done.id, done.manifest.clone(), keyids),
        verdict: verdict(fault),
        bundle: bundle.as_ref(),
        bytes: Bytes::Written,
        fault,
        ..Found::default()
    })
}
