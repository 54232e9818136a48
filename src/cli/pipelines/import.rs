//! One run of an import pipeline: imports one bundle, writes the receipt, and deletes the bundle where
//! it arrived if that is wanted and proved.

use std::path::PathBuf;

use serde_json::json;

use super::find::How;
use super::{emit, place, record, secrets};
use crate::base::fault::{Class, Fault, differs, escape};
use crate::bundle::volumes::local::read_capped;
use crate::bundle::{Manifest, Name};
use crate::cli::Session;
use crate::cli::args::carry::destination::{DestinationRequest, Names};
use crate::cli::args::trust::{Believed, Whom};
use crate::cli::importing::{Import as Imported, Importing};
use crate::cli::network::Network;
use crate::cli::network::config::pipelines::{Import, Receipt};
use crate::cli::output::Outcome;
use crate::cli::writing::receipt_write::Slip;
use crate::decide::part::Pick;
use crate::decide::select::Referrers;
use crate::oci::Digest;
use crate::operate::freshness::Side;
use crate::operate::import::Landed;
use crate::operate::import::receipt_data::Allowed;
use crate::operate::pipeline::deletion;
use crate::operate::transfer::{list, remove, upload};
use crate::operate::watch::Ran;
use crate::receipt;
use crate::state::runs::{Held, Kind, State};
use crate::storage::Container;

/// Runs an import pipeline on the bundle that `how` names.
///
/// # Errors
/// Class usage without a name; those of the container and the state. Later faults are in the outcome.
pub fn run(import: &Import, how: &How, network: &Network, session: &mut Session<'_>) -> Result<Outcome, Fault> {
    let Some(name) = &how.name else { return Err(unnamed(import, network, session)?) };
    one(import, &Name::new(name)?, how, network, session).2
}

/// Imports one bundle, as `pipeline run` does, for a watcher.
pub fn watched(import: &Import, bundle: &Name, network: &Network, session: &mut Session<'_>) -> Ran {
    let (run, bundle, ended) = one(import, bundle, &How::default(), network, session);
    let ended = ended.and_then(|outcome| outcome.fault.map_or(Ok(()), Err));
    Ran { run, bundle, ended }
}

/// Returns the refusal of a run without a name, which lists the bundles that are there.
fn unnamed(import: &Import, network: &Network, session: &Session<'_>) -> Result<Fault, Fault> {
    let container = place::container(&import.place, network, session)?;
    let found = list::run(&session.flow, &*container, "")?.bundles;
    let whole = found.iter().filter(|listed| matches!(listed.state, list::State::Complete(_)));
    let names: Vec<String> = whole.map(|listed| escape(&listed.name)).collect();
    let there = if names.is_empty() { "no whole bundle".to_owned() } else { names.join(", ") };
    let what = format!("import {:?}: expected --name with a bundle, found none; there is {there}", import.name);
    Ok(Fault::usage(what, "name one: --name BUNDLE"))
}

/// The run, the bundle, and how it ended.
type Ended = (Option<crate::state::runs::Id>, Option<Digest>, Result<Outcome, Fault>);

fn one(import: &Import, name: &Name, how: &How, network: &Network, session: &mut Session<'_>) -> Ended {
    let found = place::container(&import.place, network, session)
        .and_then(|container| manifest(&*container, name).map(|bytes| (container, bytes)));
    let (container, bytes) = match found {
        Ok((container, Some(bytes))) => (container, bytes),
        Ok((container, None)) => {
            return deleted(import, name, &*container, session).unwrap_or_else(|fault| (None, None, Err(fault)));
        }
        Err(fault) => return (None, None, Err(fault)),
    };
    let id = Digest::sha256(&bytes);
    let to = request_of(import, how, session).map(|to| to.state_name(session));
    let begun = to.and_then(|to| begin(import, (name, &bytes), how, &to, session));
    let mut held = match begun {
        Ok(Begun::Run(held)) => *held,
        Ok(Begun::Done(outcome)) => return (None, Some(id), Ok(outcome)),
        Ok(Begun::Dry) => {
            let done = request(import, name, None, how, network, session).and_then(|request| request.run(session));
            return (None, Some(id), done.map(|done| done.outcome));
        }
        Err(fault) => return (None, Some(id), Err(fault)),
    };
    let run = held.run().id.clone();
    let ended = work(import, name, how, (&mut held, &*container, id), network, session);
    (Some(run), Some(id), Ok(record::end(held, ended, false, session)))
}

/// Returns the manifest of the bundle, if it is there.
fn manifest(container: &dyn Container, name: &Name) -> Result<Option<Vec<u8>>, Fault> {
    upload::manifest(container, name).map_err(|fault| match fault.class {
        Class::Destination => Fault { class: Class::Source, ..fault },
        _ => fault,
    })
}

