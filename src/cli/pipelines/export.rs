//! One run of an export pipeline: exports, waits for signatures, and sends the bundle on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::find::How;
use super::{place, record, secrets};
use crate::base::fault::{Class, Fault, differs, escape};
use crate::bundle::{Manifest, Name};
use crate::cli::Session;
use crate::cli::args::carry::channel::ChannelRequest;
use crate::cli::args::carry::delta::Base;
use crate::cli::args::carry::lists::{self, Lists};
use crate::cli::args::carry::selectors::Options;
use crate::cli::args::carry::target::OutputRequest;
use crate::cli::args::trust::Whom;
use crate::cli::exporting::{Admit, Exporting};
use crate::cli::network::Network;
use crate::cli::network::config::pipelines::{Export, Place};
use crate::cli::output::Outcome;
use crate::cli::progress::size as show;
use crate::decide::selector::Selector;
use crate::decide::wanted::List;
use crate::oci::Digest;
use crate::operate::export::DEFAULT_LEVEL;
use crate::operate::pipeline::release;
use crate::operate::pipeline::stage::{Staged, last, of_channel, of_name};
use crate::operate::transfer::upload;
use crate::state::runs::{Held, Kind, Run, State};

/// Runs an export pipeline once.
///
/// # Errors
/// Those of reading the configuration and the state. Later faults are in the outcome.
pub fn run(export: &Export, how: &How, network: &Network, session: &mut Session<'_>) -> Result<Outcome, Fault> {
    if how.dry_run {
        return Ok(request(export, how, network, session)?.run(session)?.outcome);
    }
    let pipeline = format!("export.{}", export.name);
    record::check_idle(&pipeline, session)?;
    let runs = record::store(session)?.runs();
    let newest = runs.newest(&pipeline, |_| true)?;
    let staged = staged(export, newest.as_ref(), session)?;
    let gone = newest.as_ref().filter(|run| run.state == State::Waiting && staged.is_none());
    if let Some(run) = gone {
        abandon(run, session)?;
    }
    let earlier = newest.as_ref().filter(|_| gone.is_none());
    let killed = earlier.filter(|run| run.state == State::Killed && staged.is_none());
    if let Some(run) = killed
        && let Some(outcome) = finished(export, run, network, session)?
    {
        let held = record::begin((&pipeline, Kind::Export), earlier, None, session)?;
        return Ok(record::end(held, Ok(outcome), false, session));
    }
    let again_of = earlier.filter(|run| staged.is_some() && run.state == State::Failed).map(|run| run.id.clone());
    let mut held = record::begin((&pipeline, Kind::Export), earlier, again_of, session)?;
    let mut waits = false;
    let ended = work(export, how, staged, (&mut held, &mut waits), network, session);
    Ok(record::end(held, ended, waits, session))
}

/// Ends a waiting run whose bundle somebody took out of the stage.
fn abandon(run: &Run, session: &Session<'_>) -> Result<(), Fault> {
    let what = format!("run {}: its bundle is no longer where it waited for signatures", run.id);
    session.flow.warn(what.as_str());
    let fault = Fault::new(Class::Policy, what);
    let held = record::store(session)?.runs().resume(&run.id)?;
    held.end(State::Failed, Some(&fault), crate::cli::audit::now(session.flow.clock())?).map(drop)
}

/// Returns the directory that a bundle is written in.
fn directory(export: &Export) -> Option<&Path> {
    match (&export.stage, &export.place) {
        (Some(stage), _) => Some(stage),
        (None, Place::Directory(dir)) => Some(dir),
        (None, Place::Storage(_)) => None,
    }
}

