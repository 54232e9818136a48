//! Checks a whole bundle, or some of its units: in parallel, with one gate at the end
//! (`spec/verification.md`).
//!
//! [`super::gate`] counts what was pinned, each unit exactly once; only the gate lets the bundle
//! pass.

use crate::base::lock::{into_inner, lock};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Mutex;

use super::damage::{self, Broken, Refusal};
use super::flat;
use super::gate::{Gate, Tally};
use super::unit::{check_unit, gate_bug, gate_of, passed};
use super::workers::{Findings, check_all};
use crate::base::fault::{Fault, differs};
use crate::bundle::Error;
use crate::bundle::format::offsets::Unit;
use crate::bundle::open::trusted::Trusted;
use crate::flow::{Event, Flow};
use crate::oci::Hasher;

/// Units to check, and the gate that counts them, where the first has number 0.
pub(super) struct Part {
    pub units: Range<usize>,
    pub gate: Gate,
    /// The volumes that hold the units.
    pub volumes: Range<usize>,
}

/// Returns the numbers of units in the order in which they are begun: the longest first, so that the
/// threads end together.
fn schedule(bundle: &Trusted, units: &Range<usize>) -> Vec<usize> {
    let offsets = bundle.offsets();
    let length = |unit: &Unit| offsets.plain(unit.frames.clone());
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(length(&offsets.units[units.start + index])));
    order
}

/// Checks files, documents, closure and every frame of `bundle`. Reports all faults (only the first
/// one with `fail_fast`) and the files that must be copied again.
///
/// # Errors
/// The fault whose class ranks first, with the others after it.
pub fn check(bundle: &Trusted, flow: &Flow, fail_fast: bool) -> Result<Tally, Refusal> {
    let mut faults = check_list(bundle, flow, fail_fast)?;
    if let Some(files) = bundle.flat() {
        // The survey already named files that are missing or have another size.
        faults.dedup_by(|a, b| a.what == b.what);
        let (whole, counts) = flat::counts(bundle);
        let all = (0..counts.len(), Gate::new(whole, counts));
        return flat::check_files(files, bundle, all, flow, fail_fast, faults).map_err(Refusal::from);
    }
    let all = Part {
        units: 0..bundle.offsets().units.len(),
        gate: gate_of(bundle),
        volumes: 0..bundle.manifest().volumes.len(),
    };
    check_units(bundle, all, flow, fail_fast, faults)
}

/// Checks files, documents and closure of `bundle`, but not the content of other frames. Returns what is
/// wrong.
///
/// # Errors
/// With `fail_fast`, the first fault.
pub(super) fn check_list(bundle: &Trusted, flow: &Flow, fail_fast: bool) -> Result<Vec<Fault>, Refusal> {
    let mut faults: Vec<Fault> = Vec::new();
    let ended = |faults: &mut Vec<Fault>, new: Vec<Error>| {
        faults.extend(new);
        if fail_fast {
            faults.truncate(1);
        }
        fail_fast && !faults.is_empty()
    };
    if ended(&mut faults, bundle.survey(flow)) {
        return Err(Fault::from_list(faults).unwrap_or_else(gate_bug).into());
    }
    let closure = bundle.closure(flow).err();
    if ended(&mut faults, closure.into_iter().collect()) {
        return Err(Fault::from_list(faults).unwrap_or_else(gate_bug).into());
    }
    Ok(faults)
}

