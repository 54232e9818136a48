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
mod plan;
mod preflight;
mod recheck;
pub mod unpack;
mod workers;

use std::collections::HashMap;
use std::sync::Mutex;

use crate::base::fault::{Class, Fault};
use crate::content::{Destination, Error, Source};
use crate::decide::route::Route;
use crate::flow::{Event, Flow};
use crate::oci::{Absent, Artifact, Descriptor, Digest, Repository};

use self::documents::Documents;
pub use self::ledger::Account;
use self::ledger::Ledger;
pub use self::outcome::{Done, Landed, Outcome};
use self::workers::Crew;

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
pub struct Wanted {
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
    pub wanted: Option<&'a Mutex<Vec<Wanted>>>,
    /// Takes what was done, read back, however the import ends.
    pub account: Option<&'a Mutex<Account>>,
}

/// Passed once, after all content was pushed and before the first tag is set.
pub trait Gate: Sync {
    /// Asked before the first push, when nothing at the destination stands in the way.
    ///
    /// # Errors
    /// The fault for which nothing may be pushed.
    fn admit(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// # Errors
    /// The fault for which no tag may be set: the content was not the whole of what was signed.
    fn pass(&self) -> Result<(), Fault>;

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
pub struct Open;

impl Gate for Open {
    fn pass(&self) -> Result<(), Fault> {
        Ok(())
    }
}

/// What every step of one run is given.
struct Run<'a> {
    flow: &'a Flow,
    source: &'a dyn Source,
    destination: &'a dyn Destination,
    request: &'a Request<'a>,
    documents: Documents<'a>,
    crew: Crew<'a>,
    ledger: Ledger,
}

impl Run<'_> {
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
/// while tags were being set. With an account also [`Sides::destination`]'s for what is not there when it is read back.
pub fn run(
    flow: &Flow,
    source: &dyn Source,
    destination: &dyn Destination,
    gate: &dyn Gate,
    request: &Request,
) -> Result<Outcome, Fault> {
    let repositories = request.route.assign(flow, request.artifacts)?;
    let documents = Documents::new(source, request.sides);
    let run = Run { flow, source, destination, request, documents, crew: Crew::new(flow), ledger: Ledger::default() };
    let items = request.artifacts.len() as u64;
    flow.event(Event::Stage { name: "planning", bytes: 0, items });
    let plan = plan::make(&run, repositories)?;
    flow.event(Event::Stage { name: "checking the destination", bytes: 0, items });
    let ended = carry_out(&run, &plan, gate);
    let ended = match request.account {
        Some(account) => self::ledger::close(&run, &plan, ended, account),
        None => ended,
    };
    Ok(Outcome { artifacts: outcome::list(&plan), ..ended? })
}

/// Does what was planned; gives the counts.
fn carry_out(run: &Run, plan: &plan::Plan, gate: &dyn Gate) -> Result<Outcome, Fault> {
    preflight::look(run, plan)?;
    gate.admit()?;
    let mut counts = blobs::send(run, plan)?;
    if !run.request.dry_run {
        manifests::send(run, plan)?;
        run.crew.check()?;
        gate.pass()?;
        run.crew.check()?;
        counts.add(&self::recheck::look(run, plan)?);
        lists::look(run, plan)?;
        if plan.jobs.iter().any(|job| !job.has_failed()) {
            gate.accept()?;
        }
        manifests::tag(run, plan)?;
        run.destination.finish().map_err(|error| run.at_destination(error))?;
    }
    Ok(counts)
}

#[cfg(test)]
mod tests;
