//! Checks before the first push: which content the destination has, what its tags name, and which
//! base content is missing there (`bases`).
//!
//! Only queries and lists. The only change is a mount of base content, which sends nothing.

use std::collections::BTreeMap;

use crate::base::fault::{Class, Fault, differs};
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::flow::Event;
use crate::oci::{Absent, Descriptor, Digest, Reason, Repository, Tag};
use crate::receipt::How;

use super::bases;
use super::context::Context;
use super::request::TagConflict;
use super::work::{Job, Needs, Work, flat};

/// Looks at every artifact and fills in its needs.
///
/// Without `keep_going`, everything that prevents the import is one fault. An artifact that was
/// incomplete at export, and still is at the destination, fails on its own either way.
pub(super) fn look(context: &Context, work: &Work) -> Result<(), Fault> {
    context.workers.each(&work.jobs, |job| {
        let mut found = Needs::default();
        let mut faults = documents(context, work, job, &mut found)?;
        faults.extend(tags(context, job, &mut found)?);
        found.is_known = true;
        *lock(&job.needs) = found;
        if let Some(fault) = Fault::from_list(faults) {
            job.fail(fault);
        }
        context.flow.event(Event::Item(job.repository.to_string()));
        Ok(())
    })?;
    bases::look(context, work)?;
    rights(context, work)?;
    if context.request.keep_going {
        return Ok(());
    }
    let failed = work.jobs.iter().filter_map(|job| lock(&job.failed).clone());
    let faults = failed.flat_map(flat).filter(|fault| fault.class != Class::Partial).collect();
    Fault::from_list(faults).map_or(Ok(()), Err)
}

/// Queries once, for each repository that will be written, whether the login may push.
fn rights(context: &Context, work: &Work) -> Result<(), Fault> {
    let Some(rights) = context.destination.rights().filter(|_| !context.request.dry_run) else { return Ok(()) };
    let mut written: BTreeMap<&Repository, Vec<&Job>> = BTreeMap::new();
    for job in work.jobs.iter().filter(|job| !job.is_out()) {
        let needs = lock(&job.needs);
        if !needs.documents.is_empty() || !needs.tags.is_empty() {
            written.entry(&job.repository).or_default().push(job);
        }
    }
    let written: Vec<(&Repository, Vec<&Job>)> = written.into_iter().collect();
    context.workers.each(&written, |(repository, jobs)| {
        context.workers.check()?;
        let Err(error) = rights.may_push(repository) else { return Ok(()) };
        let fault = context.at_destination(error);
        if fault.class == Class::Cancelled {
            return Err(fault);
        }
        for job in jobs {
            job.fail(fault.clone());
        }
        Ok(())
    })
}

/// Records a destination's error as a fault of the job; cancellation ends the run.
fn noted(context: &Context, faults: &mut Vec<Fault>, error: Error) -> Result<(), Fault> {
    let fault = context.at_destination(error);
    if fault.class == Class::Cancelled {
        return Err(fault);
    }
    faults.push(fault);
    Ok(())
}

/// Whether the place would not let something be read, and can be asked whether it may be written.
fn is_refusal(context: &Context, error: &Error) -> bool {
    let can_ask = context.destination.rights().is_some() && !context.request.dry_run;
    can_ask && matches!(error.class, Kind::Denied | Kind::Refused)
}

