//! The page of a report, assembled from facts, checks and sentences.

use std::collections::BTreeMap;

use super::found::{Bytes, Found, Sight, Stage};
use super::images::Configs;
use super::{checks, contents, words};
use crate::base::fault::{Class, Fault};
use crate::base::product::TOOL;
use crate::base::time::Moment;
use crate::bundle::format::notes::Notes;
use crate::bundle::{Manifest, Trusted};
use crate::flow::Clock;
use crate::oci::{Digest, Reason};
use crate::operate::diff::{Change, Difference};
use crate::report::{
    Absent, Base, Bundle, Changed, Contents, News, Page, Position, Signatures, Signer, Standing, Transfer, Verdict,
};
use crate::signing::{Call, Roll};

/// Maximum number of artifacts that are named for missing content.
const NAMED: usize = 1000;

/// Returns the report of a command without a report of its own.
pub fn plain(command: &str, fault: Option<&Fault>) -> Page {
    let verdict = match fault {
        Some(_) if command == "verify" => Verdict::None,
        Some(_) => Verdict::Failed,
        None => Verdict::Done,
    };
    let summary = match (fault, verdict) {
        (None, _) => "The command succeeded. This is not a verdict on a bundle.".to_owned(),
        (Some(fault), Verdict::None) => format!("The run ended before there was a verdict: {}", fault.what),
        (Some(fault), _) => fault.what.clone(),
    };
    Page { verdict, summary, ..Page::default() }
}

/// Adds the parts at the end of every report: time, tool, faults, advice.
pub fn finish(page: &mut Page, fault: Option<&Fault>, clock: &dyn Clock) {
    page.written = Moment::from_unix(clock.unix()).map(|moment| moment.to_string()).unwrap_or_default();
    TOOL.clone_into(&mut page.tool);
    let Some(fault) = fault else { return };
    let all = || std::iter::once(fault).chain(&fault.others);
    page.faults = all()
        .map(|fault| crate::report::Fault {
            class: fault.class.name().to_owned(),
            message: fault.what.clone(),
            subject: fault.subject().map(ToOwned::to_owned),
            expected: fault.expected().map(ToOwned::to_owned),
            found: fault.found().map(ToOwned::to_owned),
        })
        .collect();
    for help in all().filter_map(|fault| fault.help.as_ref()) {
        if !page.next.contains(help) {
            page.next.push(help.clone());
        }
    }
    if page.next.is_empty() {
        page.next.push(fault.class.advice().to_owned());
    }
}

/// Returns the report of the facts found about a bundle.
pub fn page(found: Found<'_>) -> Box<Page> {
    let manifest = found.bundle.map(Trusted::manifest).or(found.sight.manifest.as_ref());
    let difference = found.news.as_ref().map(|(_, difference)| *difference);
    let catalogue = found.bundle.and_then(Trusted::catalogue);
    let configs = Configs::of(found.bundle);
    let contents = manifest.map(|manifest| contents::tree(manifest, catalogue, difference, &configs));
    let stage = Stage { found: &found, manifest, is_read: catalogue.is_some() };
    let order = stage.order();
    let mut page = Page {
        verdict: found.verdict,
        summary: words::summary(&found, manifest),
        warnings: found.order.warnings.clone(),
        checks: checks::list(&stage),
        proven: words::proven(&stage, order),
        unproven: words::unproven(&stage, order),
        handling: Some(words::handling(&found.bytes).to_owned()),
        bundle: Some(bundle(&found.sight, manifest)),
        signatures: found.sight.roll.as_ref().map(|roll| signatures(roll, found.bytes == Bytes::Written)),
        absent: manifest.zip(contents.as_ref()).map(|(manifest, list)| absent(manifest, list)).unwrap_or_default(),
        contents: contents.map(|(contents, _)| contents),
        transfer: manifest.map(|manifest| transfer(manifest, &found)),
        ..Page::default()
    };
    if found.verdict == Verdict::Pass {
        page.next = words::approve();
    }
    if !found.again.is_empty() {
        page.next.push(format!("bring again: {}", found.again.join(", ")));
    }
    page.news = found.news.map(|(bases, difference)| news(bases, difference));
    Box::new(page)
}