/// Returns the bundle of an earlier run that waits for signatures or was not sent yet.
fn staged(export: &Export, newest: Option<&Run>, session: &Session<'_>) -> Result<Option<Staged>, Fault> {
    let Some(dir) = directory(export).filter(|_| export.release.signatures > 0) else { return Ok(None) };
    let dir = session.full_path(dir);
    let found = match (&export.channel, &export.bundle) {
        (Some(channel), _) => of_channel(&record::store(session)?, channel, &dir)?,
        (None, Some(name)) => of_name(name, &dir)?,
        (None, None) => None,
    };
    if export.stage.is_some() {
        return Ok(found);
    }
    // A stage is empty when the bundle has left; a directory is not.
    let Some(staged) = found else { return Ok(None) };
    let runs = record::store(session)?.runs();
    let own = runs.newest(&format!("export.{}", export.name), |run| run.bundle == Some(staged.bundle.id()))?;
    let is_pending = match own {
        Some(run) => run.state != State::Done,
        None => newest.is_some_and(|run| run.state == State::Killed),
    };
    Ok(Some(staged).filter(|_| is_pending))
}

/// Returns the outcome of a run that was killed after its bundle had left whole; `None` if it had not.
fn finished(export: &Export, run: &Run, network: &Network, session: &Session<'_>) -> Result<Option<Outcome>, Fault> {
    let container = place::container(&export.place, network, session)?;
    let there = |name: &Name| upload::manifest(&*container, name);
    let manifest = match (&export.channel, &run.name) {
        (Some(channel), _) => last(&record::store(session)?, channel, there)?
            .filter(|manifest| Manifest::parse(manifest).is_ok_and(|manifest| manifest.sequence == run.sequence)),
        (None, Some(name)) => there(&Name::new(name)?)?.filter(|bytes| run.bundle == Some(Digest::sha256(bytes))),
        (None, None) => None,
    };
    let Some(manifest) = manifest else { return Ok(None) };
    let (id, name) = (Digest::sha256(&manifest), Manifest::parse(&manifest)?.name);
    let text = format!("found      {}/{name}, sent before the run was killed\nbundle id  {id}\n", export.place);
    Ok(Some(Outcome::new(text, json!({ "id": id, "name": name, "resumed": true }))))
}

/// Does the work of a run. Sets the second of the pair if it ends waiting for signatures.
fn work(
    export: &Export,
    how: &How,
    staged: Option<Staged>,
    (held, waits): (&mut Held, &mut bool),
    network: &Network,
    session: &mut Session<'_>,
) -> Result<Outcome, Fault> {
    held.update(|run| run.to = Some(export.place.to_string()))?;
    let (mut outcome, staged) = match staged {
        Some(staged) => (found(&staged), Some(staged)),
        None => {
            if let Some(channel) = &export.channel {
                // By its number a later run finds out whether this one was killed after its end.
                let last = record::store(session)?.last_export(channel)?;
                let last = last.and_then(|bytes| Manifest::parse(&bytes).ok()?.sequence);
                held.update(|run| run.sequence = Some(last.map_or(1, |last| last + 1)))?;
            }
            let exported = request(export, how, network, session)?.run(session)?;
            let manifest = exported.done.as_ref().map(|done| &done.manifest);
            if let Some(done) = &exported.done {
                note(held, &done.manifest, done.id, done.bytes)?;
            }
            let staged = match (manifest, directory(export)) {
                (Some(manifest), Some(dir)) if export.release.signatures > 0 => {
                    of_name(&manifest.name, &session.full_path(dir))?
                }
                _ => None,
            };
            (exported.outcome, staged)
        }
    };
    let Some(staged) = staged else { return Ok(outcome) };
    let manifest = staged.bundle.claimed()?;
    let bytes = manifest.volumes.iter().map(|volume| volume.size).sum();
    note(held, &manifest, staged.bundle.id(), bytes)?;
    let stage = export.stage.as_ref().map(|_| place::container(&export.place, network, session)).transpose()?;
    // A run that was killed while it emptied the stage may have deleted the signatures there.
    let has_left = stage.as_ref().map_or(Ok(false), |container| staged.is_in(&**container))?;
    let signed = release::signed_by(&staged.bundle)?;
    if !has_left {
        // Also what another pipeline or an earlier configuration staged.
        if let Some(allowed) = &export.release.repositories {
            release::check_repositories(&manifest.artifacts, allowed)?;
        }
        if signed.len() < export.release.signatures {
            *waits = true;
            let path = staged.path();
            held.update(|run| run.sign = Some(path.to_string_lossy().into_owned()))?;
            return Ok(waiting(export, outcome, &path, signed.len()));
        }
    }
    held.update(|run| run.sign = None)?;
    if let Some(container) = stage {
        let overwrite = export.overwrite || how.again;
        let copied = staged.send(&session.flow, container, overwrite)?;
        let to = format!("{}/{}", export.place, staged.name());
        outcome.text.push_str(&format!("sent to    {to}: {}\n", show(copied.bytes)));
        outcome.result["to"] = json!(to);
    }
    if has_left {
        return Ok(outcome);
    }
    outcome.text.push_str(&format!("released   with {} signatures\n", signed.len()));
    outcome.result["signatures"] = json!(signed.len());
    outcome.result["keyids"] = json!(signed);
    Ok(outcome)
}

