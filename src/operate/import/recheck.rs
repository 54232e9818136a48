//! Checks, before the first tag, that everything to be tagged is still there. A registry may
//! garbage-collect content that no tag names yet, or confirm content that it does not keep. Short
//! runs do so only if the registry refuses a manifest or a tag because of that.
//!
//! Missing content is sent once more, except base content, which is not here. If it is missing
//! again, the destination is at fault. Sets no tag.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use crate::base::fault::{Class, Fault, Reason};
use crate::base::lock::{into_inner, lock};
use crate::flow::Event;
use crate::oci::{Descriptor, Digest, Repository};

use super::blobs::Which;
use super::context::Context;
use super::outcome::Imported;
use super::work::{Doubt, Job, Work};
use super::{blobs, manifests};

/// One thing that must be there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Blob(Digest, u64),
    Manifest(Digest),
}

impl Thing {
    const fn digest(&self) -> Digest {
        match self {
            Self::Blob(digest, _) | Self::Manifest(digest) => *digest,
        }
    }
}

type Expected<'p> = (&'p Repository, Thing);

/// Time after which everything is asked for once more before it is tagged: shorter runs rely on what
/// the destination checks when it takes a manifest.
const TRUSTED_FOR: Duration = Duration::from_secs(60);
/// State of content that a place does not keep.
const TWICE: &str = "was sent twice and is not there";

/// Returns whether to look for everything: the destination takes manifests without what they need, a
/// receipt states what it had before the first tag, or that was long ago.
pub(super) fn is_due(context: &Context, since: Duration) -> bool {
    let passed = context.flow.clock().elapsed().saturating_sub(since);
    !context.destination.keeps_whole() || context.request.ledger.is_some() || passed > TRUSTED_FOR
}

/// Looks for what the jobs need if the destination said that it does not have all of it, and sends
/// missing content once more. Returns the counts of that; `None` if it said nothing of the kind.
pub(super) fn doubts(context: &Context, work: &Work) -> Result<Option<Imported>, Fault> {
    let jobs: Vec<&Job> = work.jobs.iter().filter(|job| !job.is_out() && job.is_doubtful()).collect();
    if jobs.is_empty() { Ok(None) } else { look(context, work, &jobs).map(Some) }
}

/// Queries everything that this run needed for `jobs` and sends missing content once more. Returns the
/// counts of that.
pub(super) fn look(context: &Context, work: &Work, jobs: &[&Job]) -> Result<Imported, Fault> {
    let gone = lacking(context, jobs)?;
    jobs.iter().for_each(|job| *lock(&job.doubt) = Doubt::Settled);
    if gone.is_empty() {
        return Ok(Imported::default());
    }
    let is_base = |job: &Job, thing: &Thing| {
        let is_it = |digest| lock(&job.needs).bases.iter().any(|leaf| leaf.digest == digest);
        matches!(thing, Thing::Blob(digest, _) if is_it(*digest))
    };
    tell(context, jobs, &gone, "of a base was there and is gone", is_base)?;
    context
        .flow
        .warn(format!("{} blobs and manifests that were at the destination are gone: sending them again", gone.len()));
    let places: HashSet<(&Repository, Digest)> =
        gone.iter().map(|(repository, thing)| (*repository, thing.digest())).collect();
    for job in jobs {
        let mut needs = lock(&job.needs);
        let is_gone = |leaf: &Descriptor| places.contains(&(&job.repository, leaf.digest));
        let (gone, found): (Vec<_>, Vec<_>) = std::mem::take(&mut needs.found).into_iter().partition(is_gone);
        needs.found = found;
        needs.leaves.extend(gone);
    }
    let counts = blobs::send(context, work, &Which::Again(&places))?;
    // A missing blob is named here; the refusal of a manifest would not name it.
    let mut gone = lacking(context, jobs)?;
    gone.retain(|(_, thing)| matches!(thing, Thing::Blob(..)));
    tell(context, jobs, &gone, TWICE, |_, _| true)?;
    manifests::send(context, work, &Which::Again(&places))?;
    tell(context, jobs, &lacking(context, jobs)?, TWICE, |_, _| true)?;
    Ok(counts)
}

/// Records a fault in each job with a missing thing for which `concerns` is true.
fn tell(
    context: &Context,
    jobs: &[&Job],
    gone: &BTreeSet<Expected<'_>>,
    became: &str,
    concerns: impl Fn(&Job, &Thing) -> bool,
) -> Result<(), Fault> {
    for job in jobs.iter().filter(|job| !job.is_out()) {
        let is_gone = |thing: &Thing| gone.contains(&(&job.repository, thing.clone())) && concerns(job, thing);
        let Some(thing) = things(job).into_iter().find(is_gone) else { continue };
        let what = match thing {
            Thing::Blob(digest, _) => format!("blob {digest}"),
            Thing::Manifest(digest) => format!("manifest {digest}"),
        };
        let what = format!("{}: {what} {became}", job.repository);
        let fault = Fault::new(context.request.sides.destination, what)
            .help("check whether garbage collection runs there; then run the import again");
        if !context.request.keep_going {
            return Err(fault);
        }
        job.fail(fault);
    }
    Ok(())
}

/// Lists the blobs and manifests that this run pushed for a job, or found there before.
fn things(job: &Job) -> Vec<Thing> {
    let needs = lock(&job.needs);
    let blobs =
        needs.leaves.iter().chain(&needs.found).chain(&needs.bases).map(|leaf| Thing::Blob(leaf.digest, leaf.size));
    blobs.chain(needs.documents.iter().map(|digest| Thing::Manifest(*digest))).collect()
}

fn lacking<'p>(context: &Context, jobs: &[&'p Job<'p>]) -> Result<BTreeSet<Expected<'p>>, Fault> {
    let jobs: Vec<&'p Job<'p>> = jobs.iter().copied().filter(|job| !job.is_out()).collect();
    let of = |job: &&'p Job<'p>| -> Vec<Expected<'p>> {
        things(job).into_iter().map(|thing| (&job.repository, thing)).collect()
    };
    let all: BTreeSet<Expected<'p>> = jobs.iter().flat_map(of).collect();
    let all: Vec<Expected<'p>> = all.into_iter().collect();
    context.flow.event(Event::Stage { name: "checking once more", bytes: 0, items: all.len() as u64 });
    let gone = std::sync::Mutex::new(BTreeSet::new());
    context.workers.each(&all, |place| {
        context.workers.check()?;
        let (repository, thing) = place;
        let found = match thing {
            Thing::Blob(digest, size) => {
                context.destination.has_blob(repository, &Descriptor::new("application/octet-stream", *digest, *size))
            }
            Thing::Manifest(digest) => context.destination.has_manifest(repository, *digest),
        };
        let concerned = |job: &&&Job| job.repository == **repository && things(job).contains(thing);
        match found.map_err(|error| context.at_destination(error)) {
            // It was taken, and a rule of the place keeps it from whoever asks.
            Err(fault) if fault.reason == Some(Reason::Unreadable) => {
                jobs.iter().filter(concerned).for_each(|job| job.refuse_reading(&fault.what));
            }
            Ok(true) => context.flow.event(Event::Item(repository.to_string())),
            Ok(false) => {
                lock(&gone).insert(place.clone());
            }
            Err(fault) if !context.request.keep_going || fault.class == Class::Cancelled => return Err(fault),
            Err(fault) => jobs.iter().filter(concerned).for_each(|job| job.fail(fault.clone())),
        }
        Ok(())
    })?;
    Ok(into_inner(gone))
}
