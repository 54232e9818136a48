//! Checks one shard of a bundle, or joins the tallies of all of them (`spec/verification.md`, Shards).
//!
//! A shard reads only the volumes that hold its units. Files, documents and closure concern the bundle as
//! a whole, and are checked where the tallies are joined.

use std::collections::BTreeSet;
use std::ops::Range;

use super::damage::{Refusal, unfit};
use super::flat;
use super::gate::Tally;
use super::joined::Joined;
use super::parallel::{Part, check_list, check_units};
use super::seen::Seen;
use super::unit::{self, gate_bug, gate_of_part};
use crate::base::fault::{Class, Fault, expects};
use crate::base::shard::Shard;
use crate::base::time::Moment;
use crate::bundle::open::trusted::Trusted;
use crate::flow::Flow;

/// Returns the counts of the whole bundle and of each unit. In form flat, each file is a unit.
fn counts(bundle: &Trusted) -> (Tally, Vec<Tally>) {
    if bundle.flat().is_some() { flat::counts(bundle) } else { unit::counts(bundle) }
}

/// Returns the volumes, counted from 0, that hold some units; none in form flat.
fn volumes(bundle: &Trusted, units: &Range<usize>) -> Range<usize> {
    let offsets = bundle.offsets();
    let own = offsets.units.get(units.clone()).unwrap_or_default();
    let (Some(first), Some(last)) = (own.first(), own.last()) else { return 0..0 };
    offsets.volume_of(first.frames.start)..offsets.volume_of(last.frames.end.saturating_sub(1)) + 1
}

/// Units of a shard, and the volumes that hold them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Units, counted from 0; in form flat, members.
    pub units: Range<usize>,
    /// Volumes, counted from 0.
    pub volumes: Range<usize>,
}

/// Returns what `shard` has of `bundle`.
pub fn share_of(bundle: &Trusted, shard: Shard) -> Share {
    let lengths: Vec<u64> = counts(bundle).1.iter().map(|unit| unit.bytes).collect();
    let units = shard.of(&lengths);
    let volumes = volumes(bundle, &units);
    Share { units, volumes }
}

/// Checks every frame of the units of `shard`, and the sizes of the volumes that hold them. Reports all
/// faults, or only the first one with `fail_fast`.
///
/// # Errors
/// The fault whose class ranks first, with the others after it.
pub fn check(bundle: &Trusted, shard: Shard, flow: &Flow, fail_fast: bool) -> Result<Seen, Refusal> {
    let counts = counts(bundle).1;
    let Share { units, volumes } = share_of(bundle, shard);
    let gate = gate_of_part(&counts, units.clone());
    let passed = match bundle.flat() {
        Some(files) => {
            flat::check_files(files, bundle, (units.clone(), gate), flow, fail_fast, Vec::new()).map_err(Refusal::from)
        }
        None => {
            let faults: Vec<Fault> = volumes.clone().filter_map(|volume| bundle.fits(volume).err()).collect();
            if let (true, Some(first)) = (fail_fast, faults.first()) {
                return Err(first.clone().into());
            }
            check_units(bundle, Part { units: units.clone(), gate, volumes }, flow, fail_fast, faults)
        }
    }?;
    let ended = Moment::from_unix(flow.clock().unix()).ok_or_else(|| {
        Fault::new(Class::Usage, expects("clock", "a year from 0 to 9999")).help("set the clock of this machine")
    })?;
    let mut seen = Seen::new(bundle.id(), shard, ended);
    let is_whole = units.clone().all(|unit| counts.get(unit).is_some_and(|count| seen.add(unit, *count)));
    // The gate has counted every unit, each with what the manifest lists.
    if is_whole && seen.tally() == passed { Ok(seen) } else { Err(gate_bug().into()) }
}

/// Lets a bundle pass whose files, documents and closure hold, and whose units were seen by the shards in
/// `joined`, each once.
///
/// # Errors
/// The fault whose class ranks first, with the others after it.
pub fn join(bundle: &Trusted, joined: &Joined, flow: &Flow, fail_fast: bool) -> Result<Tally, Refusal> {
    let mut faults = check_list(bundle, flow, fail_fast)?;
    let amiss: BTreeSet<usize> = unfit(bundle, 0..bundle.manifest().volumes.len());
    let (whole, units) = counts(bundle);
    let passed = joined.close(whole, &units);
    let tally = match passed {
        Ok(tally) => Some(tally),
        Err(open) => {
            faults.extend(open);
            None
        }
    };
    match (Fault::from_list(faults), tally) {
        (None, Some(tally)) => Ok(tally),
        (fault, _) => {
            let again = amiss.into_iter().map(|volume| bundle.volumes().file_name(volume)).collect();
            Err(Refusal { fault: fault.unwrap_or_else(gate_bug), again })
        }
    }
}