/// Puts the bundle into the record.
fn note(held: &mut Held, manifest: &Manifest, id: Digest, bytes: u64) -> Result<(), Fault> {
    held.update(|run| {
        run.bundle = Some(id);
        run.name = Some(manifest.name.as_str().to_owned());
        run.channel.clone_from(&manifest.channel);
        run.sequence = manifest.sequence;
        run.counts.artifacts = manifest.artifacts.len() as u64;
        run.counts.blobs = manifest.blobs.len() as u64;
        run.bytes = bytes;
    })
}

/// Returns the outcome of a run that found its bundle made by an earlier one.
fn found(staged: &Staged) -> Outcome {
    let (name, id) = (staged.name(), staged.bundle.id());
    let text = format!(
        "found      {}, exported by an earlier run\nbundle id  {id}\n",
        escape(&staged.path().to_string_lossy())
    );
    Outcome::new(text, json!({ "id": id, "name": name, "resumed": true }))
}

/// Returns the outcome of a run that waits for signatures.
fn waiting(export: &Export, mut outcome: Outcome, path: &Path, signed: usize) -> Outcome {
    let path = path.to_string_lossy().into_owned();
    let wanted = export.release.signatures;
    outcome.text.push_str(&format!("waiting    {}: {signed} of {wanted} signatures\n", escape(&path)));
    outcome.result["signatures"] = json!(signed);
    outcome.result["wanted"] = json!(wanted);
    outcome.result["sign"] = json!(path);
    let what = differs(
        format_args!("release: bundle {}", escape(&path)),
        format_args!("{wanted} signatures before it leaves"),
        signed,
    );
    let fault = Fault::new(Class::Policy, what).help(format!(
        "packmule sign {} --sign KEY; then `packmule pipeline run {}` again",
        escape(&path),
        export.name
    ));
    let all = outcome.fault.clone().into_iter().chain([fault.clone()]).collect();
    outcome.failed(Fault::from_list(all).unwrap_or(fault))
}

