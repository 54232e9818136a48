//! Positions of everything in a bundle: frames in volumes, members in frames, and the units that
//! can be checked alone (`spec/frame.md`, `spec/verification.md`).

use std::ops::Range;
use std::sync::Arc;

use super::manifest::{Form, Frame, Manifest, Volume};
use super::tar::{TRAILER, Tar};
use crate::base::fault::expects;
use crate::bundle::Error;
use crate::oci::Digest;

/// Position of one frame.
#[derive(Clone, Debug)]
pub struct Place {
    /// Volume, counted from 0.
    pub volume: usize,
    /// Offset of its first byte in the volume.
    pub offset: u64,
    /// Size in the volume in bytes.
    pub size: u64,
    /// Number of bytes of the tar stream that it holds.
    pub plain: u64,
    /// Digest of a packed frame; `None` for a stored one.
    pub packed: Option<Digest>,
    /// Digest of its bytes, if the manifest has one.
    pub digest: Option<Digest>,
}

/// Part of the stream that is checked alone: a frame of whole members, or the frames of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its frames.
    pub frames: Range<usize>,
    /// Its members; the trailer counts as the member after the last.
    pub members: Range<usize>,
}

/// Positions of everything in a bundle. Form flat has neither frames nor units.
#[derive(Debug)]
pub struct Offsets {
    /// The tar stream.
    pub tar: Tar,
    manifest: Arc<Manifest>,
    // Offset of every frame in its volume.
    starts: Vec<u64>,
    // First frame of every volume.
    volumes: Vec<usize>,
    /// All units in order.
    pub units: Vec<Unit>,
    // Unit of each member, including the trailer.
    unit_of: Vec<u32>,
}

impl Offsets {
    /// Computes the positions from a manifest that follows its own rules.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Format`] if the frames do not cut the stream as the spec
    /// requires.
    pub fn new(manifest: &Arc<Manifest>) -> Result<Self, Error> {
        let tar = Tar::new(Arc::clone(manifest))
            .ok_or_else(|| Error::format("manifest: the sum of the members' sizes exceeds 64 bits"))?;
        if manifest.form == Form::Flat {
            let manifest = Arc::clone(manifest);
            let (starts, volumes, units, unit_of) = Default::default();
            return Ok(Self { tar, manifest, starts, volumes, units, unit_of });
        }
        let units = cut(manifest, &tar)?;
        let mut unit_of = vec![0; tar.members() + 1];
        for (index, unit) in units.iter().enumerate() {
            for member in unit.members.clone() {
                unit_of[member] = u32::try_from(index).unwrap_or(u32::MAX);
            }
        }
        let (mut starts, mut volumes) = (Vec::with_capacity(manifest.frames.len()), Vec::new());
        let mut frames = manifest.frames.iter();
        for entry in &manifest.volumes {
            volumes.push(starts.len());
            let mut offset = 0;
            for frame in frames.by_ref().take(usize::try_from(entry.frames).unwrap_or(usize::MAX)) {
                starts.push(offset);
                offset += frame.stored_size();
            }
        }
        Ok(Self { tar, manifest: Arc::clone(manifest), starts, volumes, units, unit_of })
    }

    /// Returns the number of frames.
    pub const fn frames(&self) -> usize {
        self.starts.len()
    }

    /// Returns the position of a frame.
    ///
    /// # Panics
    /// If `frame` is beyond the last frame.
    pub fn place(&self, frame: usize) -> Place {
        let entry = &self.manifest.frames[frame];
        Place {
            volume: self.volume_of(frame),
            offset: self.starts[frame],
            size: entry.stored_size(),
            plain: entry.plain,
            packed: entry.size.and(entry.digest.as_deref().copied()),
            digest: entry.digest.as_deref().copied(),
        }
    }

    /// Returns the volume of a frame, counted from 0.
    pub fn volume_of(&self, frame: usize) -> usize {
        // The first volume begins with the first frame.
        self.volumes.partition_point(|first| *first <= frame).saturating_sub(1)
    }

    /// Returns the number of bytes of the tar stream in some frames.
    ///
    /// # Panics
    /// If `frames` go beyond the last frame.
    pub fn plain(&self, frames: Range<usize>) -> u64 {
        self.manifest.frames[frames].iter().map(|frame| frame.plain).sum()
    }

    /// Returns the unit that holds a member.
    ///
    /// # Panics
    /// If `member` is beyond the trailer.
    pub fn unit_of(&self, member: usize) -> &Unit {
        &self.units[self.unit_index(member)]
    }

    /// Returns the index in `units` of the unit that holds a member.
    ///
    /// # Panics
    /// If `member` is beyond the trailer.
    pub fn unit_index(&self, member: usize) -> usize {
        self.unit_of[member] as usize
    }
}

/// Returns for each volume the offsets at which its frames end, as the manifest states them.
pub fn frame_ends(manifest: &Manifest) -> Vec<Vec<u64>> {
    let mut frames = manifest.frames.iter();
    let of_volume = |volume: &Volume| {
        let count = usize::try_from(volume.frames).unwrap_or(usize::MAX);
        let sizes = frames.by_ref().take(count).map(Frame::stored_size);
        let ends = sizes.scan(0_u64, |end, size| {
            *end = end.checked_add(size)?;
            Some(*end)
        });
        ends.collect()
    };
    manifest.volumes.iter().map(of_volume).collect()
}

fn cut(manifest: &Manifest, tar: &Tar) -> Result<Vec<Unit>, Error> {
    let frames = &manifest.frames;
    let short = || Error::format("manifest: the frames hold less than the tar stream");
    let mut units = Vec::new();
    let (mut frame, mut member, mut at) = (0, 0, 0_u64);
    while member < tar.members() {
        let first = frame;
        let mut end = at + frames.get(frame).ok_or_else(short)?.plain;
        frame += 1;
        let from = member;
        while end < tar.end(member) {
            end += frames.get(frame).ok_or_else(short)?.plain;
            frame += 1;
        }
        member += 1;
        // One frame may hold more members after the first.
        while frame == first + 1 && member < tar.members() && tar.end(member) <= end {
            member += 1;
        }
        if end != tar.start(member) {
            return Err(Error::format(format!(
                "manifest: frame {frame} ends within {}, next to other members",
                tar.name(member - usize::from(end < tar.start(member)))
            )));
        }
        at = end;
        units.push(Unit { frames: first..frame, members: from..member });
    }
    match &frames[frame..] {
        [last] if last.plain == TRAILER && last.size.is_none() => {
            units.push(Unit { frames: frame..frame + 1, members: member..member + 1 });
            Ok(units)
        }
        _ => Err(Error::format(expects("manifest", "one stored frame of 1024 bytes after the last member"))),
    }
}
