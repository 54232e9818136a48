//! Finds what must be copied again of a bundle that was refused: the volumes in which something is wrong.
//!
//! Looks at single frames, to tell which of many volumes a damaged blob lies in. Decides nothing: the gate has.

use std::collections::BTreeSet;

use crate::base::fault::{Class, Fault};
use crate::bundle::Error;
use crate::bundle::frames::random::{Pieces as _, RandomReader};
use crate::bundle::open::trusted::Trusted;
use crate::flow::Flow;

/// A refusal of the whole bundle.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The fault that counts most, the others after it.
    pub fault: Fault,
    /// The names of the files that are missing or not what was signed, in order; empty where that is not known.
    pub again: Vec<String>,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { fault, again: Vec::new() }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        refusal.fault
    }
}

/// The volumes, counted from 0, that are not there or not of their length.
pub(in crate::bundle) fn unfit(bundle: &Trusted) -> BTreeSet<usize> {
    (0..bundle.manifest().volumes.len()).filter(|&volume| bundle.fits(volume).is_err()).collect()
}

/// How a unit failed that was not pinned.
#[derive(Clone, Copy, Debug)]
pub(in crate::bundle) enum Broken {
    /// It was not read: one of its volumes is not there, or of another length.
    Unread,
    /// This frame of it could not be read, or does not hold.
    At(usize),
    /// Its frames hold, but not what they make.
    Whole,
}

/// Reads the frames of a unit that were not read yet, each for itself, but for those in volumes that are in `again`; gives
/// what is wrong with them, and adds their volumes to `again`.
///
/// # Errors
/// Cancelled.
pub(in crate::bundle) fn frames(
    bundle: &Trusted,
    unit: usize,
    broken: Broken,
    flow: &Flow,
    again: &mut BTreeSet<usize>,
) -> Result<Vec<Error>, Error> {
    let (offsets, all) = (bundle.offsets(), bundle.offsets().units[unit].frames.clone());
    let rest = match broken {
        Broken::Unread => all,
        Broken::At(frame) => {
            again.insert(offsets.volume_of(frame));
            frame..all.end
        }
        Broken::Whole => {
            again.extend(all.map(|frame| offsets.volume_of(frame)));
            return Ok(Vec::new());
        }
    };
    let mut found = Vec::new();
    for frame in rest {
        flow.check()?;
        if again.contains(&offsets.volume_of(frame)) {
            continue;
        }
        // A frame that is as it was signed is no better when it comes again.
        if let Err(error) = drain(bundle, frame)
            && is_of_the_medium(&error)
        {
            again.insert(offsets.volume_of(frame));
            found.push(error);
        }
    }
    Ok(found)
}

/// Whether the medium is to blame, and not who signed.
pub(in crate::bundle) fn is_of_the_medium(error: &Error) -> bool {
    matches!(error.class, Class::Integrity | Class::Io)
}

fn drain(bundle: &Trusted, frame: usize) -> Result<(), Error> {
    let mut reader = RandomReader::new(bundle.offsets(), bundle.volumes(), frame..frame + 1);
    while !reader.next_piece()?.is_empty() {}
    Ok(())
}