/// Ends a run that was killed while it deleted the bundle, which is no longer there.
///
/// # Errors
/// Class source if there is no such run; class io, lock.
fn deleted(import: &Import, name: &Name, container: &dyn Container, session: &mut Session<'_>) -> Result<Ended, Fault> {
    let pipeline = format!("import.{}", import.name);
    let runs = record::store(session)?.runs();
    let killed = runs.newest(&pipeline, |run| run.name.as_deref() == Some(name.as_str()))?;
    let killed = killed.filter(|run| run.state == State::Killed);
    let bundle = killed.as_ref().and_then(|run| run.bundle);
    let (Some(run), Some(id)) = (killed.filter(|_| import.delete_source), bundle) else {
        return Err(none(import, name));
    };
    if earlier(import, name, run.id.as_str(), id, session)?.is_none() {
        return Err(none(import, name));
    }
    let held = record::begin((&pipeline, Kind::Import), Some(&run), None, session)?;
    // Volumes may be left. Without a manifest they are no bundle, so a failure is not one of the run.
    let _ = remove::bundle(&session.flow, container, name);
    let text = format!("deleted    {}/{name}, before this run was killed\nbundle id  {id}\n", import.place);
    let outcome = Outcome::new(text, json!({ "id": id, "name": name, "resumed": true, "deleted": true }));
    Ok((Some(run.id), Some(id), Ok(record::end(held, Ok(outcome), false, session))))
}

fn none(import: &Import, name: &Name) -> Fault {
    let what = differs(&import.place, format_args!("a bundle {name}"), "none");
    Fault::new(Class::Source, what).help("list the bundles that are there with `packmule ls`")
}

/// How a run begins.
enum Begun {
    /// It has a record.
    Run(Box<Held>),
    /// It has nothing to do.
    Done(Outcome),
    /// It changes nothing, and has no record.
    Dry,
}

fn begin(
    import: &Import,
    (name, bytes): (&Name, &[u8]),
    how: &How,
    to: &str,
    session: &mut Session<'_>,
) -> Result<Begun, Fault> {
    let id = Digest::sha256(bytes);
    if how.dry_run {
        return Ok(Begun::Dry);
    }
    let pipeline = format!("import.{}", import.name);
    let runs = record::store(session)?.runs();
    let own = |run: &crate::state::runs::Run| run.bundle == Some(id) && run.to.as_deref() == Some(to);
    let done = runs.newest(&pipeline, |run| own(run) && run.state == State::Done)?;
    if let Some(done) = done.as_ref().filter(|_| !how.again && how.artifacts.is_empty()) {
        let text = format!("skipped    {name}: run {} imported it\nbundle id  {id}\n", done.id);
        let result = json!({ "id": id, "name": name, "skipped": true, "by": done.id.as_str(), "pipeline": pipeline });
        return Ok(Begun::Done(Outcome::new(text, result)));
    }
    let killed = runs.newest(&pipeline, own)?.filter(|run| run.state == State::Killed);
    let again_of = done.map(|run| run.id);
    let mut held = record::begin((&pipeline, Kind::Import), killed.as_ref(), again_of, session)?;
    let stated = Manifest::parse(bytes).ok();
    held.update(|run| {
        run.bundle = Some(id);
        run.name = Some(name.as_str().to_owned());
        // A part of a bundle does not count as the bundle.
        run.to = how.artifacts.is_empty().then(|| to.to_owned());
        if let Some(manifest) = &stated {
            run.channel.clone_from(&manifest.channel);
            run.sequence = manifest.sequence;
            run.counts.artifacts = manifest.artifacts.len() as u64;
        }
    })?;
    Ok(Begun::Run(Box::new(held)))
}

fn work(
    import: &Import,
    name: &Name,
    how: &How,
    (held, container, id): (&mut Held, &dyn Container, Digest),
    network: &Network,
    session: &mut Session<'_>,
) -> Result<Outcome, Fault> {
    let run = held.run().id.to_string();
    let (mut outcome, receipt) = match earlier(import, name, &run, id, session)? {
        Some(receipt) => {
            let text = format!("found      {name}, imported before this run was killed\nbundle id  {id}\n");
            (Outcome::new(text, json!({ "id": id, "name": name, "resumed": true })), Some(receipt))
        }
        None => {
            let done = request(import, name, Some(&run), how, network, session)?.run(session)?;
            note(held, &done, session)?;
            // The bundle may have been replaced since it was looked at.
            if done.id != id {
                return Ok(done.outcome);
            }
            (done.outcome, done.receipt.map(|written| written.receipt))
        }
    };
    if let Some(receipts) = import.receipt.as_ref().filter(|_| outcome.fault.is_none()) {
        let emitted = emit::all(receipts, session)?;
        if !emitted.is_empty() {
            outcome.result["emit"] = json!(emitted);
        }
    }
    if import.delete_source && how.artifacts.is_empty() && outcome.fault.is_none() {
        let deleted = receipt
            .ok_or_else(|| Fault::new(Class::Policy, differs("receipt", "one on disk", "none")))
            .and_then(|receipt| deletion::check_receipt(&receipt))
            .and_then(|()| deletion::delete(&session.flow, container, name, id));
        outcome.result["deleted"] = json!(deleted.is_ok());
        match deleted {
            Ok(()) => outcome.text.push_str(&format!("deleted    {}/{name}\n", import.place)),
            Err(fault) => {
                let what = format!("delete_source: {}", fault.what);
                session.flow.warn(what.as_str());
                held.update(|run| run.warnings.push(what))?;
            }
        }
    }
    Ok(outcome)
}

