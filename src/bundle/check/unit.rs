//! Checks every byte of one unit of a bundle; makes and closes the gate for all units
//! (`spec/verification.md`).
//!
//! Starts no threads: callers decide which unit is checked when, and by whom.

use std::ops::Range;

use super::gate::{Closed, Gate, Tally};
use crate::base::fault::{Class, Fault};
use crate::bundle::Error;
use crate::bundle::format::offsets::{Offsets, Unit};
use crate::bundle::format::tar::Content;
use crate::bundle::frames::members::{Blind, Cursor, Seen};
use crate::bundle::frames::random::{Pieces, RandomReader};
use crate::bundle::open::trusted::Trusted;
use crate::flow::{Event, Flow};

/// Checks every byte of a unit. Returns an error together with the frame that it is in, if it
/// concerns one frame.
pub(in crate::bundle) fn check_unit(
    bundle: &Trusted,
    unit: &Unit,
    flow: &Flow,
) -> Result<Tally, (Error, Option<usize>)> {
    let mut reader = RandomReader::new(bundle.offsets(), bundle.volumes(), unit.frames.clone());
    walk_unit(bundle, unit, &mut reader, flow, &mut Blind).map_err(|error| (error, reader.broken()))
}

/// Checks every byte of a unit from the pieces of its frames.
pub(in crate::bundle) fn walk_unit(
    bundle: &Trusted,
    unit: &Unit,
    pieces: &mut dyn Pieces,
    flow: &Flow,
    seen: &mut dyn Seen,
) -> Result<Tally, Error> {
    let offsets = bundle.offsets();
    let mut cursor = Cursor::new(&offsets.tar, unit.members.start, true);
    let mut bytes = 0;
    let mut unreported = 0;
    loop {
        let piece = pieces.next_piece()?;
        if piece.is_empty() {
            break;
        }
        bytes += piece.len() as u64;
        unreported += piece.len() as u64;
        cursor.take_all(piece, seen).map_err(|error| bundle.in_unit(unit, error))?;
        if unreported >= 4 << 20 {
            flow.check()?;
            flow.event(Event::Bytes(std::mem::take(&mut unreported)));
        }
    }
    flow.event(Event::Bytes(unreported));
    if cursor.member() != unit.members.end {
        return Err(Error::integrity(format!("{}: ends early", offsets.tar.name(cursor.member()))));
    }
    Ok(Tally { members: cursor.members, blobs: cursor.blobs, frames: unit.frames.len() as u64, bytes })
}

/// Returns the gate for all units of `bundle`.
pub(in crate::bundle) fn gate_of(bundle: &Trusted) -> Gate {
    let (whole, units) = counts(bundle);
    Gate::new(whole, units)
}

/// Returns the gate for some items of a list with these counts; the first of them has number 0 there.
pub(in crate::bundle) fn gate_of_part(counts: &[Tally], items: Range<usize>) -> Gate {
    let counts = counts.get(items).unwrap_or_default().to_vec();
    // No overflow: those of the whole bundle fit.
    let sum = counts.iter().fold(Tally::default(), |sum, unit| sum.plus(*unit).unwrap_or(sum));
    Gate::new(sum, counts)
}

/// Returns the counts that the manifest lists, as a whole and for each unit.
pub(in crate::bundle) fn counts(bundle: &Trusted) -> (Tally, Vec<Tally>) {
    let offsets = bundle.offsets();
    (listed(bundle), offsets.units.iter().map(|unit| expected(offsets, unit)).collect())
}

/// Closes the gate. Returns its tally, or the fault that ranks first.
pub(in crate::bundle) fn passed(gate: Gate, mut faults: Vec<Fault>) -> Result<Tally, Fault> {
    match gate.close() {
        Ok(tally) if faults.is_empty() => Ok(tally),
        Ok(_) => Err(Fault::from_list(faults).unwrap_or_else(gate_bug)),
        Err(Closed::Worker) => {
            faults.push(Fault::new(Class::Bug, Closed::Worker.to_string()));
            Err(Fault::from_list(faults).unwrap_or_else(gate_bug))
        }
        // The faults give the reason; if there are none, the gate does.
        Err(closed) => {
            Err(Fault::from_list(faults).unwrap_or_else(|| Fault::new(Class::Integrity, closed.to_string())))
        }
    }
}

/// Returns the counts that the manifest lists.
fn listed(bundle: &Trusted) -> Tally {
    let (manifest, tar) = (bundle.manifest(), &bundle.offsets().tar);
    Tally {
        members: tar.members() as u64,
        blobs: manifest.blobs.len() as u64,
        frames: manifest.frames.len() as u64,
        bytes: tar.length(),
    }
}

/// Returns the counts of a unit. The trailer, which follows the last member, is not a member.
fn expected(offsets: &Offsets, unit: &Unit) -> Tally {
    let members = unit.members.start..unit.members.end.min(offsets.tar.members());
    Tally {
        blobs: members.clone().filter(|&member| matches!(offsets.tar.content(member), Content::Blob(_))).count() as u64,
        members: members.len() as u64,
        frames: unit.frames.len() as u64,
        bytes: offsets.plain(unit.frames.clone()),
    }
}

pub(in crate::bundle) fn gate_bug() -> Fault {
    Fault::new(Class::Bug, "internal error: a check failed without a fault")
}
