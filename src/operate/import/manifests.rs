//! Sends documents and tags: documents by height, so that every child is there before its parent;
//! tags last. Referrers of the original of a cut index wait until the destination has taken it.

use std::collections::BTreeMap;

use crate::base::fault::{Class, Fault, Reason, escape};
use crate::base::lock::lock;
use crate::content::Kind;
use crate::flow::Event;
use crate::oci::{Digest, Document, Repository, Tag};

use super::blobs::Which;
use super::context::Context;
use super::preflight;
use super::request::TagConflict;
use super::work::{Job, Shape, Work};

struct Task<'p> {
    repository: &'p Repository,
    shape: &'p Shape,
    jobs: Vec<&'p Job<'p>>,
}

/// Pushes the missing documents. Those that refer to an original that the destination does not
/// take are left.
pub(super) fn send(context: &Context, work: &Work, which: &Which) -> Result<(), Fault> {
    let waits = |(place, job): (usize, &Job)| job.original.is_some_and(|original| original != place);
    let (later, first): (Vec<_>, Vec<_>) = work.jobs.iter().enumerate().partition(|one| waits(*one));
    let jobs = |all: Vec<(usize, _)>| all.into_iter().map(|(_, job)| job).collect::<Vec<&Job>>();
    let later = jobs(later);
    send_of(context, work, &jobs(first), which)?;
    for job in &later {
        let original = job.original.and_then(|place| work.jobs.get(place));
        if original.is_some_and(|original| lock(&original.left).is_some()) {
            job.leave(format!("{}: what it refers to is left", job.repository));
        }
    }
    if later.is_empty() { Ok(()) } else { send_of(context, work, &later, which) }
}

/// Pushes the missing documents of `jobs`, height by height.
fn send_of(context: &Context, work: &Work, jobs: &[&Job], which: &Which) -> Result<(), Fault> {
    let mut waves: BTreeMap<usize, BTreeMap<(&Repository, Digest), Task>> = BTreeMap::new();
    let put = lock(&work.there.put).clone();
    for &job in jobs.iter().filter(|job| !job.is_out() && which.takes(job)) {
        context.flow.check()?;
        for digest in &lock(&job.needs).documents {
            let is_left = match which {
                Which::Again(gone) => !gone.contains(&(&job.repository, *digest)),
                Which::Rest | Which::Of(_) => put.contains(&(job.repository.clone(), *digest)),
            };
            let Some(shape) = work.shapes.get(digest).filter(|_| !is_left) else { continue };
            let task = waves
                .entry(shape.height)
                .or_default()
                .entry((&job.repository, *digest))
                .or_insert_with(|| Task { repository: &job.repository, shape, jobs: Vec::new() });
            task.jobs.push(job);
        }
    }
    let items = waves.values().map(|wave| wave.len() as u64).sum();
    context.flow.event(Event::Stage { name: "sending manifests", bytes: 0, items });
    for wave in waves.into_values() {
        let mut tasks: Vec<Task> = wave.into_values().collect();
        // Documents that are not cached are read again, which is cheapest in source order.
        tasks.sort_by_cached_key(|task| context.source.position(&task.shape.descriptor.digest));
        context.workers.each(&tasks, |task| one(context, work, task))?;
    }
    Ok(())
}

fn one(context: &Context, work: &Work, task: &Task) -> Result<(), Fault> {
    // Once the destination does not have all of a job, the rest of it waits until that is looked for.
    let Some(job) = task.jobs.iter().find(|job| !job.is_out() && !job.is_doubtful()) else { return Ok(()) };
    let document = context.documents.get(&job.artifact.repository, &task.shape.descriptor)?;
    let known = lock(&work.there.refused).get(&task.shape.form()).cloned();
    let answer = match known {
        Some(fault) => Err(fault),
        None => put(context, work, task, &document),
    };
    let Err(fault) = answer else {
        lock(&work.there.put).insert((task.repository.clone(), document.digest()));
        context.flow.event(Event::Item(document.digest().to_string()));
        return Ok(());
    };
    let mut jobs: Vec<&Job> = task.jobs.iter().copied().filter(|job| !job.is_out()).collect();
    if fault.reason == Some(Reason::PartsMissing) {
        jobs.retain(|job| !job.raise_doubt());
    }
    if task.shape.is_sparse && fault.class == Class::Policy {
        let (originals, others): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.original.is_some());
        originals.into_iter().for_each(|job| leave(context, job, &fault.what));
        jobs = others;
    }
    if jobs.is_empty() {
        return Ok(());
    }
    if !context.request.keep_going || fault.class == Class::Cancelled {
        return Err(fault);
    }
    jobs.iter().for_each(|job| job.fail(fault.clone()));
    Ok(())
}

