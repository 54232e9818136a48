//! Checking a whole bundle: units in parallel, one gate at the end (`spec/verification.md`).
//!
//! The gate counts what was pinned, each exactly once; only it says that the bundle holds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Error;
use super::geometry::Unit;
use super::member::{Cursor, Part};
use super::plain::{Pieces, Plain};
use super::reader::Trusted;
use crate::fault::{Class, Fault};
use crate::flow::{Event, Flow};
use crate::oci::Hasher;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Members whose every byte was compared or hashed.
    pub members: u64,
    /// Blobs among them.
    pub blobs: u64,
    /// Frames.
    pub frames: u64,
    /// Bytes of the tar stream.
    pub bytes: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.members += other.members;
        self.blobs += other.blobs;
        self.frames += other.frames;
        self.bytes += other.bytes;
    }
}

/// Sees what a unit holds while it is checked.
pub(super) trait Seen {
    /// More of the content of `member`, of which nothing is known yet.
    fn content(&mut self, member: usize, bytes: &[u8]);
    /// All of `member` came, and it holds.
    fn whole(&mut self, member: usize);
}

/// Sees nothing.
pub(super) struct Blind;

impl Seen for Blind {
    fn content(&mut self, _: usize, _: &[u8]) {}
    fn whole(&mut self, _: usize) {}
}

/// One unit, every byte of it.
fn check_unit(bundle: &Trusted, unit: &Unit, flow: &Flow) -> Result<Tally, Error> {
    let mut plain = Plain::new(&bundle.geometry().places, bundle.volumes(), unit.frames.clone());
    walk_unit(bundle, unit, &mut plain, flow, &mut Blind)
}

/// One unit, every byte of it, from the pieces of its frames.
pub(super) fn walk_unit(
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
    let length = |unit: &Unit| geometry.places[unit.frames.clone()].iter().map(|place| place.plain).sum::<u64>();
    let mut order: Vec<usize> = (0..geometry.units.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(length(&geometry.units[index])));
    order
}

/// Checks files, documents, closure and every frame of `bundle`, and lists all faults (the first one
/// alone with `fail_fast`).
///
/// # Errors
/// The fault whose class counts most, the others behind it.
pub fn check(bundle: &Trusted, flow: &Flow, fail_fast: bool) -> Result<Tally, Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    let ended = |faults: &mut Vec<Fault>, new: Vec<Error>| {
        faults.extend(new.into_iter().map(Fault::from));
        fail_fast && !faults.is_empty()
    };
    if ended(&mut faults, bundle.survey()) {
        return Err(Fault::from_list(faults).unwrap_or_else(gate_bug));
    }
    let closure = bundle.closure(flow).err();
    if ended(&mut faults, closure.into_iter().collect()) {
        return Err(Fault::from_list(faults).unwrap_or_else(gate_bug));
    }
    if let Some(flat) = bundle.flat() {
        // A file that is not there or of another length was named by the survey.
        faults.dedup_by(|a, b| a.what == b.what);
        return super::flat::check_files(flat, bundle, flow, fail_fast, faults);
    }
    let geometry = bundle.geometry();
    flow.event(Event::Stage { name: "checking", bytes: geometry.tar.length(), items: geometry.units.len() as u64 });
    let missing: Vec<bool> = (0..bundle.manifest().volumes.len())
        .map(|volume| !matches!(bundle.volumes().size(volume), Ok(Some(_))))
        .collect();
    let order = schedule(bundle);
    let next = AtomicUsize::new(0);
    let tally = Mutex::new((Tally::default(), vec![false; geometry.units.len()]));
    let found = Mutex::new(Vec::new());
    let work = || {
        while let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let unit = &geometry.units[index];
            // A volume that is not there was named once already.
            if geometry.places[unit.frames.clone()].iter().any(|place| missing[place.volume]) {
                continue;
            }
            match check_unit(bundle, unit, flow) {
                Ok(counted) => {
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    if !std::mem::replace(&mut tally.1[index], true) {
                        tally.0.add(counted);
                    }
                }
                Err(error) => {
                    let stop = fail_fast || error.class == Class::Cancelled;
                    found.lock().unwrap_or_else(PoisonError::into_inner).push(error);
                    if stop {
                        next.store(order.len(), Ordering::Relaxed);
                    }
                }
            }
        }
    };
    let panicked = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..flow.cpus.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).filter(Result::is_err).count()
    });
    if panicked > 0 {
        faults.push(Fault::new(Class::Bug, "internal error: a worker of the check ended early"));
    }
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by(|a, b| a.what.cmp(&b.what));
    found.dedup();
    // The same fault of a document may have been met by the walk already.
    found.retain(|error| faults.iter().all(|fault| fault.what != error.what));
    faults.extend(found.into_iter().map(Fault::from));
    let (tally, done) = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    gate(bundle, tally, &done, faults)
}

/// The one place that lets a bundle pass.
pub(super) fn gate(bundle: &Trusted, tally: Tally, done: &[bool], faults: Vec<Fault>) -> Result<Tally, Fault> {
    if let Some(fault) = Fault::from_list(faults) {
        return Err(fault);
    }
    let geometry = bundle.geometry();
    let expected = Tally {
        members: geometry.tar.members() as u64,
        blobs: bundle.manifest().blobs.len() as u64,
        frames: bundle.manifest().frames.len() as u64,
        bytes: geometry.tar.length(),
    };
    if tally == expected && done.iter().all(|&done| done) {
        Ok(tally)
    } else {
        Err(Fault::new(Class::Integrity, format!("final gate: expected {expected:?}, found {tally:?}")))
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
        return super::flat::check_computed(flat, bundle, flow);
    }
    let geometry = bundle.geometry();
    let trailer = geometry.tar.members();
    let first = geometry.units.iter().filter(|unit| unit.members.start < 2 || unit.members.contains(&trailer));
    for unit in first {
        check_unit(bundle, unit, flow)?;
    }
    Ok(())
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