/// Checks every frame of some units. `faults` were found before.
///
/// # Errors
/// The fault whose class ranks first, with the others after it.
pub(super) fn check_units(
    bundle: &Trusted,
    part: Part,
    flow: &Flow,
    fail_fast: bool,
    mut faults: Vec<Fault>,
) -> Result<Tally, Refusal> {
    let Part { units, gate, volumes } = part;
    let offsets = bundle.offsets();
    let own = offsets.units.get(units.clone()).unwrap_or_default();
    let bytes = own.iter().map(|unit| offsets.plain(unit.frames.clone())).sum();
    flow.event(Event::Stage { name: "checking", bytes, items: units.len() as u64 });
    let amiss = damage::unfit(bundle, volumes);
    let order = schedule(bundle, &units);
    let findings = Findings::new(fail_fast);
    let broken = Mutex::new(Vec::new());
    check_all(&gate, &order, &findings, flow, |index| {
        let index = units.start + index;
        let unit = &offsets.units[index];
        // A volume that is missing or has another size was already named once.
        if unit.frames.clone().any(|frame| amiss.contains(&offsets.volume_of(frame))) {
            lock(&broken).push((index, Broken::Unread));
            return Ok(None);
        }
        check_unit(bundle, unit, flow).map(Some).map_err(|(error, frame)| {
            if damage::is_of_the_medium(&error) {
                lock(&broken).push((index, frame.map_or(Broken::Whole, Broken::At)));
            }
            error
        })
    });
    let mut again = amiss;
    if !fail_fast {
        let mut broken = into_inner(broken);
        broken.sort_by_key(|(unit, _)| *unit);
        for (unit, broken) in broken {
            let more = damage::frames(bundle, unit, broken, flow, &mut again).unwrap_or_else(|error| vec![error]);
            findings.extend(more);
        }
    }
    let mut found = findings.into_sorted();
    // The walk may already have found the same fault of a document.
    found.retain(|error| faults.iter().all(|fault| fault.what != error.what));
    faults.extend(found);
    let again = again.into_iter().map(|volume| bundle.volumes().file_name(volume)).collect();
    passed(gate, faults).map_err(|fault| Refusal { fault, again })
}

/// Checks the units that hold computed content: the first ones, with `oci-layout` and `index.json`
/// and the small members in their frame, and the end. An import must check them although no
/// artifact refers to them.
///
/// # Errors
/// [`Integrity`](crate::base::fault::Class::Integrity), [`Io`](crate::base::fault::Class::Io), [`Format`](crate::base::fault::Class::Format).
pub fn check_computed(bundle: &Trusted, flow: &Flow) -> Result<(), Error> {
    check_computed_in(bundle, flow, |_| true)
}

/// Like [`check_computed`], but leaves out units of which `has` does not have every volume, counted
/// from 0.
///
/// # Errors
/// Those of [`check_computed`].
pub fn check_computed_in(bundle: &Trusted, flow: &Flow, has: impl Fn(usize) -> bool) -> Result<(), Error> {
    if let Some(files) = bundle.flat() {
        return flat::check_computed(files, bundle, flow);
    }
    let offsets = bundle.offsets();
    // `oci-layout`, `index.json` and the end.
    let units: BTreeSet<usize> = [0, 1, offsets.tar.members()].map(|member| offsets.unit_index(member)).into();
    let is_here = |unit: &usize| offsets.units[*unit].frames.clone().all(|frame| has(offsets.volume_of(frame)));
    units
        .into_iter()
        .filter(is_here)
        .try_for_each(|unit| check_unit(bundle, &offsets.units[unit], flow).map(drop).map_err(|(error, _)| error))
}

/// Checks one volume, counted from 0, against its signed digest. Returns its size in bytes.
///
/// # Errors
/// [`Integrity`](crate::base::fault::Class::Integrity), [`Io`](crate::base::fault::Class::Io).
pub fn check_volume(bundle: &Trusted, volume: usize, flow: &Flow) -> Result<u64, Error> {
    let entry = &bundle.manifest().volumes[volume];
    let file = bundle.volumes().file_name(volume);
    let size = bundle.volumes().size(volume)?;
    if size != Some(entry.size) {
        let found = size.map_or_else(|| "none".to_owned(), |size| format!("{size} bytes"));
        return Err(Error::integrity(differs(
            format_args!("volume {file}"),
            format_args!("{} bytes", entry.size),
            found,
        )));
    }
    let mut hasher = Hasher::new(entry.digest.algorithm());
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < entry.size {
        flow.check()?;
        let count = usize::try_from(entry.size - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        bundle.volumes().read_exact(volume, at, &mut buffer[..count])?;
        hasher.update(&buffer[..count]);
        flow.event(Event::Bytes(count as u64));
        at += count as u64;
    }
    let found = hasher.finish();
    if found == entry.digest {
        Ok(at)
    } else {
        Err(Error::integrity(differs(format_args!("volume {file}"), entry.digest, found)))
    }
}
