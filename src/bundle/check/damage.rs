//! Finds which volumes of a refused bundle must be copied again.
//!
//! Reads single frames to find which of many volumes holds a damaged blob. Decides nothing: the
//! gate has decided.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::base::fault::{Class, Fault};
use crate::bundle::Error;
use crate::bundle::frames::random::{Pieces as _, RandomReader};
use crate::bundle::open::trusted::Trusted;
use crate::flow::Flow;

/// Refusal of a whole bundle.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The fault that ranks first, with the others after it.
    pub fault: Fault,
    /// Names of the files that are missing or differ from what was signed, in order; empty if they
    /// are not known.
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

/// Returns those of `volumes`, counted from 0, that are missing or have another size.
pub(in crate::bundle) fn unfit(bundle: &Trusted, volumes: Range<usize>) -> BTreeSet<usize> {
    volumes.filter(|&volume| bundle.fits(volume).is_err()).collect()
}

/// How a unit that was not pinned failed.
#[derive(Clone, Copy, Debug)]
pub(in crate::bundle) enum Broken {
    /// It was not read: one of its volumes is missing or has another size.
    Unread,
    /// This frame of it could not be read or is wrong.
    At(usize),
    /// Its frames are right, but their content is wrong.
    Whole,
}

/// Reads each frame of a unit that was not read yet, except frames in volumes that are in `again`.
/// Returns what is wrong with them and adds their volumes to `again`.
///
/// # Errors
/// [`Class::Cancelled`].
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
        // A frame that is as it was signed does not get better by copying it again.
        if let Err(error) = drain(bundle, frame)
            && is_of_the_medium(&error)
        {
            again.insert(offsets.volume_of(frame));
            found.push(error);
        }
    }
    Ok(found)
}

/// Whether the medium is to blame, and not the signer.
pub(in crate::bundle) fn is_of_the_medium(error: &Error) -> bool {
    matches!(error.class, Class::Integrity | Class::Io)
}

fn drain(bundle: &Trusted, frame: usize) -> Result<(), Error> {
    let mut reader = RandomReader::new(bundle.offsets(), bundle.volumes(), frame..frame + 1);
    while !reader.next_piece()?.is_empty() {}
    Ok(())
}
