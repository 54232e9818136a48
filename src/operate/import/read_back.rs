//! Reads back what an import left at the destination, however it ended, and fills in the ledger.
//!
//! Every manifest and tag that should be there is read again. Changes nothing there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

use super::context::Context;
use super::ledger::Ledger;
use super::work::{Job, Work};
use super::workers::Workers;
use crate::base::fault::{self, Class, Description, Fault, differs, escape};
use crate::base::lock::{into_inner, lock};
use crate::flow::Event;
use crate::oci::{Absent, Digest, Reason, Repository, Tag};
use crate::receipt::{Arrival, How, Leaf, Named, Outcome, State};

/// Digests that were read back for one artifact: its manifest, and its tags in order.
struct Read {
    manifest: Option<Digest>,
    tags: Vec<Option<Digest>>,
}

/// Reads back what the run left at the destination and fills in the ledger; `ended` is the result
/// of the run. Content that is not there as expected is a fault of its artifact and, without
/// `keep_going`, of the run.
pub(super) fn close<T>(
    context: &Context,
    work: &Work,
    ended: Result<T, Fault>,
    ledger: &Mutex<Ledger>,
) -> Result<T, Fault> {
    let failure = ended.as_ref().err();
    for job in work.jobs.iter().filter(|job| !job.is_out()) {
        if let Some(fault) = failure.filter(|_| !may_be_there(job)) {
            job.fail(Fault::new(fault.class, format!("the import ended before this artifact: {}", fault.what)));
        }
    }
    let jobs: Vec<&Job> = work.jobs.iter().filter(|job| !job.is_out()).collect();
    let found: Mutex<HashMap<(&Repository, Digest), Read>> = Mutex::default();
    context.flow.event(Event::Stage { name: "reading back", bytes: 0, items: jobs.len() as u64 });
    // New workers: those of a failed run have stopped.
    let workers = Workers::new(context.flow);
    let read = workers.each(&jobs, |job| {
        match of(context, job) {
            Ok(read) => {
                if let Some(what) = difference(job, &read) {
                    job.fail(Fault::new(context.request.sides.destination, what).help(
                        "check whether someone else writes there or the registry loses content; then run the import again",
                    ));
                }
                lock(&found).insert((&job.repository, job.artifact.digest), read);
            }
            Err(fault) if failure.is_some() || !context.request.keep_going || fault.class == Class::Cancelled => {
                return Err(fault);
            }
            Err(fault) => job.fail(fault),
        }
        context.flow.event(Event::Item(job.repository.to_string()));
        Ok(())
    });
    let found = into_inner(found);
    for job in &jobs {
        if !found.contains_key(&(&job.repository, job.artifact.digest)) && !job.is_out() {
            let why = read.as_ref().err().map_or("the import ended", |fault| fault.what.as_str());
            job.fail(Fault::new(context.request.sides.destination, format!("not read back: {why}")));
        }
    }
    *lock(ledger) =
        Ledger { artifacts: arrivals(work, &found), blobs: leaves(context, work), counts: context.notes.counts() };
    let ended = ended?;
    read?;
    if !context.request.keep_going {
        let missed = jobs.iter().filter_map(|job| lock(&job.failed).clone()).collect();
        Fault::from_list(missed).map_or(Ok(()), Err)?;
    }
    Ok(ended)
}

/// Returns whether everything was done for the job, in this run or before.
fn may_be_there(job: &Job) -> bool {
    let needs = lock(&job.needs);
    needs.is_tagged || (needs.is_known && needs.documents.is_empty() && needs.tags.is_empty())
}

fn of(context: &Context, job: &Job) -> Result<Read, Fault> {
    let digest = job.artifact.digest;
    let read = |tag| {
        context.flow.check()?;
        match context.destination.read_back(&job.repository, tag, digest) {
            Err(error) if error.reason == Some(fault::Reason::Unreadable) => {
                job.refuse_reading(&error.what);
                Ok(None)
            }
            found => found.map_err(|error| context.at_destination(error)),
        }
    };
    let manifest = read(None)?;
    let tags = job.artifact.tags.iter().map(|tag| read(Some(tag))).collect::<Result<_, Fault>>()?;
    Ok(Read { manifest, tags })
}

