//! Checking a whole bundle: units in parallel, one gate at the end (`spec/verification.md`).
//!
//! [`super::gate`] counts what was pinned, each exactly once; only it says that the bundle holds.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::damage::{self, Broken, Refusal};
use super::flat;
use super::gate::{Step, Tally};
use super::unit::{check_unit, gate_bug, gate_of, passed};
use crate::base::fault::{Class, Fault};
use crate::bundle::Error;
use crate::bundle::format::offsets::Unit;
use crate::bundle::frames::pool::lock;
use crate::bundle::open::trusted::Trusted;
use crate::flow::{Event, Flow, start};
use crate::oci::Hasher;

/// Units in the order in which they are begun: those of one large member first, the longest in
/// front, so that the threads end together.
fn schedule(bundle: &Trusted) -> Vec<usize> {
    let geometry = bundle.geometry();
    let length = |unit: &Unit| geometry.plain(unit.frames.clone());
    let mut order: Vec<usize> = (0..geometry.units.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(length(&geometry.units[index])));
    order
}

/// Checks files, documents, closure and every frame of `bundle`, and lists all faults (the first one
/// alone with `fail_fast`) and the files to be brought again.
///
/// # Errors
/// The fault whose class counts most, the others behind it.
pub fn check(bundle: &Trusted, flow: &Flow, fail_fast: bool) -> Result<Tally, Refusal> {
    let mut faults: Vec<Fault> = Vec::new();
    let ended = |faults: &mut Vec<Fault>, new: Vec<Error>| {
        faults.extend(new.into_iter().map(Fault::from));
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
    if let Some(files) = bundle.flat() {
        // A file that is not there or of another length was named by the survey.
        faults.dedup_by(|a, b| a.what == b.what);
        return flat::check_files(files, bundle, flow, fail_fast, faults).map_err(Refusal::from);
    }
    let geometry = bundle.geometry();
    flow.event(Event::Stage { name: "checking", bytes: geometry.tar.length(), items: geometry.units.len() as u64 });
    let amiss = damage::unfit(bundle);
    let order = schedule(bundle);
    let gate = gate_of(bundle);
    let found = Mutex::new(Vec::new());
    let broken = Mutex::new(Vec::new());
    let step = |index: usize| {
        let unit = &geometry.units[index];
        // A volume that is not there, or of another length, was named once already.
        if unit.frames.clone().any(|frame| amiss.contains(&geometry.volume_of(frame))) {
            lock(&broken).push((index, Broken::Unread));
            return Step::Open;
        }
        match check_unit(bundle, unit, flow) {
            Ok(counted) => Step::Pinned(counted),
            Err((error, frame)) => {
                let stop = fail_fast || error.class == Class::Cancelled;
                if damage::is_of_the_medium(&error) {
                    let frame = frame.map_or(Broken::Whole, Broken::At);
                    lock(&broken).push((index, frame));
                }
                lock(&found).push(error);
                if stop { Step::Stop } else { Step::Open }
            }
        }
    };
    let work = || gate.work(&order, step);
    std::thread::scope(|scope| {
        let threads = start(scope, flow.cpus.max(1), work);
        // A panic was taken note of by the gate, which stays closed; here it must only not spread.
        threads.into_iter().for_each(|thread| drop(thread.join()));
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut again = amiss;
    if !fail_fast {
        let mut broken = broken.into_inner().unwrap_or_else(PoisonError::into_inner);
        broken.sort_by_key(|(unit, _)| *unit);
        for (unit, broken) in broken {
            match damage::frames(bundle, unit, broken, flow, &mut again) {
                Ok(more) => found.extend(more),
                Err(error) => found.push(error),
            }
        }
    }
    found.sort_by(|a, b| a.what.cmp(&b.what));
    found.dedup();
    // The same fault of a document may have been met by the walk already.
    found.retain(|error| faults.iter().all(|fault| fault.what != error.what));
    faults.extend(found.into_iter().map(Fault::from));
    let again = again.into_iter().map(|volume| bundle.volumes().file_name(volume)).collect();
    passed(gate, faults).map_err(|fault| Refusal { fault, again })
}

/// Checks the units that hold computed content: the first ones, with `oci-layout` and `index.json` and
/// the small members beside them, and the end. What an import must have seen although no artifact asks
/// for it.
///
/// # Errors
/// [`Class::Integrity`], [`Class::Io`], [`Class::Format`].
pub fn check_computed(bundle: &Trusted, flow: &Flow) -> Result<(), Error> {
    if let Some(files) = bundle.flat() {
        return flat::check_computed(files, bundle, flow);
    }
    let geometry = bundle.geometry();
    // `oci-layout`, `index.json` and the end.
    let units: BTreeSet<usize> = [0, 1, geometry.tar.members()].map(|member| geometry.unit_index(member)).into();
    units
        .into_iter()
        .try_for_each(|unit| check_unit(bundle, &geometry.units[unit], flow).map(drop).map_err(|(error, _)| error))
}

/// Checks one volume, counted from 0, against its signed digest.
///
/// # Errors
/// [`Class::Integrity`], [`Class::Io`].
pub fn check_volume(bundle: &Trusted, volume: usize, flow: &Flow) -> Result<u64, Error> {
    let entry = &bundle.manifest().volumes[volume];
    let file = bundle.volumes().file_name(volume);
    let size = bundle.volumes().size(volume)?;
    if size != Some(entry.size) {
        let found = size.map_or_else(|| "none".to_owned(), |size| format!("{size} bytes"));
        return Err(Error::integrity(format!("volume {file}: expected {} bytes, found {found}", entry.size)));
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
        Err(Error::integrity(format!("volume {file}: expected {}, found {found}", entry.digest)))
    }
}
