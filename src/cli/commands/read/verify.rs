//! `verify`: prints PASS, PART or REFUSED, and why.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use serde_json::json;

use crate::base::fault::{Class, Fault, escape};
use crate::bundle::stream::Stream;
use crate::bundle::{Trusted, Untrusted};
use crate::cli::Session;
use crate::cli::args::bundle::{Opened, asking, can_ask, directories, open, open_any, refuse_container};
use crate::cli::args::scan::{self, Scan};
use crate::cli::args::trust::Trust;
use crate::cli::confine::above;
use crate::cli::diff_text::{LISTED, as_json, line};
use crate::cli::output::Outcome;
use crate::cli::reach::Reach;
use crate::cli::tallies::options::{Sharding, Split};
use crate::cli::tallies::show;
use crate::cli::tallies::write::Written;
use crate::oci::Repository;
use crate::operate::diff::{Change, Contents, Difference, compare, of_bundle, of_manifest};
use crate::operate::freshness::{Side, Told};
use crate::operate::report_data::{self, Bytes, Found, Sight};
use crate::operate::verify::{Content, Request, Scope, Verdict};
use crate::report::{Base, Verdict as Word};

/// `verify BUNDLE TRUST`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Bundle: DIR/NAME, NAME.json, a directory with one bundle, a stream file, - (standard input),
    /// or CONTAINER/NAME
    bundle: OsString,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    scan: Scan,
    /// Check only this volume against its signed digest; repeatable
    #[arg(long = "volume", value_name = "N", conflicts_with = "scan")]
    volumes: Vec<usize>,
    /// Further directory to look for volumes in, where a terminal prompts for the next medium;
    /// repeatable
    #[arg(long = "volume-dir", value_name = "DIR")]
    volume_dirs: Vec<PathBuf>,
    /// Show what is new compared with this bundle (its NAME.json is enough); repeatable, the newest
    /// last
    #[arg(long = "base", value_name = "BUNDLE")]
    bases: Vec<OsString>,
    /// Keep a state here, as a guard does: a bundle that passes becomes the last one accepted
    #[arg(long, conflicts_with = "volumes")]
    record: bool,
    /// Stop at the first fault
    #[arg(long)]
    fail_fast: bool,
    #[command(flatten)]
    sharding: Sharding,
    #[command(flatten)]
    reach: Reach,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage and io before there is a verdict; a refusal is an outcome with its fault.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        session.reach = self.reach.clone();
        self.bases.iter().try_for_each(|base| refuse_container(base, "--base"))?;
        // Keys first: without trust, only the signature file is opened, to list who signed.
        let trust = self.trust.read(if self.record { Side::guard() } else { Side::Look }, session)?;
        let scanner = self.scan.open(&self.bundle, self.fail_fast, session)?;
        let split = self.sharding.open(&self.bundle, session)?;
        let can_ask = scanner.is_none()
            && matches!(split, Split::Whole)
            && !self.volume_dirs.is_empty()
            && can_ask(session.world);
        let beside = self.readable(can_ask, session);
        // A run that keeps a state must be able to write it.
        let confined = (!self.record).then_some(&*beside);
        let bundle = open_any(&self.bundle, &self.volume_dirs, confined, session);
        let policy = trust.policy(bundle.as_ref().map(|opened| &opened.head))?;
        let Opened { head, rest } = match bundle {
            Ok(bundle) => bundle,
            Err(fault) if fault.class == Class::Format => {
                let report = session
                    .reports()
                    .then(|| Found { sight: Sight::of_none(&self.bundle.to_string_lossy()), ..Found::default() });
                return Ok(refused(&self.bundle.to_string_lossy(), None, fault, &[], report));
            }
            Err(fault) => return Err(fault),
        };
        let head = trust.with_signatures(head);
        let sight = session.reports().then(|| Sight::of(&head, &policy));
        let (name, id) = (head.name().to_string(), head.id());
        let bases = self.bases.iter().map(|text| base(text, session)).collect::<Result<Vec<_>, _>>()?;
        let scope = Scope { volumes: self.volumes.clone(), shard: split.shard(), fail_fast: self.fail_fast };
        let is_at_hand = rest.is_none() && !can_ask;
        let verdict = {
            let mut ask = asking(session.world);
            let content = match rest {
                Some(rest) => Content::Stream(Stream { head, rest }),
                None if can_ask => Content::Media(head, &mut ask),
                None => Content::Files(head),
            };
            let (scanner, tallies) = (scanner.as_ref(), split.tallies());
            let request = Request { content, policy: &policy, scope: &scope, scanner, tallies };
            crate::operate::verify::run(&session.flow, request)
        };
        let order = trust.order();
        let report = sight.map(|sight| Found {
            sight,
            bundle: verdict.bundle.as_ref(),
            bytes: looked_at(&verdict, &scope),
            order: order.clone(),
            scan: verdict.scan.as_ref().map(scan::check),
            ..Found::default()
        });
        match &verdict.fault {
            // Problems of the machine, the medium or another run say nothing about the bundle.
            Some(fault) if !report_data::refuses(fault.class) => Err(fault.clone()),
            Some(fault) => {
                let mut outcome = refused(&name, Some(id.to_string()), fault.clone(), &verdict.again, report);
                scan::tell(verdict.scan.as_ref(), &mut outcome.text, &mut outcome.result);
                Ok(outcome)
            }
            None => {
                let good = Good { name: &name, verdict: &verdict, scope: &scope, order: &order };
                self.accepted(good, &split, (is_at_hand, bases), report, session)
            }
        }
    }

    /// Returns the directories other than the bundle's that a confined run may read.
    fn readable(&self, can_ask: bool, session: &Session<'_>) -> Vec<PathBuf> {
        let beside = self.bases.iter().flat_map(|text| directories(text, session));
        let media = if can_ask {
            above(&self.volume_dirs.iter().map(|dir| session.path(dir)).collect::<Vec<_>>())
        } else {
            vec![]
        };
        beside.chain(session.store().map(|store| store.dir().to_owned())).chain(media).collect()
    }

    /// Returns the outcome of a check that found no fault, and writes the state or the tally of a shard.
    fn accepted(
        &self,
        good: Good<'_>,
        split: &Split,
        (is_at_hand, bases): (bool, Vec<Untrusted>),
        report: Option<Found<'_>>,
        session: &Session<'_>,
    ) -> Result<Outcome, Fault> {
        let Good { verdict, scope, order, .. } = good;
        order.warnings.iter().for_each(|text| session.flow.warn(text.as_str()));
        if self.record {
            verdict.bundle.as_ref().map_or(Ok(()), Trusted::accept)?;
        }
        let written = match (split, &verdict.seen) {
            (Split::Shard(_, file), Some(seen)) => Some(file.write(seen)?),
            _ => None,
        };
        let mut outcome = passed(good, written);
        scan::tell(verdict.scan.as_ref(), &mut outcome.text, &mut outcome.result);
        let new = match &verdict.bundle {
            Some(bundle) if !bases.is_empty() => Some(news(&mut outcome, bundle, is_at_hand, bases, session)?),
            _ => None,
        };
        // With references that live only here.
        let mut report: Option<Found<'_>> = report;
        if let Some(report) = &mut report {
            report.verdict = if scope.is_whole() { Word::Pass } else { Word::Part };
            report.news = new.as_ref().map(|(bases, found)| (bases.clone(), found));
        }
        outcome.page = report.map(report_data::page);
        Ok(outcome)
    }
}

