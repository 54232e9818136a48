//! Base content: content that bases delivered must be in its repository at the destination, or is
//! mounted there from a repository that has it. Everything missing is listed before the first push.
//!
//! Queries each blob once per repository. Sends nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Mutex;

use crate::base::fault::{Class, Fault, expects};
use crate::base::lock::{into_inner, lock};
use crate::oci::{Descriptor, Digest, Repository};
use crate::receipt::How;

use super::context::Context;
use super::request::MissingBase;
use super::work::Work;

/// The state of one blob in one repository.
enum Found {
    There,
    Mounted,
    Lacking,
    Failed(Fault),
}

type Needed<'p> = (&'p Repository, Digest);

/// Looks for the base content of all jobs. Missing content is a fault of each job that needs it.
pub(super) fn look(context: &Context, work: &Work) -> Result<(), Fault> {
    let mut needed: BTreeMap<Needed, Descriptor> = BTreeMap::new();
    for job in &work.jobs {
        let mut needs = lock(&job.needs);
        // The documents of a job may share leaves.
        needs.bases.sort_by_key(|leaf| leaf.digest);
        needs.bases.dedup_by_key(|leaf| leaf.digest);
        needed.extend(needs.bases.iter().map(|leaf| ((&job.repository, leaf.digest), leaf.clone())));
    }
    let needed: Vec<(Needed, Descriptor)> = needed.into_iter().collect();
    let found: Mutex<HashMap<Needed, Found>> = Mutex::default();
    context.workers.each(&needed, |(place, leaf)| {
        context.workers.check()?;
        let answer = match context.destination.has_blob(place.0, leaf) {
            Ok(true) => Found::There,
            Ok(false) => Found::Lacking,
            Err(error) => failed(context, error)?,
        };
        lock(&found).insert(*place, answer);
        Ok(())
    })?;
    let found = into_inner(found);
    let mut having: HashMap<Digest, BTreeSet<&Repository>> = HashMap::new();
    for ((repository, digest), _) in found.iter().filter(|(_, answer)| matches!(answer, Found::There)) {
        having.entry(*digest).or_default().insert(repository);
    }
    let lacking: Vec<&(Needed, Descriptor)> =
        needed.iter().filter(|(place, _)| matches!(found.get(place), Some(Found::Lacking))).collect();
    let found = Mutex::new(found);
    context.workers.each(&lacking, |(place, leaf)| {
        context.workers.check()?;
        if is_taken_over(context, work, place.0, leaf, having.get(&leaf.digest))? {
            lock(&found).insert(*place, Found::Mounted);
        }
        Ok(())
    })?;
    settle(context, work, &into_inner(found));
    Ok(())
}

/// Returns a destination's error as a fault of the job; cancellation ends the run.
fn failed(context: &Context, error: crate::content::Error) -> Result<Found, Fault> {
    let fault = context.at_destination(error);
    if fault.class == Class::Cancelled { Err(fault) } else { Ok(Found::Failed(fault)) }
}

/// Returns whether the blob was mounted, or in a dry run could be: from the repository that the
/// bundle states, otherwise from any repository of this run that has it.
fn is_taken_over(
    context: &Context,
    work: &Work,
    repository: &Repository,
    leaf: &Descriptor,
    having: Option<&BTreeSet<&Repository>>,
) -> Result<bool, Fault> {
    let Some(mounts) = context.destination.mounts() else { return Ok(false) };
    let stated = work.absent.get(&leaf.digest).and_then(|absent| absent.repository.as_ref());
    let stated = stated.map(|from| context.request.route.destination(from)).transpose()?;
    for from in stated.iter().chain(having.into_iter().flatten().copied()).filter(|from| *from != repository) {
        context.workers.check()?;
        // A mount that fails for any reason means that the blob is missing.
        let came = if context.request.dry_run {
            context.destination.has_blob(from, leaf).unwrap_or(false)
        } else {
            mounts.mount(repository, leaf, from).unwrap_or(false)
        };
        if came {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Records in every job what was found.
fn settle(context: &Context, work: &Work, found: &HashMap<Needed, Found>) {
    let mut counted: HashSet<Needed> = HashSet::new();
    for job in &work.jobs {
        let mut needs = lock(&job.needs);
        let mut faults = Vec::new();
        for leaf in &needs.bases.clone() {
            let place = (&job.repository, leaf.digest);
            match found.get(&place) {
                Some(Found::There) => context.notes.add(&job.repository, leaf, How::Base),
                Some(Found::Mounted) => {
                    needs.mounted += u64::from(counted.insert(place));
                    context.notes.add(&job.repository, leaf, How::BaseMounted);
                }
                Some(Found::Failed(fault)) => faults.push(fault.clone()),
                Some(Found::Lacking) | None => {
                    if let Some(wanted) = context.request.wanted {
                        let destination = job.repository.clone();
                        lock(wanted).push(MissingBase { destination, artifact: job.number, blob: leaf.clone() });
                    }
                    let what = expects(
                        format_args!("base blob {} of {}", leaf.digest, job.repository),
                        "at the destination, not found",
                    );
                    faults.push(Fault::new(Class::Policy, what).help(
                        "import its base first, or have the missing blobs sent: --wanted-out FILE here, export --wanted FILE there",
                    ));
                }
            }
        }
        drop(needs);
        if !faults.is_empty() {
            job.fail_also(faults);
        }
    }
}
