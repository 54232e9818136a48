//! Base content: what bases have delivered must be at the destination, or be mounted there from a repository that
//! has it. All that lacks is listed before the first push.
//!
//! Each blob is asked for once in each repository. It sends nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Mutex;

use crate::base::fault::{Class, Fault};
use crate::oci::{Descriptor, Digest, Repository};
use crate::receipt::How;

use super::plan::{Plan, locked};
use super::{Run, Wanted};

/// What became of one blob in one repository.
enum Found {
    There,
    Mounted,
    Lacking,
    Failed(Fault),
}

type Place<'p> = (&'p Repository, Digest);

/// Looks for the base content of all jobs; what lacks is a fault of each job that needs it.
pub(super) fn look(run: &Run, plan: &Plan) -> Result<(), Fault> {
    let mut needed: BTreeMap<Place, Descriptor> = BTreeMap::new();
    for job in &plan.jobs {
        let mut needs = locked(&job.needs);
        // Its documents may share some.
        needs.bases.sort_by_key(|leaf| leaf.digest);
        needs.bases.dedup_by_key(|leaf| leaf.digest);
        needed.extend(needs.bases.iter().map(|leaf| ((&job.repository, leaf.digest), leaf.clone())));
    }
    let needed: Vec<(Place, Descriptor)> = needed.into_iter().collect();
    let found: Mutex<HashMap<Place, Found>> = Mutex::default();
    run.crew.each(&needed, |(place, leaf)| {
        run.crew.check()?;
        let answer = match run.destination.has_blob(place.0, leaf) {
            Ok(true) => Found::There,
            Ok(false) => Found::Lacking,
            Err(error) => failed(run, error)?,
        };
        locked(&found).insert(*place, answer);
        Ok(())
    })?;
    let found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut having: HashMap<Digest, BTreeSet<&Repository>> = HashMap::new();
    for ((repository, digest), _) in found.iter().filter(|(_, answer)| matches!(answer, Found::There)) {
        having.entry(*digest).or_default().insert(repository);
    }
    let lacking: Vec<&(Place, Descriptor)> =
        needed.iter().filter(|(place, _)| matches!(found.get(place), Some(Found::Lacking))).collect();
    let found = Mutex::new(found);
    run.crew.each(&lacking, |(place, leaf)| {
        run.crew.check()?;
        if is_taken_over(run, plan, place.0, leaf, having.get(&leaf.digest))? {
            locked(&found).insert(*place, Found::Mounted);
        }
        Ok(())
    })?;
    settle(run, plan, &found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
    Ok(())
}

/// A destination's error is the job's; that the run was cancelled is not.
fn failed(run: &Run, error: crate::content::Error) -> Result<Found, Fault> {
    let fault = run.at_destination(error);
    if fault.class == Class::Cancelled { Err(fault) } else { Ok(Found::Failed(fault)) }
}

/// Whether the blob came, or in a dry run would come: from where the bundle says that it was delivered, else from
/// any repository of this run that has it.
fn is_taken_over(
    run: &Run,
    plan: &Plan,
    repository: &Repository,
    leaf: &Descriptor,
    having: Option<&BTreeSet<&Repository>>,
) -> Result<bool, Fault> {
    let Some(mounts) = run.destination.mounts() else { return Ok(false) };
    let stated = plan.absent.get(&leaf.digest).and_then(|absent| absent.repository.as_ref());
    let stated = stated.map(|from| run.request.route.destination(from)).transpose()?;
    for from in stated.iter().chain(having.into_iter().flatten().copied()).filter(|from| *from != repository) {
        run.crew.check()?;
        // A mount that fails in any way is a blob that lacks.
        let came = if run.request.dry_run {
            run.destination.has_blob(from, leaf).unwrap_or(false)
        } else {
            mounts.mount(repository, leaf, from).unwrap_or(false)
        };
        if came {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Tells every job what was found.
fn settle(run: &Run, plan: &Plan, found: &HashMap<Place, Found>) {
    let mut counted: HashSet<Place> = HashSet::new();
    for (artifact, job) in plan.jobs.iter().enumerate() {
        let mut needs = locked(&job.needs);
        let mut faults = Vec::new();
        for leaf in &needs.bases.clone() {
            let place = (&job.repository, leaf.digest);
            match found.get(&place) {
                Some(Found::There) => run.ledger.note(&job.repository, leaf, How::Base),
                Some(Found::Mounted) => {
                    needs.mounted += u64::from(counted.insert(place));
                    run.ledger.note(&job.repository, leaf, How::BaseMounted);
                }
                Some(Found::Failed(fault)) => faults.push(fault.clone()),
                Some(Found::Lacking) | None => {
                    if let Some(wanted) = run.request.wanted {
                        let destination = job.repository.clone();
                        locked(wanted).push(Wanted { destination, artifact, blob: leaf.clone() });
                    }
                    let what = format!(
                        "base blob {} of {}: expected at the destination, not found",
                        leaf.digest, job.repository
                    );
                    faults.push(Fault::new(Class::Policy, what).help(
                        "import its base first, or have what lacks sent: --wanted-out FILE here, export --wanted FILE there",
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