/// Returns the path of a run's receipt.
fn receipt_path(receipt: &Receipt, name: &Name, run: &str) -> PathBuf {
    receipt.dir.join(format!("{name}-{run}.json"))
}

/// Returns the receipt that this run wrote before it was killed, if it says that all arrived.
fn earlier(
    import: &Import,
    name: &Name,
    run: &str,
    id: Digest,
    session: &Session<'_>,
) -> Result<Option<receipt::Receipt>, Fault> {
    let Some(path) = import.receipt.as_ref().map(|receipt| receipt_path(receipt, name, run)) else { return Ok(None) };
    let path = session.path(&path);
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    let bytes = read_capped(&path, receipt::MAX_RECEIPT)?.unwrap_or_default();
    let found = receipt::Receipt::parse(&bytes)?;
    let is_own = found.bundle.id == id && found.run.as_deref() == Some(run);
    Ok(Some(found).filter(|found| is_own && found.fault.is_none() && found.is_whole()))
}

/// Puts the result into the record.
fn note(held: &mut Held, done: &Imported, session: &Session<'_>) -> Result<(), Fault> {
    held.update(|run| {
        run.bundle = Some(done.id);
        let path = done.receipt.as_ref().map(|written| session.full_path(&written.path));
        run.receipt = path.map(|path| path.to_string_lossy().into_owned());
        if let Some(imported) = &done.imported {
            let failed =
                imported.artifacts.iter().filter(|one| matches!(one.landed, Landed::Failed(_) | Landed::Unread(_)));
            run.counts.artifacts = imported.artifacts.len() as u64;
            run.counts.failed = failed.count() as u64;
            run.counts.blobs = imported.pushed;
            run.counts.present = imported.present;
            run.bytes = imported.bytes;
        }
    })
}

/// Returns the destination, and what to do there.
fn request_of(import: &Import, how: &How, session: &Session<'_>) -> Result<DestinationRequest, Fault> {
    let at = |file: &std::path::Path| session.path(&import.dir.join(file));
    Ok(DestinationRequest {
        shown: import.to.clone(),
        place: import.destination.clone(),
        names: Names::parse("map", &import.maps, import.keep_host, at)?,
        tag_conflict: import.tag_conflict,
        keep_going: import.keep_going,
        dry_run: how.dry_run,
    })
}

/// Returns whose signatures count.
///
/// # Errors
/// Class usage without a policy, or for one that cannot be used.
pub(super) fn believed(import: &Import, how: &How, side: Side, session: &Session<'_>) -> Result<Believed, Fault> {
    let whom = Whom { policy: import.policy.clone(), ..Whom::default() };
    let believed = whom.read(how.init_state, side, session)?;
    if believed.for_more().is_some() {
        return Ok(believed);
    }
    let usual = session.world.etc.join("packmule/trust.toml");
    let what = differs(
        format_args!("import {:?}", import.name),
        format_args!("policy or the file {}", usual.display()),
        "neither",
    );
    Err(Fault::usage(what, "add policy to the pipeline"))
}

/// Returns the request that a run of the pipeline makes. `run` is its id; a dry run has none, and
/// writes no receipt.
fn request(
    import: &Import,
    name: &Name,
    run: Option<&str>,
    how: &How,
    network: &Network,
    session: &mut Session<'_>,
) -> Result<Importing, Fault> {
    let to = request_of(import, how, session)?;
    let slip = match (&import.receipt, run) {
        (Some(receipt), Some(run)) => {
            let keys = secrets::signers(&receipt.sign, receipt.passphrase.as_ref(), network, session)?;
            Some(Slip::open(&receipt_path(receipt, name, run), keys, session)?)
        }
        _ => None,
    };
    let believed = believed(import, how, Side::import(to.state_name(session), how.dry_run), session)?;
    Ok(Importing {
        bundle: place::bundle(&import.place, name),
        volume_dirs: Vec::new(),
        scanner: None,
        believed,
        allowed: Allowed { stale: false, init: how.init_state },
        to,
        select: how.artifacts.iter().map(|text| Pick::parse(text)).collect::<Result<_, _>>()?,
        referrers: Referrers::All,
        blobs_only: false,
        shard: None,
        slip,
        wanted_out: None,
        network: network.clone(),
    })
}