/// Returns the first difference between the job and what was read back.
fn difference(job: &Job, read: &Read) -> Option<Description> {
    let expected = job.artifact.digest;
    let is_unread = job.is_unread();
    let is_other = |found: Option<Digest>| found != Some(expected) && !(found.is_none() && is_unread);
    let shown = |found: Option<Digest>| found.map_or_else(|| "nothing".to_owned(), |digest| digest.to_string());
    if is_other(read.manifest) {
        let (subject, found) = (format_args!("{}: read back", job.repository), shown(read.manifest));
        return Some(differs(subject, format_args!("manifest {expected}"), found));
    }
    let needs = lock(&job.needs);
    let kept: HashSet<&Tag> = needs.kept.iter().collect();
    let mut tags = job.artifact.tags.iter().zip(&read.tags).filter(|(tag, _)| !kept.contains(tag));
    tags.find(|(_, found)| is_other(**found))
        .map(|(tag, found)| differs(format_args!("{}:{tag}: read back", job.repository), expected, shown(*found)))
}

/// Returns what became of every artifact, in the order of the request.
fn arrivals(work: &Work, found: &HashMap<(&Repository, Digest), Read>) -> Vec<Arrival> {
    let left_out = work.left_out.iter().map(|one| {
        let tags = one.artifact.tags.iter();
        let arrival = Arrival {
            destination: Some(one.repository.to_string()),
            digest: one.artifact.digest,
            outcome: Outcome::LeftOut,
            read_back: None,
            reason: None,
            repository: one.artifact.repository.clone(),
            tags: tags.map(|tag| Named { name: tag.clone(), outcome: State::LeftOut, read_back: None }).collect(),
        };
        (one.number, arrival)
    });
    let mut all: Vec<(usize, Arrival)> =
        work.jobs.iter().map(|job| (job.number, arrival(job, found))).chain(left_out).collect();
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, arrival)| arrival).collect()
}

fn arrival(job: &Job, found: &HashMap<(&Repository, Digest), Read>) -> Arrival {
    let (needs, failed) = (lock(&job.needs), lock(&job.failed));
    let (unread, left) = (lock(&job.unread), lock(&job.left));
    let read = found.get(&(&job.repository, job.artifact.digest));
    let outcome = match &*failed {
        Some(_) => Outcome::Failed,
        None if unread.is_some() => Outcome::Unread,
        None if left.is_some() => Outcome::Left,
        None if needs.documents.is_empty() && needs.tags.is_empty() => Outcome::Present,
        None => Outcome::Pushed,
    };
    let (kept, set): (HashSet<&Tag>, HashSet<&Tag>) = (needs.kept.iter().collect(), needs.tags.iter().collect());
    let state = |tag, read: Option<Digest>| match outcome {
        _ if kept.contains(tag) && read != Some(job.artifact.digest) => State::Kept,
        Outcome::Failed if read != Some(job.artifact.digest) => State::Failed,
        Outcome::Unread if read != Some(job.artifact.digest) => State::Unread,
        _ if set.contains(tag) => State::Set,
        _ => State::Present,
    };
    let tags = job.artifact.tags.iter().enumerate().map(|(at, tag)| {
        let read_back = read.and_then(|read| read.tags.get(at).copied().flatten());
        Named { name: tag.clone(), outcome: state(tag, read_back), read_back }
    });
    Arrival {
        destination: Some(job.repository.to_string()),
        digest: job.artifact.digest,
        outcome,
        read_back: read.and_then(|read| read.manifest),
        // May contain text from a registry.
        reason: (failed.as_ref().map(|fault| &fault.what).or(unread.as_ref()).or(left.as_ref()))
            .map(|what| escape(what)),
        repository: job.artifact.repository.clone(),
        tags: tags.collect(),
    }
}

/// Returns the leaves of what is there and was read back; nothing else is a base. Of several repositories, the first one
/// counts, but those where the leaf was looked for take precedence.
fn leaves(context: &Context, work: &Work) -> Vec<Leaf> {
    let mut leaves: BTreeMap<Digest, Leaf> = BTreeMap::new();
    for job in work.jobs.iter().filter(|job| !job.is_out() && !job.is_unread()) {
        let shapes = job.documents.iter().filter_map(|digest| work.shapes.get(digest));
        for leaf in shapes.flat_map(|shape| &shape.leaves) {
            let absent: Option<&&Absent> = work.absent.get(&leaf.digest);
            if absent.is_some_and(|absent| absent.reason == Reason::Foreign) {
                continue;
            }
            let how = context.notes.get(&job.repository, leaf.digest).unwrap_or(How::Implied);
            let own = Leaf { digest: leaf.digest, how, repository: job.artifact.repository.clone(), size: leaf.size };
            let first = leaves.entry(leaf.digest).or_insert_with(|| own.clone());
            if first.how == How::Implied && how != How::Implied {
                *first = own;
            }
        }
    }
    leaves.into_values().collect()
}