/// Puts a document. A refusal of its form is remembered.
fn put(context: &Context, work: &Work, task: &Task, document: &Document) -> Result<(), Fault> {
    let Err(error) = context.destination.put_unlisted(task.repository, document) else { return Ok(()) };
    let is_refused = matches!(error.class, Kind::Refused | Kind::Absent);
    let mut fault = context.at_destination(error);
    if task.shape.is_sparse && is_refused {
        let what = format!(
            "{}@{}: an index with left-out platforms is not accepted: {}",
            task.repository,
            document.digest(),
            fault.what
        );
        return Err(Fault::new(Class::Policy, what).help("export with --index rebuild"));
    }
    if fault.reason == Some(Reason::FormRefused) {
        fault.what = format!("{}; its type is {}", fault.what, document.media_type());
        if fault.help.is_none() {
            fault.help = Some("import what the registry takes with --keep-going".to_owned());
        }
        lock(&work.there.refused).entry(task.shape.form()).or_insert_with(|| fault.clone());
    }
    Err(fault)
}

/// Leaves the original of a cut index, which the destination does not take.
fn leave(context: &Context, job: &Job, reason: &str) {
    context.flow.warn(format!(
        "{}: the original index {} and what refers to it are left: {}",
        job.repository,
        job.artifact.digest,
        escape(reason)
    ));
    job.leave(reason.to_owned());
}

/// Sets the tags of every artifact that arrived and has none yet. An artifact without tags is made
/// findable.
pub(super) fn tag(context: &Context, work: &Work) -> Result<(), Fault> {
    let is_open = |job: &&Job| !job.is_out() && !job.is_doubtful() && !lock(&job.needs).is_tagged;
    let jobs: Vec<&Job> = work.jobs.iter().filter(is_open).collect();
    context.flow.event(Event::Stage { name: "tagging", bytes: 0, items: jobs.len() as u64 });
    context.workers.each(&jobs, |job| {
        let tags = lock(&job.needs).tags.clone();
        let is_untagged = job.artifact.tags.is_empty();
        // Nothing to set; a document that was not carried is already at the destination.
        if tags.is_empty() && !is_untagged {
            lock(&job.needs).is_tagged = true;
            return Ok(());
        }
        if !work.shapes.contains_key(&job.artifact.digest) {
            if !is_untagged {
                let what = format!("{}@{}: not carried, so not tagged", job.repository, job.artifact.digest);
                job.fail(Fault::new(Class::Partial, what).help("export it again when the source has it"));
            }
            return Ok(());
        }
        let document = context.documents.get(&job.artifact.repository, &job.artifact.descriptor())?;
        let mut result = tags.iter().try_for_each(|tag| match set(context, job, tag, &document) {
            // It is set, and a rule of the place keeps it from whoever asks.
            Err(fault) if fault.reason == Some(Reason::Unreadable) => {
                job.refuse_reading(&fault.what);
                Ok(())
            }
            other => other,
        });
        if result.is_ok() && is_untagged {
            result =
                context.destination.set_root(&job.repository, &document).map_err(|error| context.at_destination(error));
        }
        match result {
            Err(fault) if fault.reason == Some(Reason::PartsMissing) && job.raise_doubt() => {}
            Err(fault) if !context.request.keep_going || fault.class == Class::Cancelled => return Err(fault),
            Err(fault) => job.fail(fault),
            Ok(()) => {
                lock(&job.needs).is_tagged = true;
                context.flow.event(Event::Item(job.repository.to_string()));
            }
        }
        Ok(())
    })
}

/// Sets one tag. A tag that was created since the preflight is treated as the preflight would have
/// treated it.
fn set(context: &Context, job: &Job, tag: &Tag, document: &Document) -> Result<(), Fault> {
    context.flow.check()?;
    let at_destination = |error| context.at_destination(error);
    let (repository, way) = (&job.repository, context.request.tag_conflict);
    let known = || preflight::set_before(context, job, tag);
    let found = match way {
        TagConflict::Move => {
            return context.destination.set_tag(repository, tag, document).map_err(at_destination);
        }
        TagConflict::Advance => {
            // What this run intends is known by now, but is what it sets.
            let from: Vec<Digest> = known().into_iter().filter(|digest| *digest != document.digest()).collect();
            context.destination.advance_tag(repository, tag, document, &from)
        }
        TagConflict::Fail | TagConflict::Keep => context.destination.set_new_tag(repository, tag, document),
    };
    let Some(found) = found.map_err(at_destination)? else { return Ok(()) };
    if way != TagConflict::Keep {
        let fault = preflight::conflict(context, job, tag, found, &known());
        return Err(Fault { what: format!("{}; it was set during this run", fault.what), ..fault });
    }
    let mut needs = lock(&job.needs);
    needs.tags.retain(|own| own != tag);
    needs.kept.push(tag.clone());
    Ok(())
}
