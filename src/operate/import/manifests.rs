//! Sends documents and tags: documents by height, so that every child is there before its parent;
//! tags last. Referrers of the original of a cut index wait until the destination has taken it.

use std::collections::BTreeMap;

use crate::base::fault::{Class, Fault, escape};
use crate::base::lock::lock;
use crate::content::Kind;
use crate::flow::Event;
use crate::oci::{Digest, Document, Repository, Tag};

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
pub(super) fn send(context: &Context, work: &Work) -> Result<(), Fault> {
    let waits = |(place, job): (usize, &Job)| job.original.is_some_and(|original| original != place);
    let (later, first): (Vec<_>, Vec<_>) = work.jobs.iter().enumerate().partition(|one| waits(*one));
    let jobs = |all: Vec<(usize, _)>| all.into_iter().map(|(_, job)| job).collect::<Vec<&Job>>();
    let later = jobs(later);
    send_of(context, work, &jobs(first))?;
    for job in &later {
        let original = job.original.and_then(|place| work.jobs.get(place));
        if original.is_some_and(|original| lock(&original.left).is_some()) {
            job.leave(format!("{}: what it refers to is left", job.repository));
        }
    }
    if later.is_empty() { Ok(()) } else { send_of(context, work, &later) }
}

/// Pushes the missing documents of `jobs`, height by height.
fn send_of(context: &Context, work: &Work, jobs: &[&Job]) -> Result<(), Fault> {
    let mut waves: BTreeMap<usize, BTreeMap<(&Repository, Digest), Task>> = BTreeMap::new();
    for &job in jobs.iter().filter(|job| !job.is_out()) {
        context.flow.check()?;
        for digest in &lock(&job.needs).documents {
            let Some(shape) = work.shapes.get(digest) else { continue };
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
        context.workers.each(&tasks, |task| one(context, task))?;
    }
    Ok(())
}

fn one(context: &Context, task: &Task) -> Result<(), Fault> {
    let Some(job) = task.jobs.iter().find(|job| !job.is_out()) else { return Ok(()) };
    let document = context.documents.get(&job.artifact.repository, &task.shape.descriptor)?;
    if let Err(error) = context.destination.put_manifest(task.repository, &document) {
        let is_refused = matches!(error.class, Kind::Refused | Kind::Absent);
        let mut fault = context.at_destination(error);
        if task.shape.is_sparse && is_refused {
            let what = format!(
                "{}@{}: an index with left-out platforms is not accepted: {}",
                task.repository,
                document.digest(),
                fault.what
            );
            fault = Fault::new(Class::Policy, what).help("export with --index rebuild");
            let (originals, others): (Vec<_>, Vec<_>) = task.jobs.iter().partition(|job| job.original.is_some());
            for job in originals {
                leave(context, job, &fault.what);
            }
            if others.is_empty() {
                return Ok(());
            }
        }
        if !context.request.keep_going || fault.class == Class::Cancelled {
            return Err(fault);
        }
        for job in task.jobs.iter().filter(|job| !job.is_out()) {
            job.fail(fault.clone());
        }
        return Ok(());
    }
    context.flow.event(Event::Item(document.digest().to_string()));
    Ok(())
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

/// Sets the tags of every artifact that arrived. An artifact without tags is made findable.
pub(super) fn tag(context: &Context, work: &Work) -> Result<(), Fault> {
    let jobs: Vec<&Job> = work.jobs.iter().filter(|job| !job.is_out()).collect();
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
        let mut result = tags.iter().try_for_each(|tag| set(context, job, tag, &document));
        if result.is_ok() && is_untagged {
            result =
                context.destination.set_root(&job.repository, &document).map_err(|error| context.at_destination(error));
        }
        match result {
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
    if context.request.tag_conflict == TagConflict::Move {
        return context.destination.set_tag(&job.repository, tag, document).map_err(at_destination);
    }
    let Some(found) = context.destination.set_new_tag(&job.repository, tag, document).map_err(at_destination)? else {
        return Ok(());
    };
    if context.request.tag_conflict == TagConflict::Fail {
        let fault = preflight::conflict(job, tag, found);
        return Err(Fault { what: format!("{}; it was set during this run", fault.what), ..fault });
    }
    let mut needs = lock(&job.needs);
    needs.tags.retain(|own| own != tag);
    needs.kept.push(tag.clone());
    Ok(())
}