/// A check that found no fault.
#[derive(Clone, Copy)]
struct Good<'a> {
    name: &'a str,
    verdict: &'a Verdict,
    scope: &'a Scope,
    order: &'a Told,
}

/// Returns how much of the bundle's content was checked.
fn looked_at(verdict: &Verdict, scope: &Scope) -> Bytes {
    match (verdict.tally, &verdict.seen) {
        (Some(tally), _) if verdict.vouched.is_empty() => Bytes::Whole(tally),
        (Some(tally), _) => Bytes::Joined(tally, verdict.vouched.len()),
        (None, Some(seen)) => Bytes::Shard(seen.shard(), seen.tally()),
        (None, None) if scope.volumes.is_empty() => Bytes::Open,
        (None, None) => Bytes::Volumes(scope.volumes.clone()),
    }
}

fn refused(name: &str, id: Option<String>, fault: Fault, again: &[String], report: Option<Found<'_>>) -> Outcome {
    let shown = id.as_ref().map(|id| format!("\nbundle id  {id}")).unwrap_or_default();
    let count = fault.others.len() + 1;
    let faults = if count == 1 { "1 fault".to_owned() } else { format!("{count} faults") };
    let mut text = format!("REFUSED  {}{shown}\nfound      {faults}, listed on standard error\n", escape(name));
    if !again.is_empty() {
        text.push_str(&format!("bring again  {}\n", again.join(" ")));
    }
    let mut result = json!({ "verdict": "REFUSED", "name": name, "faults": count, "again": again });
    if let Some(id) = id {
        result["id"] = json!(id);
    }
    let page =
        report.map(|report| report_data::page(Found { verdict: Word::Refused, fault: Some(&fault), again, ..report }));
    Outcome { page, ..Outcome::new(text, result).failed(fault) }
}