fn bundle(sight: &Sight, manifest: Option<&Manifest>) -> Bundle {
    let count = |length: usize| Some(length as u64);
    Bundle {
        name: sight.name.clone(),
        id: sight.id.map(|id| id.to_string()),
        authenticated: manifest.is_some(),
        artifacts: manifest.and_then(|manifest| count(manifest.artifacts.len())),
        blobs: manifest.and_then(|manifest| count(manifest.blobs.len())),
        bytes: manifest.map(|manifest| manifest.blobs.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.size))),
        volumes: manifest.and_then(|manifest| count(manifest.volumes.len())),
        tool: manifest.map(|manifest| manifest.tool.clone()),
    }
}

/// Returns the signatures of a bundle that was looked at under a policy.
pub fn signatures_of(sight: &Sight) -> Signatures {
    sight.roll.as_ref().map(|roll| signatures(roll, false)).unwrap_or_default()
}

/// Returns the signatures of a report; `own` means that they were just made here.
fn signatures(roll: &Roll, own: bool) -> Signatures {
    let signer = |one: &crate::signing::policy::Called| Signer {
        key: one.keyid.clone(),
        holder: one.who.as_ref().map(|(holder, _)| holder.clone()),
        role: one.who.as_ref().map(|(_, role)| role.clone()),
        standing: match one.call {
            Call::Counted if own => Standing::Signed,
            Call::Counted => Standing::Counted,
            Call::Aside => Standing::Aside,
            Call::Ended => Standing::Ended,
            Call::Unknown => Standing::Unknown,
            Call::Wrong => Standing::Wrong,
            Call::Missing => Standing::Missing,
        },
    };
    Signatures {
        section: roll.section.clone(),
        needed: roll.needed as u64,
        counted: roll.counted as u64,
        missing_roles: roll.missing_roles.clone(),
        signers: roll.called.iter().map(signer).collect(),
    }
}

fn transfer(manifest: &Manifest, found: &Found<'_>) -> Transfer {
    let all = manifest.annotations.iter().flat_map(Notes::iter);
    let mut notes: BTreeMap<String, String> = all.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut registries: Vec<String> = manifest
        .artifacts
        .iter()
        .map(|artifact| match artifact.repository.host() {
            "" => "no registry".to_owned(),
            host => host.to_owned(),
        })
        .collect();
    registries.sort();
    registries.dedup();
    let position = |epoch, sequence, id: Digest| Position { epoch, sequence, id: id.to_string() };
    let own = manifest.epoch.zip(manifest.sequence).zip(found.sight.id);
    let said = notes.remove("to");
    Transfer {
        from: notes.remove("from"),
        registries,
        to: found.to.clone().or(said),
        ticket: notes.remove("ticket"),
        notes,
        created: manifest.created.to_string(),
        expires: manifest.expires.map(|expires| expires.to_string()),
        channel: manifest.channel.clone(),
        position: own.map(|((epoch, sequence), id)| position(epoch, sequence, id)),
        last: found.order.last.map(|last| position(last.epoch, last.sequence, last.id)),
        order: words::order(&found.order),
        previous: manifest.previous.map(|previous| previous.to_string()),
        bases: manifest.bases.iter().map(ToString::to_string).collect(),
    }
}

/// Returns the absent content by reason, with the artifacts that it concerns.
fn absent(manifest: &Manifest, list: &(Contents, contents::Lacks)) -> Vec<Absent> {
    [Reason::Missing, Reason::Platform, Reason::Base, Reason::Foreign]
        .into_iter()
        .filter_map(|reason| {
            let these = || manifest.absent.iter().filter(|absent| absent.reason == reason);
            let (word, why) = words::absent(reason);
            (these().count() > 0).then(|| Absent {
                reason: word.to_owned(),
                why: why.to_owned(),
                blobs: these().count() as u64,
                bytes: these().fold(0, |sum, absent| sum.saturating_add(absent.size)),
                artifacts: list.1.get(&reason).into_iter().flatten().take(NAMED).cloned().collect(),
            })
        })
        .collect()
}

fn news(bases: Vec<Base>, difference: &Difference) -> News {
    let mut news = News { bases, same: difference.same as u64, ..News::default() };
    for (name, change) in &difference.changes {
        match change {
            Change::New(_) => news.new += 1,
            Change::Changed { old, new } => {
                let tag = name.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
                let name = format!("{}{tag}", name.repository);
                news.changed.push(Changed { name, was: old.to_string(), is: new.to_string() });
            }
            Change::Gone(_) => {}
        }
    }
    news
}

/// Returns whether a fault of `class` refuses the bundle. Any other fault means that there is no
/// verdict.
pub const fn refuses(class: Class) -> bool {
    matches!(class, Class::Format | Class::Integrity | Class::Signature | Class::Trust | Class::Stale | Class::Policy)
}
