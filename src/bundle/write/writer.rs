//! Writes a bundle: in order, append-only, can be killed and resumed at any point
//! (`spec/bundle.md`).
//!
//! Prepares the directory, runs passes over the frames until every blob is right, and finishes.
//! `pass` runs one pass, and `fetch` provides its content.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use super::frames::Piece;
use super::input::Input;
use super::journal::Journal;
use super::layout::{Layout, check_volume_size, too_many_volumes};
use super::outcome::{Options, Trouble, Written, wrong_twice};
use super::output::Output;
use super::pass::pass;
use super::publish;
use crate::bundle::Error;
use crate::bundle::format::frame::stored_size;
use crate::bundle::format::name::MAX_VOLUMES;
use crate::bundle::format::tar::Tar;
use crate::bundle::volumes::files::fault;
use crate::content::Source;
use crate::flow::{Event, Flow};

/// Number of volumes in the directory at once if they leave it: two are sent, one waits, and one is
/// written.
const VOLUMES_HELD: u64 = 4;

/// Refuses what cannot succeed, before anything is fetched or written.
fn check_start(flow: &Flow, output: &Output, input: &Input, pieces: &[Piece]) -> Result<(), Error> {
    check_volume_size(input.volume_size)?;
    let (mut least, mut most) = (0_u64, 0_u64);
    let mut layout = Layout::new(input.volume_size);
    for piece in pieces {
        let size = stored_size(piece.plain());
        layout.add(size);
        most = most.saturating_add(size);
        least = least.saturating_add(if piece.packable { 0 } else { size });
    }
    if !(1..=MAX_VOLUMES).contains(&layout.volumes().len()) {
        return Err(too_many_volumes(layout.volumes().len()));
    }
    let largest = layout.volumes().iter().map(|volume| volume.1).max().unwrap_or_default();
    if !output.is_store() {
        // Volumes leave as soon as they are whole.
        output.store().expect(most).map_err(fault)?;
        let held = largest.saturating_mul(VOLUMES_HELD);
        (least, most) = (least.min(largest), most.min(held));
    }
    if let Some(warning) = output.check_room(least, most, largest)? {
        flow.warn(warning);
    }
    Ok(())
}

/// Writes the bundle; resumes an unfinished run of the same input.
///
/// # Errors
/// [`Usage`](crate::base::fault::Class::Usage) and [`Io`](crate::base::fault::Class::Io) before any
/// work; [`Source`](crate::base::fault::Class::Source) if content is not available or wrong twice;
/// [`Io`](crate::base::fault::Class::Io), [`Cancelled`](crate::base::fault::Class::Cancelled).
/// After any of them nothing has a final name, and the same input resumes.
pub fn write(
    flow: &Flow,
    source: &dyn Source,
    output: &Output,
    input: &Input,
    options: Options<'_>,
) -> Result<Written, Error> {
    let (mut tar, mut pieces) = input.cut()?;
    check_start(flow, output, input, &pieces)?;
    super::resume::begin(flow, output, input)?;
    let mut journal = Journal::open(output.journal())?;
    let mut input = Cow::Borrowed(input);
    let mut wrong = HashSet::new();
    let mut left_out = Vec::new();
    let (volumes, sums) = loop {
        settle(output, &input, &pieces, &mut journal)?;
        flow.event(Event::Stage { name: "writing", bytes: tar.length(), items: input.blobs.len() as u64 });
        let (member, what) = match pass(flow, source, output, &input, (&tar, &pieces), &mut journal, options.leave_out)
        {
            Ok(written) => break written,
            Err(Trouble::Damaged { frame }) => {
                output.store().settle(&[]).map_err(fault)?;
                journal.truncate(frame)?;
                continue;
            }
            Err(Trouble::Wrong { member, what }) => (member, what),
            Err(Trouble::Ended(error)) => return Err(error),
        };
        // Nothing is on its way to the store while the next pass begins.
        output.store().settle(&[]).map_err(fault)?;
        // Goes back to the blob's first frame and tries once more.
        let first = pieces.iter().position(|piece| piece.members.contains(&member)).unwrap_or_default();
        journal.truncate(first.min(journal.frames().len()))?;
        let blob = member - Tar::of_blob(0);
        if wrong.insert(input.blobs[blob].descriptor.digest) {
            flow.warn(format!("{what}: fetching it once more"));
        } else if options.leave_out && input.blobs[blob].document.is_none() {
            let less = input.without(blob);
            (tar, pieces) = less.cut()?;
            super::resume::pin(output, &less)?;
            flow.warn(format!("{what}, twice: left out"));
            left_out.push(what);
            input = Cow::Owned(less);
        } else {
            settle(output, &input, &pieces, &mut journal)?;
            return Err(wrong_twice(&what));
        }
    };
    let manifest = input.manifest(journal.into_frames(), volumes);
    Ok(Written { left_out, ..publish::finish(flow, output, manifest, &sums, options)? })
}

/// Makes journal and volumes agree: keeps the longest run of frames that both hold, and nothing
/// after it.
fn settle(output: &Output, input: &Input, pieces: &[Piece], journal: &mut Journal) -> Result<(), Error> {
    let mut layout = Layout::new(input.volume_size);
    let mut lengths = BTreeMap::new();
    let mut kept = 0;
    for (frame, piece) in journal.frames().iter().zip(pieces) {
        let (volume, offset) = layout.peek(frame.stored_size());
        let length = if let Some(&length) = lengths.get(&volume) {
            length
        } else {
            let length = publish::unfinished_length(output, volume + 1)?;
            lengths.insert(volume, length);
            length
        };
        if frame.plain != piece.plain() || offset + frame.stored_size() > length {
            break;
        }
        layout.add(frame.stored_size());
        kept += 1;
    }
    // A volume that left the directory is whole there, and nothing can be added to it.
    if let Some(&(frames, bytes)) = layout.volumes().last() {
        let number = layout.volumes().len();
        if !output.is_store() && !output.partial_volume(number).exists() && !publish::was_sent(output, number, bytes)? {
            kept -= usize::try_from(frames).unwrap_or(kept);
            layout = Layout::new(input.volume_size);
            for frame in &journal.frames()[..kept] {
                layout.add(frame.stored_size());
            }
        }
    }
    publish::forget_after(output, layout.volumes().len())?;
    journal.truncate(kept)?;
    for number in output.partial_volumes()? {
        let path = output.partial_volume(number);
        match layout.volumes().get(number - 1) {
            None => output.remove(&path)?,
            Some(&(_, bytes)) => super::own_file::open_own(&path)
                .and_then(|file| file.set_len(bytes))
                .map_err(|error| Error::io(path.display(), &error))?,
        }
    }
    Ok(())
}