/// Opens a base for comparison. Its faults say nothing about the bundle.
fn base(text: &OsStr, session: &Session<'_>) -> Result<Untrusted, Fault> {
    let found = open(text, session).and_then(|base| base.claimed().map(|_| base));
    found.map_err(|fault| {
        let class = if fault.class == Class::Format { Class::Usage } else { fault.class };
        Fault { class, ..fault }.within(format_args!("--base {}", text.display()))
    })
}

/// Adds what is new compared with the bases to the outcome. A base that the signed manifest names
/// is authentic; nothing is known about any other.
fn news(
    outcome: &mut Outcome,
    bundle: &Trusted,
    is_at_hand: bool,
    bases: Vec<Untrusted>,
    session: &Session<'_>,
) -> Result<(Vec<Base>, Difference), Fault> {
    let full = |repository: &Repository| Ok(repository.to_string());
    let manifest = bundle.manifest();
    let mut before = Contents::default();
    let (mut named, mut told) = (Vec::new(), Vec::new());
    for base in bases {
        let (id, is_named) = (base.id(), manifest.bases.contains(&base.id()));
        let why = if is_named { "named by this bundle" } else { "not authenticated, and not named by this bundle" };
        outcome.text.push_str(&format!("against    {}, bundle id {id} ({why})\n", base.name()));
        named.push(json!({ "name": base.name().to_string(), "id": id, "named": is_named }));
        told.push(Base { name: base.name().to_string(), id: id.to_string(), named: is_named });
        before.extend(of_bundle(&session.flow, base, &full)?);
    }
    // A stream cannot be read again, so names and sizes come from the manifest.
    let closure = if is_at_hand { Some(bundle.closure(&session.flow)?) } else { None };
    let after = of_manifest(&session.flow, manifest, closure.as_ref(), &full)?;
    let mut found = compare(&session.flow, &before, &after)?;
    found.changes.retain(|(_, change)| !matches!(change, Change::Gone(_)));
    for (name, change) in found.changes.iter().take(LISTED) {
        outcome.text.push_str(&line(&name.repository, name.tag.as_ref(), change));
    }
    let unlisted = found.changes.len().saturating_sub(LISTED);
    if unlisted > 0 {
        outcome.text.push_str(&format!("and        {unlisted} more names are new or changed\n"));
    }
    outcome.text.push_str(&format!("same       {} names\n", found.same));
    outcome.result["news"] =
        json!({ "bases": named, "differences": as_json(&found), "unlisted": unlisted, "unchanged": found.same });
    Ok((told, found))
}