/// Returns the request that a run of the pipeline makes.
///
/// # Errors
/// Class usage; those of lists, keys and secrets.
pub(super) fn request(
    export: &Export,
    how: &How,
    network: &Network,
    session: &mut Session<'_>,
) -> Result<Exporting, Fault> {
    let subject = format!("export {:?}", export.name);
    let name = match &how.name {
        Some(name) if export.channel.is_some() => {
            let what = differs(format_args!("--name {}", escape(name)), "a pipeline without a channel", "one with");
            return Err(Fault::usage(what, "leave it out: bundles of a channel are named CHANNEL-SEQUENCE"));
        }
        Some(name) => Some(Name::new(name)?),
        None => export.bundle.clone(),
    };
    let selectors = selectors(export, how, session)?;
    let base = |text: &String| if text == "last" { Base::Last } else { Base::Named(OsString::from(text)) };
    let is_last_known = export.release.signatures == 0 || has_left(export, session)?;
    let signers = secrets::signers(&export.sign, export.passphrase.as_ref(), network, session)?;
    let admit: Option<Box<Admit>> =
        export.release.repositories.clone().map(|allowed| -> Box<Admit> {
            Box::new(move |artifacts| release::check_repositories(artifacts, &allowed))
        });
    Ok(Exporting {
        selectors,
        options: Options {
            filters: export.filters.clone(),
            index: export.index,
            foreign: export.foreign,
            with_images: false,
            whom: Whom::default(),
        },
        bases: export.bases.iter().filter(|text| *text != "last" || is_last_known).map(base).collect(),
        list: List::default(),
        channel: ChannelRequest {
            name: export.channel.clone(),
            sequence: None,
            epoch: export.epoch,
            expires: export.expires.clone(),
            init_state: how.init_state,
        },
        output: Some(output(export, name, &subject)).filter(|_| !how.dry_run || export.channel.is_none()),
        signers,
        annotations: export.annotations.clone(),
        volume_size: export.volume_size,
        level: DEFAULT_LEVEL,
        flat: false,
        read_back: true,
        overwrite: export.overwrite || how.again,
        allow_partial: export.allow_partial,
        dry_run: how.dry_run,
        lock: None,
        admit,
        network: network.clone(),
    })
}

/// Returns whether the channel's newest export has left. One that was deleted where it waited for
/// signatures never arrives, so nothing may build on it.
fn has_left(export: &Export, session: &Session<'_>) -> Result<bool, Fault> {
    let (Some(channel), Some(store)) = (&export.channel, session.store()) else { return Ok(true) };
    let Some(last) = store.last_export(channel)? else { return Ok(true) };
    let id = Digest::sha256(&last);
    let pipeline = format!("export.{}", export.name);
    let left = store.runs().newest(&pipeline, |run| run.state == State::Done && run.bundle == Some(id))?;
    if left.is_none() && export.bases.iter().any(|base| base == "last") {
        session.flow.warn(format!("base: the last export of channel {channel} has not left, so the next one is full"));
    }
    Ok(left.is_some())
}

/// Returns what is to be taken.
fn selectors(export: &Export, how: &How, session: &mut Session<'_>) -> Result<Vec<Selector>, Fault> {
    if how.artifacts.is_empty() {
        let read = Lists::of(export.artifacts.lists.clone()).read(session)?;
        lists::warn(&read, session);
        if let Some(fault) = Fault::from_list(lists::refused(&read)) {
            return Err(fault);
        }
        let listed = lists::selectors(read).map(|(_, selector)| selector);
        return Ok(export.artifacts.selectors.iter().cloned().chain(listed).collect());
    }
    let (mut selectors, mut faults) = (Vec::new(), Vec::new());
    for text in &how.artifacts {
        match Selector::parse(text) {
            Ok(selector) => selectors.push(selector),
            Err(fault) => faults.push(fault),
        }
    }
    Fault::from_list(faults).map_or(Ok(selectors), Err)
}

/// Returns where the bundle is written, and where it goes if nothing has to be waited for.
fn output(export: &Export, name: Option<Name>, subject: &str) -> OutputRequest {
    let files = |dir: &PathBuf| {
        let path = name.as_ref().map_or_else(|| dir.clone(), |name| dir.join(name.as_str()));
        OutputRequest::Files { subject: format!("{subject}: {}", path.display()), path }
    };
    match (&export.stage, &export.place) {
        (Some(stage), Place::Storage(table)) if export.release.signatures == 0 => OutputRequest::Container {
            address: place::address(table),
            name,
            stage: stage.clone(),
            subject: format!("{subject}: stage {}", stage.display()),
        },
        (Some(stage), _) => files(stage),
        (None, Place::Directory(dir)) => files(dir),
        // The configuration has a stage for every storage.
        (None, Place::Storage(table)) => OutputRequest::Container {
            address: place::address(table),
            name,
            stage: PathBuf::new(),
            subject: format!("{subject}: stage"),
        },
    }
}
