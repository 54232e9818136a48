//! Checking a whole bundle: units in parallel, one gate at the end (`spec/verification.md`).
//!
//! [`super::gate`] counts what was pinned, each exactly once; only it says that the bundle holds.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::damage::{self, Broken, Refusal};
pub use super::gate::Tally;
use super::gate::{Closed, Gate, Step};
use crate::base::fault::{Class, Fault};
use crate::bundle::Error;
use crate::bundle::format::offsets::{Geometry, Unit};
use crate::bundle::format::tar::Content;
use crate::bundle::frames::members::{Cursor, Part};
use crate::bundle::frames::pool::lock;
use crate::bundle::frames::random::{Pieces, Plain};
use crate::bundle::open::trusted::Trusted;
use crate::flow::{Event, Flow, start};
use crate::oci::Hasher;

/// Sees what a unit holds while it is checked.
pub(in crate::bundle) trait Seen {
    /// More of the content of `member`, of which nothing is known yet.
    fn content(&mut self, member: usize, bytes: &[u8]);
    /// All of `member` came, and it holds.
    fn whole(&mut self, member: usize);
}

/// Sees nothing.
pub(in crate::bundle) struct Blind;

impl Seen for Blind {
    fn content(&mut self, _: usize, _: &[u8]) {}
    fn whole(&mut self, _: usize) {}
}

/// One unit, every byte of it; with the error the frame that it lies in, where it is one frame's.
fn check_unit(bundle: &Trusted, unit: &Unit, flow: &Flow) -> Result<Tally, (Error, Option<usize>)> {
    let mut plain = Plain::new(bundle.geometry(), bundle.volumes(), unit.frames.clone());
    walk_unit(bundle, unit, &mut plain, flow, &mut Blind).map_err(|error| (error, plain.broken()))
}

/// One unit, every byte of it, from the pieces of its frames.
pub(in crate::bundle) fn walk_unit(
    bundle: &Trusted,
    unit: &Unit,
    pieces: &mut dyn Pieces,
    flow: &Flow,
    seen: &mut dyn Seen,
) -> Result<Tally, Error> {
    let geometry = bundle.geometry();
    let mut cursor = Cursor::new(&geometry.tar, unit.members.start, true);
    let mut bytes = 0;
    let mut unreported = 0;
    loop {
        let mut piece = pieces.next_piece()?;
        if piece.is_empty() {
            break;
        }
        bytes += piece.len() as u64;
        unreported += piece.len() as u64;
        while !piece.is_empty() {
            let member = cursor.member();
            let (count, part) = cursor
                .take(piece)
                .map_err(|error| Error { what: format!("{} ({})", error.what, bundle.place_of(unit)), ..error })?;
            if let Part::Content(range) = part {
                seen.content(member, &piece[range]);
            }
            if cursor.member() != member {
                seen.whole(member);
            }
            piece = &piece[count..];
        }
        if unreported >= 4 << 20 {
            flow.check()?;
            flow.event(Event::Bytes(std::mem::take(&mut unreported)));
        }
    }
    flow.event(Event::Bytes(unreported));
    if cursor.member() != unit.members.end {
        return Err(Error::integrity(format!("{}: ends early", geometry.tar.name(cursor.member()))));
    }
    Ok(Tally { members: cursor.members, blobs: cursor.blobs, frames: unit.frames.len() as u64, bytes })
}

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
    if let Some(flat) = bundle.flat() {
        // A file that is not there or of another length was named by the survey.
        faults.dedup_by(|a, b| a.what == b.what);
        return crate::bundle::volumes::flat::check_files(flat, bundle, flow, fail_fast, faults).map_err(Refusal::from);
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
    faults.extend(found);
    let again = again.into_iter().map(|volume| bundle.volumes().file_name(volume)).collect();
    passed(gate, faults).map_err(|fault| Refusal { fault, again })
}

/// The gate in front of all units of `bundle`.
pub(in crate::bundle) fn gate_of(bundle: &Trusted) -> Gate {
    let geometry = bundle.geometry();
    Gate::new(listed(bundle), geometry.units.iter().map(|unit| expected(geometry, unit)).collect())
}

/// What the gate says, and what was found wrong.
pub(in crate::bundle) fn passed(gate: Gate, mut faults: Vec<Fault>) -> Result<Tally, Fault> {
    match gate.close() {
        Ok(tally) if faults.is_empty() => Ok(tally),
        Ok(_) => Err(Fault::from_list(faults).unwrap_or_else(gate_bug)),
        Err(Closed::Worker) => {
            faults.push(Fault::new(Class::Bug, Closed::Worker.to_string()));
            Err(Fault::from_list(faults).unwrap_or_else(gate_bug))
        }
        // The faults say why; without any the gate does.
        Err(closed) => {
            Err(Fault::from_list(faults).unwrap_or_else(|| Fault::new(Class::Integrity, closed.to_string())))
        }
    }
}

/// What the manifest lists.
fn listed(bundle: &Trusted) -> Tally {
    let (manifest, tar) = (bundle.manifest(), &bundle.geometry().tar);
    Tally {
        members: tar.members() as u64,
        blobs: manifest.blobs.len() as u64,
        frames: manifest.frames.len() as u64,
        bytes: tar.length(),
    }
}

/// What is in a unit; the trailer, which is behind the last member, is none.
fn expected(geometry: &Geometry, unit: &Unit) -> Tally {
    let members = unit.members.start..unit.members.end.min(geometry.tar.members());
    Tally {
        blobs: members.clone().filter(|&member| matches!(geometry.tar.content(member), Content::Blob(_))).count()
            as u64,
        members: members.len() as u64,
        frames: unit.frames.len() as u64,
        bytes: geometry.plain(unit.frames.clone()),
    }
}

fn gate_bug() -> Fault {
    Fault::new(Class::Bug, "internal error: a check failed without a fault")
}

/// Checks the units that hold computed content: the first ones, with `oci-layout` and `index.json` and
/// the small members beside them, and the end. What an import must have seen although no artifact asks
/// for it.
///
/// # Errors
/// [`Class::Integrity`], [`Class::Io`], [`Class::Format`].
pub fn check_computed(bundle: &Trusted, flow: &Flow) -> Result<(), Error> {
    if let Some(flat) = bundle.flat() {
        return crate::bundle::volumes::flat::check_computed(flat, bundle, flow);
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