fn passed(good: Good<'_>, written: Option<Written>) -> Outcome {
    let Good { name, verdict, scope, order } = good;
    let Some(bundle) = &verdict.bundle else {
        return Outcome::default().failed(Fault::new(Class::Bug, "internal error: passed without a bundle"));
    };
    let manifest = bundle.manifest();
    let signed = bundle.judgement();
    let word = if scope.is_whole() { "PASS" } else { "PART" };
    let mut text = format!("{word}  {}\nbundle id  {}\n", escape(name), bundle.id());
    let admission = bundle.admission();
    for keyid in &signed.good {
        let who = admission.counted.iter().find(|entry| entry.keyids.contains(keyid));
        match (&admission.section, who) {
            (Some(_), None) => {
                text.push_str(&format!("not counted  {keyid} (a key of the policy, but not of this section)\n"));
            }
            (_, who) => {
                let who = who.map(|entry| format!("  {} ({})", escape(&entry.holder), escape(&entry.role)));
                text.push_str(&format!("signed by  {keyid}{}\n", who.unwrap_or_default()));
            }
        }
    }
    for keyid in &signed.ended {
        text.push_str(&format!("not counted  {keyid} (a key of the policy whose `until` has passed)\n"));
    }
    for keyid in &signed.unknown {
        text.push_str(&format!("not counted  {keyid} (a key that was not given)\n"));
    }
    text.push_str(&format!("order      {}\n", order.line));
    let mut result = json!({
        "verdict": word,
        "name": name,
        "id": bundle.id(),
        "created": manifest.created,
        "tool": manifest.tool,
        "signed": signed.good,
        "ended": signed.ended,
        "unknown": signed.unknown,
        "artifacts": manifest.artifacts.len(),
        "absent": manifest.absent.len(),
        "bases": manifest.bases,
    });
    if let Some(section) = &admission.section {
        let counted: Vec<_> = (admission.counted.iter())
            .map(|entry| json!({ "holder": entry.holder, "role": entry.role, "keys": entry.keyids }))
            .collect();
        result["policy"] = json!({ "section": section, "counted": counted });
    }
    if !order.json.is_null() {
        result["order"] = order.json.clone();
    }
    held(verdict, bundle, scope, &mut text, &mut result);
    if let Some(seen) = &verdict.seen {
        show::seen(seen, bundle, written, &mut text, &mut result);
    }
    show::joined(&verdict.vouched, &mut text, &mut result);
    for base in &manifest.bases {
        text.push_str(&format!("relies on  {base}\n"));
    }
    if !manifest.absent.is_empty() {
        text.push_str(&format!(
            "not inside {} blobs that artifacts refer to (see: packmule inspect)\n",
            manifest.absent.len()
        ));
    }
    Outcome::new(text, result)
}

/// Adds how much of the bundle was checked.
fn held(verdict: &Verdict, bundle: &Trusted, scope: &Scope, text: &mut String, result: &mut serde_json::Value) {
    let manifest = bundle.manifest();
    if let Some(tally) = verdict.tally {
        text.push_str(&format!(
            "holds      {} artifacts, {} blobs, {} bytes in {} volumes\n",
            manifest.artifacts.len(),
            tally.blobs,
            tally.bytes,
            manifest.volumes.len()
        ));
        result["blobs"] = json!(tally.blobs);
        result["members"] = json!(tally.members);
        result["frames"] = json!(tally.frames);
        result["bytes"] = json!(tally.bytes);
    } else if !scope.volumes.is_empty() {
        let list: Vec<String> = scope.volumes.iter().map(ToString::to_string).collect();
        text.push_str(&format!(
            "volumes    {} of {} are intact; the others were not checked\n",
            list.join(", "),
            manifest.volumes.len()
        ));
        result["volumes"] = json!(scope.volumes);
    }
}
