//! The blobs: each digest is one piece of work, for all repositories that need it. It is sent to the
//! first and taken over by the others where the place can do that, by one thread, so that nobody ever
//! waits for another.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use crate::base::fault::{Class, Fault, Reason};
use crate::content::Error;
use crate::flow::Event;
use crate::oci::{Descriptor, Digest, Repository};
use crate::receipt::How;

use super::blob_body::Carried;
use super::plan::{Job, Plan, locked};
use super::{Outcome, Run};

struct Task<'p> {
    blob: Descriptor,
    /// A repository of the source that has it.
    from: &'p Repository,
    to: BTreeMap<&'p Repository, Vec<&'p Job<'p>>>,
}

/// Sends what lacks; gives the counts. In a dry run it only counts.
pub(super) fn send(run: &Run, plan: &Plan) -> Result<Outcome, Fault> {
    let tasks = tasks(run, plan);
    let bytes = tasks.iter().map(|task| task.blob.size).sum();
    let all: Vec<&Descriptor> = tasks.iter().map(|task| &task.blob).collect();
    run.destination.check_room(&all).map_err(|error| run.at_destination(error))?;
    let mounted = plan.jobs.iter().map(|job| locked(&job.needs).mounted).sum();
    if run.request.dry_run {
        return Ok(Outcome { pushed: tasks.len() as u64, bytes, mounted, ..Outcome::default() });
    }
    run.flow.event(Event::Stage { name: "sending", bytes, items: tasks.len() as u64 });
    let counts = Mutex::new(Outcome { mounted, ..Outcome::default() });
    let send = |task: &Task<'_>| {
        one(run, task, &counts)?;
        run.flow.event(Event::Item(task.blob.digest.to_string()));
        Ok(())
    };
    match run.source.passing() {
        None => run.crew.each(&tasks, send)?,
        Some(passing) => {
            let (later, now): (Vec<Task>, _) =
                tasks.into_iter().partition(|task| passing.is_to_come(&task.blob.digest));
            run.crew.each(&now, send)?;
            let later: HashMap<Digest, Task> = later.into_iter().map(|task| (task.blob.digest, task)).collect();
            // Everything passes, though nothing of it may be needed: it must be the whole of what was signed.
            passing.pass(&|digest| later.contains_key(digest), &|digest| later.get(digest).map_or(Ok(()), send))?;
        }
    }
    Ok(counts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Largest first: the last ones to end are short. Behind them those that the source reads together, as they stand there.
fn tasks<'p>(run: &Run, plan: &'p Plan<'p>) -> Vec<Task<'p>> {
    let mut tasks: HashMap<Digest, Task<'p>> = HashMap::new();
    for job in plan.jobs.iter().filter(|job| !job.has_failed()) {
        for blob in &locked(&job.needs).leaves {
            let from = &job.artifact.repository;
            let task =
                tasks.entry(blob.digest).or_insert_with(|| Task { blob: blob.clone(), from, to: BTreeMap::new() });
            task.to.entry(&job.repository).or_default().push(job);
        }
    }
    let mut tasks: Vec<Task> = tasks.into_values().collect();
    tasks
        .sort_by_cached_key(|task| (run.source.position(&task.blob.digest), Reverse(task.blob.size), task.blob.digest));
    tasks
}

fn one(run: &Run, task: &Task, counts: &Mutex<Outcome>) -> Result<(), Fault> {
    let blob = &task.blob;
    let body = Carried::new(run.flow, &run.crew, run.source, task.from, blob);
    let mut have: Option<&Repository> = run.request.siblings.and_then(|siblings| siblings.get(&blob.digest));
    for (&repository, jobs) in &task.to {
        if jobs.iter().all(|job| job.has_failed()) {
            continue;
        }
        run.crew.check()?;
        match into(run, &body, repository, have, counts) {
            Ok(()) => have = Some(repository),
            Err(error) => {
                let fault = match body.failure() {
                    // It passed already: the destination is why it is asked for again.
                    Some(own) if own.reason == Some(Reason::HasPassed) => run.at_destination(own),
                    Some(own) => return Err(own.into_fault(run.request.sides.source)),
                    None => run.at_destination(error),
                };
                if !run.request.keep_going || fault.class == Class::Cancelled {
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

/// Brings the blob into one repository; `have`: another that has it.
fn into(
    run: &Run,
    body: &Carried,
    repository: &Repository,
    have: Option<&Repository>,
    counts: &Mutex<Outcome>,
) -> Result<(), Error> {
    let blob = body.blob;
    if let (Some(from), Some(mounts)) = (have, run.destination.mounts()) {
        // A mount that fails in any way costs no more than the send that follows.
        if from != repository && mounts.mount(repository, blob, from).unwrap_or(false) {
            locked(counts).mounted += 1;
            run.ledger.note(repository, blob, How::Mounted);
            return Ok(());
        }
    }
    if run.destination.has_blob(repository, blob)? {
        locked(counts).present += 1;
        run.ledger.note(repository, blob, How::Found);
        return Ok(());
    }
    run.destination.put_blob(repository, blob, body)?;
    run.ledger.note(repository, blob, How::Sent);
    let mut counts = locked(counts);
    counts.pushed += 1;
    counts.bytes += blob.size;
    Ok(())
}
