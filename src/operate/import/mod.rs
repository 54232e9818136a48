//! Import: from any source to any destination, blobs before documents before tags.
//!
//! Everything that stands in the way is looked for before the first push and listed at once. Then blobs
//! go, each digest once; documents, children first; the gate; and only then the tags. What the source
//! did wrong ends the run without a tag; what the destination did wrong may be recorded instead.
//! Knows no bundle, no registry and no terminal.

mod bases;
mod blob_body;
mod blobs;
#[cfg(feature = "carry")]
pub mod checks;
mod documents;
mod ledger;
mod lists;
mod manifests;
mod outcome;
mod preflight;
mod recheck;
pub mod unpack;
mod work;
mod workers;

use std::collections::HashMap;
use std::sync::Mutex;

use crate::base::fault::{Class, Fault};
use crate::content::{Destination, Error, Source};
use crate::decide::route::Route;
use crate::flow::{Event, Flow};
use crate::oci::{Absent, Artifact, Descriptor, Digest, Repository};

use self::documents::Documents;
use self::ledger::BlobNotes;
pub use self::ledger::Ledger;
pub use self::outcome::{Done, Imported, Landed};
use self::workers::Workers;

/// What to do with a tag that names another digest at the destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagConflict {
    /// Nothing is pushed and all conflicts are listed.
    #[default]
    Fail,
    /// The destination's tag stays.
    Keep,
    /// The tag moves.
    Move,
}

/// Which classes the faults of the two sides have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    /// The source does not give what it should.
    pub source: Class,
    /// The source's documents are not what they must be.
    pub shape: Class,
    /// The destination refuses or fails.
    pub destination: Class,
}

impl Sides {
    /// Between two places, as `copy` has it.
    pub const PLACES: Self = Self { source: Class::Source, shape: Class::Source, destination: Class::Destination };
    /// From a bundle: its bytes are the bundle's integrity.
    pub const BUNDLE: Self = Self { source: Class::Integrity, shape: Class::Format, destination: Class::Destination };
}

/// Base content that the destination lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingBase {
    /// The destination's repository that needs it.
    pub destination: Repository,
    /// The artifact that needs it, by its place in the request.
    pub artifact: usize,
    /// What.
    pub blob: Descriptor,
}

/// What to import and how.
pub struct Request<'a> {
    /// The artifacts, all that are to be imported.
    pub artifacts: &'a [Artifact],
    /// What is reachable from them but not carried.
    pub absent: &'a [Absent],
    /// The names.
    pub route: &'a Route,
    /// Tags that name something else.
    pub tag_conflict: TagConflict,
    /// Whether the destination's failures are recorded, artifact by artifact, and the others go on.
    pub keep_going: bool,
    /// Look only; the outcome says what would be done.
    pub dry_run: bool,
    /// Classes of faults.
    pub sides: Sides,
    /// Repositories of the destination's own place that have blobs of the source: mounted from there
    /// where that works, in place of being sent.
    pub siblings: Option<&'a HashMap<Digest, Repository>>,
    /// Takes the base blobs that lack.
    pub wanted: Option<&'a Mutex<Vec<MissingBase>>>,
    /// Takes what was done, read back, however the import ends.
    pub ledger: Option<&'a Mutex<Ledger>>,
}

/// Passed once, after all content was pushed and before the first tag is set.
pub trait ImportCheck: Sync {
    /// Asked before the first push, when nothing at the destination stands in the way.
    ///
    /// # Errors
    /// The fault for which nothing may be pushed.
    fn before_push(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// # Errors
    /// The fault for which no tag may be set: the content was not the whole of what was signed.
    fn before_tags(&self) -> Result<(), Fault>;

    /// Notes that the content is taken, durably, when something of it is about to get its names. Not called where
    /// nothing is.
    ///
    /// # Errors
    /// The fault for which no tag may be set.
    fn accept(&self) -> Result<(), Fault> {
        Ok(())
    }
}

/// The gate where nothing is to be counted.
pub struct NoCheck;

impl ImportCheck for NoCheck {
    fn before_tags(&self) -> Result<(), Fault> {
        Ok(())
    }
}

/// What every step of one run is given.
struct Context<'a> {
    flow: &'a Flow,
    source: &'a dyn Source,
    destination: &'a dyn Destination,
    request: &'a Request<'a>,
    documents: Documents<'a>,
    workers: Workers<'a>,
    notes: BlobNotes,
}

impl Context<'_> {
    fn at_destination(&self, error: Error) -> Fault {
        error.into_fault(self.request.sides.destination)
    }
}

/// Imports. The outcome says per artifact what became of it; an artifact that failed under
/// `keep_going` is in it, and [`Outcome::is_good`] is then false.
///
/// # Errors
/// [`Class::Policy`] for what stands in the way (names, tags, base content), all in one fault; the
/// classes of [`Sides`]; the gate's own. Then no tag was set by this run, except where the fault came
/// while tags were being set. With a ledger also [`Sides::destination`]'s for what is not there when it is read back.
pub fn run(
    flow: &Flow,
    source: &dyn Source,
    destination: &dyn Destination,
    check: &dyn ImportCheck,
    request: &Request,
) -> Result<Imported, Fault> {
    let repositories = request.route.assign(flow, request.artifacts)?;
    let documents = Documents::new(source, request.sides);
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
    let work = work::make(&context, repositories)?;
    flow.event(Event::Stage { name: "checking the destination", bytes: 0, items });
    let ended = carry_out(&context, &work, check);
    let ended = match request.ledger {
        Some(ledger) => self::ledger::close(&context, &work, ended, ledger),
        None => ended,
    };
    Ok(Imported { artifacts: outcome::list(&work), ..ended? })
}

/// Does what was planned; gives the counts.
fn carry_out(context: &Context, work: &work::Work, check: &dyn ImportCheck) -> Result<Imported, Fault> {
    preflight::look(context, work)?;
    check.before_push()?;
    let mut counts = blobs::send(context, work)?;
    if !context.request.dry_run {
        manifests::send(context, work)?;
        context.workers.check()?;
        check.before_tags()?;
        context.workers.check()?;
        counts.add(&self::recheck::look(context, work)?);
        lists::look(context, work)?;
        if work.jobs.iter().any(|job| !job.has_failed()) {
            check.accept()?;
        }
        manifests::tag(context, work)?;
        context.destination.finish().map_err(|error| context.at_destination(error))?;
    }
    Ok(counts)
}

#[cfg(test)]
mod tests;