fn documents(context: &Context, work: &Work, job: &Job, found: &mut Needs) -> Result<Vec<Fault>, Fault> {
    let mut faults = Vec::new();
    for &digest in job.missing.iter().chain(&job.documents) {
        context.workers.check()?;
        match context.destination.has_manifest(&job.repository, digest) {
            Ok(true) if context.destination.keeps_whole() => continue,
            Ok(true) => match is_whole(context, work, job, digest) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    noted(context, &mut faults, error)?;
                    return Ok(faults);
                }
            },
            Ok(false) => {}
            // It may be there, and a rule of the place keep it from whoever asks: it is put once more, if it may be.
            Err(error) if is_refusal(context, &error) => {}
            Err(error) => {
                // One failure is enough; the next query would report it again.
                noted(context, &mut faults, error)?;
                return Ok(faults);
            }
        }
        if !work.shapes.contains_key(&digest) {
            faults.push(incomplete(job, "manifest", digest));
            continue;
        }
        found.documents.push(digest);
        for leaf in work.shapes.get(&digest).iter().flat_map(|shape| &shape.leaves) {
            match work.absent.get(&leaf.digest) {
                None => found.leaves.push(leaf.clone()),
                Some(absent) => faults.extend(not_carried(context, job, leaf, absent, found)?),
            }
        }
    }
    Ok(faults)
}

/// Returns whether the leaves of an existing document are there, except those that no bundle has to
/// carry. The documents below it are checked separately.
fn is_whole(context: &Context, work: &Work, job: &Job, digest: Digest) -> Result<bool, Error> {
    let Some(shape) = work.shapes.get(&digest) else { return Ok(true) };
    for leaf in &shape.leaves {
        let may_lack = work.absent.get(&leaf.digest).is_some_and(|absent| absent.reason == Reason::Foreign);
        if !may_lack && !context.destination.has_blob(&job.repository, leaf)? {
            return Ok(false);
        }
        if !may_lack {
            context.notes.add(&job.repository, leaf, How::Found);
        }
    }
    Ok(true)
}

fn incomplete(job: &Job, what: &str, digest: Digest) -> Fault {
    let repository = &job.artifact.repository;
    Fault::new(
        Class::Partial,
        format!("artifact {repository}@{}: {what} {digest} was missing at export", job.artifact.digest),
    )
    .help("export it again when the source has it")
}

fn not_carried(
    context: &Context,
    job: &Job,
    leaf: &Descriptor,
    absent: &Absent,
    found: &mut Needs,
) -> Result<Vec<Fault>, Fault> {
    let mut faults = Vec::new();
    context.workers.check()?;
    match absent.reason {
        Reason::Foreign => return Ok(faults),
        Reason::Base => {
            found.bases.push(leaf.clone());
            return Ok(faults);
        }
        Reason::Missing | Reason::Platform => {}
    }
    match context.destination.has_blob(&job.repository, leaf) {
        Ok(true) => return Ok(faults),
        Ok(false) => {}
        Err(error) => {
            noted(context, &mut faults, error)?;
            return Ok(faults);
        }
    }
    faults.push(incomplete(job, "blob", leaf.digest));
    Ok(faults)
}

/// Returns the fault of a tag that names something else.
pub(super) fn conflict(job: &Job, tag: &Tag, now: Digest) -> Fault {
    let what = differs(
        format_args!("tag exists: {}:{tag}", job.repository),
        format_args!("{} or none", job.artifact.digest),
        now,
    );
    Fault::new(Class::Policy, what).help("move it with --tag-conflict move, or leave it with --tag-conflict keep")
}

fn tags(context: &Context, job: &Job, found: &mut Needs) -> Result<Vec<Fault>, Fault> {
    let mut faults = Vec::new();
    for tag in &job.artifact.tags {
        context.workers.check()?;
        let now = match context.destination.tag_like(&job.repository, tag, job.artifact.digest) {
            Ok(now) => now,
            // Whatever it names, it is to be moved.
            Err(error) if is_refusal(context, &error) && context.request.tag_conflict == TagConflict::Move => None,
            Err(error) => {
                noted(context, &mut faults, error)?;
                break;
            }
        };
        match (now, context.request.tag_conflict) {
            (Some(now), _) if now == job.artifact.digest => {}
            (Some(now), TagConflict::Fail) => faults.push(conflict(job, tag, now)),
            (Some(_), TagConflict::Keep) => found.kept.push(tag.clone()),
            (Some(_), TagConflict::Move) | (None, _) => found.tags.push(tag.clone()),
        }
    }
    Ok(faults)
}
