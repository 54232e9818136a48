//! Sends the blobs. Each digest is one task for all repositories that need it: one thread sends it
//! to the first repository and mounts it in the others if the destination can, so that no thread
//! waits for another.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

use crate::base::fault::{Class, Fault, Reason};
use crate::base::lock::{into_inner, lock};
use crate::content::Error;
use crate::flow::Event;
use crate::oci::{Descriptor, Digest, Repository};
use crate::receipt::How;

use super::blob_body::BlobBody;
use super::context::Context;
use super::outcome::Imported;
use super::work::{Job, Work};

/// One blob, and the repositories that need it.
pub(super) struct Task<'p> {
    pub blob: Descriptor,
    /// Source repository that has it.
    from: &'p Repository,
    pub to: BTreeMap<&'p Repository, Vec<&'p Job<'p>>>,
}

/// Which of the needed blobs are sent.
pub(super) enum Which<'a> {
    /// Those that this run did not bring yet.
    Rest,
    /// Those that this run did not bring yet, of these jobs.
    Of(&'a [&'a Job<'a>]),
    /// These, whether or not this run sent them before.
    Again(&'a HashSet<(&'a Repository, Digest)>),
}

impl Which<'_> {
    /// Returns whether content of the job is sent at all.
    pub(super) fn takes(&self, job: &Job) -> bool {
        match self {
            Self::Of(jobs) => jobs.iter().any(|one| one.number == job.number),
            Self::Rest | Self::Again(_) => true,
        }
    }
}

/// Sends the missing blobs and returns the counts.
pub(super) fn send(context: &Context, work: &Work, which: &Which) -> Result<Imported, Fault> {
    let tasks = tasks(context, work, which);
    if !matches!(which, Which::Of(_)) {
        let all: Vec<&Descriptor> = tasks.iter().map(|task| &task.blob).collect();
        context.destination.check_room(&all).map_err(|error| context.at_destination(error))?;
    }
    let bytes = tasks.iter().map(|task| task.blob.size).sum();
    context.flow.event(Event::Stage { name: "sending", bytes, items: tasks.len() as u64 });
    let counts = Mutex::new(Imported::default());
    let send = |task: &Task<'_>| {
        one(context, work, task, &counts)?;
        context.flow.event(Event::Item(task.blob.digest.to_string()));
        Ok(())
    };
    match context.source.passing() {
        None => context.workers.each(&tasks, send)?,
        Some(passing) => {
            let (later, now): (Vec<Task>, _) =
                tasks.into_iter().partition(|task| passing.is_to_come(&task.blob.digest));
            context.workers.each(&now, send)?;
            let later: HashMap<Digest, Task> = later.into_iter().map(|task| (task.blob.digest, task)).collect();
            // Everything is read, even if none of it is needed: it must be all that was signed.
            passing.pass(&|digest| later.contains_key(digest), &|digest| later.get(digest).map_or(Ok(()), send))?;
        }
    }
    Ok(into_inner(counts))
}

/// Returns the tasks, largest first, so that the last ones are short. Blobs that have a position in
/// the source follow, in that order.
pub(super) fn tasks<'p>(context: &Context, work: &'p Work<'_>, which: &Which) -> Vec<Task<'p>> {
    let mut tasks: HashMap<Digest, Task<'p>> = HashMap::new();
    for job in work.jobs.iter().filter(|job| !job.is_out() && which.takes(job)) {
        let needs = lock(&job.needs);
        for blob in needs.leaves.iter().filter(|blob| context.request.goal.has(&blob.digest)) {
            let is_brought = || context.notes.get(&job.repository, blob.digest).is_some();
            let is_left = match which {
                Which::Rest | Which::Of(_) => is_brought(),
                Which::Again(gone) => !gone.contains(&(&job.repository, blob.digest)),
            };
            if is_left {
                continue;
            }
            let from = &job.artifact.repository;
            let task =
                tasks.entry(blob.digest).or_insert_with(|| Task { blob: blob.clone(), from, to: BTreeMap::new() });
            task.to.entry(&job.repository).or_default().push(job);
        }
    }
    let mut tasks: Vec<Task> = tasks.into_values().collect();
    tasks.sort_by_cached_key(|task| {
        (context.source.position(&task.blob.digest), Reverse(task.blob.size), task.blob.digest)
    });
    tasks
}

fn one(context: &Context, work: &Work, task: &Task, counts: &Mutex<Imported>) -> Result<(), Fault> {
    let blob = &task.blob;
    let body = BlobBody::new(context.flow, &context.workers, context.source, task.from, blob);
    let mut have: Option<Repository> = lock(&work.there.known).get(&blob.digest).cloned();
    for (&repository, jobs) in &task.to {
        if jobs.iter().all(|job| job.is_out()) {
            continue;
        }
        context.workers.check()?;
        match into(context, &body, repository, have.as_ref(), counts) {
            Ok(()) => {
                lock(&work.there.known).insert(blob.digest, repository.clone());
                have = Some(repository.clone());
            }
            Err(error) => {
                let fault = match body.failure() {
                    // It has already passed: it is requested again because of the destination.
                    Some(own) if own.reason == Some(Reason::HasPassed) => context.at_destination(own),
                    Some(own) => return Err(own.into_fault(context.request.sides.source)),
                    None => context.at_destination(error),
                };
                if !context.request.keep_going || fault.class == Class::Cancelled {
                    return Err(fault);
                }
                for job in jobs {
                    job.fail(fault.clone());
                }
            }
        }
    }
    body.settle();
    Ok(())
}

/// Brings the blob into one repository. `have` is another repository that has it.
fn into(
    context: &Context,
    body: &BlobBody,
    repository: &Repository,
    have: Option<&Repository>,
    counts: &Mutex<Imported>,
) -> Result<(), Error> {
    let blob = body.blob;
    if let (Some(from), Some(mounts)) = (have, context.destination.mounts()) {
        // If a mount fails for any reason, the blob is sent instead.
        if from != repository && mounts.mount(repository, blob, from).unwrap_or(false) {
            lock(counts).mounted += 1;
            context.notes.add(repository, blob, How::Mounted);
            return Ok(());
        }
    }
    // A place whose repositories share their blobs, such as a layout.
    if have.is_some() && context.destination.mounts().is_none() && context.destination.has_blob(repository, blob)? {
        lock(counts).present += 1;
        context.notes.add(repository, blob, How::Found);
        return Ok(());
    }
    let opened = body.opened();
    match (have, context.destination.as_source()) {
        // It has passed, and where it went it can be read again.
        (Some(from), Some(there)) if body.is_spent() => {
            let quiet = context.flow.quiet();
            let again = BlobBody::new(&quiet, &context.workers, there, from, blob);
            context.destination.put_blob(repository, blob, &again)?;
        }
        _ => {
            context.destination.put_blob(repository, blob, body)?;
            if body.opened() == opened {
                lock(counts).present += 1;
                context.notes.add(repository, blob, How::Found);
                return Ok(());
            }
        }
    }
    context.notes.add(repository, blob, How::Sent);
    let mut counts = lock(counts);
    counts.pushed += 1;
    counts.bytes += blob.size;
    Ok(())
}
