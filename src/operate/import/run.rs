//! The order of an import's stages.

use super::context::Context;
use super::documents::Documents;
use super::notes::BlobNotes;
use super::outcome::{self, Imported};
use super::request::Request;
use super::work::Work;
use super::workers::Workers;
use super::{blobs, lists, manifests, preflight, prepare, read_back, recheck};
use crate::base::fault::Fault;
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
    let repositories = request.route.assign(flow, request.artifacts)?;
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
    let ended = carry_out(&context, &work);
    destination.rights().into_iter().for_each(crate::content::Rights::release);
    let ended = match request.ledger {
        Some(ledger) => read_back::close(&context, &work, ended, ledger),
        None => ended,
    };
    Ok(Imported { artifacts: outcome::list(&work), ..ended? })
}

/// Performs the work and returns the counts.
fn carry_out(context: &Context, work: &Work) -> Result<Imported, Fault> {
    let check = context.request.check;
    preflight::look(context, work)?;
    check.before_push()?;
    let mut counts = blobs::send(context, work)?;
    if !context.request.goal.is_whole() {
        // Nothing refers to the blobs yet: whoever imports the rest looks for all of them again.
        if !context.request.dry_run {
            check.before_tags()?;
            context.destination.finish().map_err(|error| context.at_destination(error))?;
        }
        return Ok(counts);
    }
    if !context.request.dry_run {
        manifests::send(context, work)?;
        context.workers.check()?;
        check.before_tags()?;
        context.workers.check()?;
        counts.add(&recheck::look(context, work)?);
        lists::look(context, work)?;
        if work.jobs.iter().any(|job| !job.is_out()) {
            check.accept()?;
        }
        manifests::tag(context, work)?;
        context.destination.finish().map_err(|error| context.at_destination(error))?;
    }
    Ok(counts)
}
