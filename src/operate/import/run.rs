//! The order of an import's stages.

use std::sync::atomic::Ordering;

use super::blobs::Which;
use super::context::Context;
use super::documents::Documents;
use super::notes::BlobNotes;
use super::outcome::{self, Imported};
use super::request::Request;
use super::work::{Job, Work};
use super::workers::Workers;
use super::{blobs, first_of_form, lists, manifests, part, planner, preflight, prepare, read_back, recheck, tag_notes};
use crate::base::fault::Fault;
use crate::base::lock::lock;
use crate::flow::{Event, Flow};

/// Imports the request. Returns the outcome of each artifact. With `keep_going`, failed artifacts
/// are included, and [`Imported::is_good`] is then false.
///
/// # Errors
/// [`crate::base::fault::Class::Policy`] for everything that prevents the import (names, tags, base
/// content), all in one fault; the classes of [`Sides`](super::Sides); errors of the check. This
/// run then set no tag, unless the fault occurred while setting tags. With a ledger, also a fault
/// of the destination for content that is not there when it is read back.
pub fn run(flow: &Flow, request: &Request) -> Result<Imported, Fault> {
    match request.select {
        [] => all(flow, request),
        picks => part::run(flow, request, picks, |request| all(flow, request)),
    }
}

/// Imports all artifacts of the request.
fn all(flow: &Flow, request: &Request) -> Result<Imported, Fault> {
    let (repositories, collisions) = request.route.assign_all(flow, request.artifacts)?;
    let Request { source, destination, sides, .. } = *request;
    let documents = Documents::new(source, sides);
    let context = Context {
        flow,
        source,
        destination,
        request,
        documents,
        workers: Workers::new(flow),
        notes: BlobNotes::default(),
    };
    let items = request.artifacts.len() as u64;
    flow.event(Event::Stage { name: "planning", bytes: 0, items });
    let work = prepare::work(&context, repositories)?;
    flow.event(Event::Stage { name: "checking the destination", bytes: 0, items });
    let ended = carry_out(&context, &work, collisions);
    destination.rights().into_iter().for_each(crate::content::Rights::release);
    let ended = match request.ledger {
        Some(ledger) => read_back::close(&context, &work, ended, ledger),
        None => ended,
    };
    let ended = ended?;
    Ok(Imported { artifacts: outcome::list(&work, &ended.plan), ..ended })
}

/// Performs the work and returns the counts.
fn carry_out(context: &Context, work: &Work, collisions: Vec<Fault>) -> Result<Imported, Fault> {
    let check = context.request.check;
    preflight::look(context, work, collisions)?;
    check.before_push()?;
    let plan = planner::make(context, work);
    let mounted = work.jobs.iter().map(|job| lock(&job.needs).mounted).sum();
    let mut counts =
        Imported { mounted, present: work.there.found.load(Ordering::Relaxed), plan, ..Imported::default() };
    if context.request.dry_run {
        counts.pushed = counts.plan.sum.sent;
        counts.bytes = counts.plan.sum.bytes;
        counts.mounted += counts.plan.sum.mounted;
        return Ok(counts);
    }
    if !context.request.goal.is_whole() {
        // Nothing refers to the blobs yet: whoever imports the rest looks for all of them again.
        counts.add(&blobs::send(context, work, &Which::Rest)?);
        check.before_tags()?;
        context.destination.finish().map_err(|error| context.at_destination(error))?;
        return Ok(counts);
    }
    let begun = context.flow.clock().elapsed();
    let first = first_of_form::choose(context, work);
    if !first.is_empty() {
        counts.add(&blobs::send(context, work, &Which::Of(&first))?);
        manifests::send(context, work, &Which::Of(&first))?;
        refused(work);
    }
    counts.add(&blobs::send(context, work, &Which::Rest)?);
    manifests::send(context, work, &Which::Rest)?;
    if let Some(more) = recheck::doubts(context, work)? {
        counts.add(&more);
        // What waited for that.
        manifests::send(context, work, &Which::Rest)?;
    }
    context.workers.check()?;
    check.before_tags()?;
    context.workers.check()?;
    if recheck::is_due(context, begun) {
        let all: Vec<&Job> = work.jobs.iter().filter(|job| !job.is_out()).collect();
        counts.add(&recheck::look(context, work, &all)?);
    }
    lists::look(context, work)?;
    if work.jobs.iter().any(|job| !job.is_out()) {
        check.accept()?;
        tag_notes::intend(context, work)?;
    }
    manifests::tag(context, work)?;
    if let Some(more) = recheck::doubts(context, work)? {
        counts.add(&more);
        manifests::tag(context, work)?;
    }
    context.destination.finish().map_err(|error| context.at_destination(error))?;
    tag_notes::record(context, work)?;
    Ok(counts)
}

/// Fails the jobs that need a manifest of a form that the destination was found not to take. Comes
/// about only where failures are recorded.
fn refused(work: &Work) {
    let refused = lock(&work.there.refused);
    if refused.is_empty() {
        return;
    }
    for job in work.jobs.iter().filter(|job| !job.is_out()) {
        let needs = lock(&job.needs);
        let shapes = needs.documents.iter().filter_map(|digest| work.shapes.get(digest));
        if let Some(fault) = shapes.filter(|shape| !shape.is_sparse).find_map(|shape| refused.get(&shape.form())) {
            job.fail(fault.clone());
        }
    }
}
