//! Writing a bundle: in order, append only, killed and continued at any point (`spec/writing.md`).
//!
//! This file drives: it prepares the directory, runs passes over the frames until every blob is
//! right, and finishes. The pass itself is `append`, its content comes from `fetch`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::frames::{Manner, Piece, cut};
use super::journal::Journal;
use super::output::Output;
use super::pass::{Trouble, pass};
use super::publish::{self, ReadBack, Sign};
use crate::base::fault::Class;
use crate::bundle::format::frame::stored_size;
use crate::bundle::format::manifest::{Blob, FORMAT, Form, Frame, MAX_BLOBS, MAX_MANIFEST, Manifest, Volume};
use crate::bundle::format::name::MAX_VOLUMES;
use crate::bundle::format::notes::Notes;
use crate::bundle::format::tar::Tar;
use crate::bundle::time::Moment;
use crate::bundle::{Error, Name, Standing};
use crate::content::Source;
use crate::flow::{Event, Flow};
use crate::oci::media_type::is_compressed;
use crate::oci::{Absent, Artifact, Descriptor, Digest, Document, Reason, Repository};

/// The least limit of a volume's size, in bytes.
pub const LEAST_VOLUME: u64 = 32 << 20;
/// The default limit: what FAT32 and ISO 9660 hold.
pub const DEFAULT_VOLUME: u64 = (4 << 30) - 1;

/// A blob to be carried.
#[derive(Clone, Debug)]
pub struct InputBlob {
    /// Media type, digest and size.
    pub descriptor: Descriptor,
    /// Where it is fetched.
    pub repository: Repository,
    /// The document, where it is one.
    pub document: Option<Document>,
    /// Whether it shares frames: documents and leaves up to [`super::frames::SMALL`].
    pub small: bool,
}

/// What is to be written. The bytes of the volumes depend on nothing else.
#[derive(Clone, Debug)]
pub struct Input {
    /// The bundle's name.
    pub name: Name,
    /// `created` of the manifest.
    pub created: Moment,
    /// `packmule VERSION`.
    pub tool: String,
    /// In order of repository and digest.
    pub artifacts: Vec<Artifact>,
    /// In tar order.
    pub blobs: Vec<InputBlob>,
    /// In order of digest.
    pub absent: Vec<Absent>,
    /// In order.
    pub bases: Vec<Digest>,
    /// Its place in a channel.
    pub standing: Option<Standing>,
    /// None if empty.
    pub annotations: BTreeMap<String, String>,
    /// The most bytes of a volume; [`u64::MAX`]: one volume.
    pub volume_size: u64,
    /// zstd's level; 0 stores all.
    pub level: i32,
    /// What the user asked for, in the caller's words: the same text goes on with an unfinished run
    /// though tags moved since.
    pub request: String,
}

/// What happens around the writing.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Makes the bytes of `NAME.sig.json` from those of the manifest.
    pub sign: &'a Sign<'a>,
    /// Reads the written volumes back; `None`: no read-back.
    pub read_back: Option<&'a ReadBack<'a>>,
    /// A leaf that is wrong or gone twice is left out, as missing, in place of ending the run.
    pub leave_out: bool,
}

/// A written bundle.
#[derive(Clone, Debug)]
pub struct Written {
    /// The bundle id: digest of the manifest's bytes.
    pub id: Digest,
    /// The manifest.
    pub manifest: Manifest,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Names of the files in the directory, manifest first.
    pub files: Vec<String>,
    /// What was left out while writing, and why.
    pub left_out: Vec<String>,
}

impl Input {
    /// The same without one blob, which is missing now.
    pub(in crate::bundle) fn without(&self, index: usize) -> Self {
        let mut less = self.clone();
        let Descriptor { digest, size, .. } = less.blobs.remove(index).descriptor;
        less.absent.push(Absent { digest, reason: Reason::Missing, repository: None, size });
        less.absent.sort_by_key(|absent| absent.digest);
        less
    }

    /// The manifest of these frames and volumes.
    pub fn manifest(&self, frames: Vec<Frame>, volumes: Vec<Volume>) -> Manifest {
        let standing = self.standing.as_ref();
        Manifest {
            absent: self.absent.clone(),
            annotations: (!self.annotations.is_empty()).then(|| Notes::from(&self.annotations)),
            artifacts: self.artifacts.clone(),
            bases: self.bases.clone(),
            blobs: self
                .blobs
                .iter()
                .map(|blob| Blob { digest: blob.descriptor.digest, size: blob.descriptor.size })
                .collect(),
            channel: standing.map(|standing| standing.channel.clone()),
            created: self.created,
            epoch: standing.map(|standing| standing.epoch),
            expires: standing.and_then(|standing| standing.expires),
            form: Form::Volumes,
            format: FORMAT.to_owned(),
            frames,
            name: self.name.clone(),
            previous: standing.and_then(|standing| standing.previous),
            requires: Vec::new(),
            sequence: standing.map(|standing| standing.sequence),
            tool: self.tool.clone(),
            volumes,
        }
    }

    /// Refuses more than a manifest holds, which will list `frames` of 16 bytes or more each.
    ///
    /// # Errors
    /// [`Class::Usage`].
    pub(in crate::bundle) fn check_limits(&self, frames: usize) -> Result<(), Error> {
        let bytes = self.manifest(Vec::new(), Vec::new()).to_bytes().len() as u64 + frames as u64 * 16;
        if bytes <= MAX_MANIFEST && self.blobs.len() <= MAX_BLOBS {
            return Ok(());
        }
        Err(Error::new(
            Class::Usage,
            format!("export: expected at most {MAX_BLOBS} blobs and a manifest of {MAX_MANIFEST} bytes, found more"),
        )
        .help("select fewer artifacts and write several bundles"))
    }

    /// The members that it will have, in either form.
    ///
    /// # Errors
    /// [`Class::Usage`].
    pub(in crate::bundle) fn tar(&self) -> Result<Tar, Error> {
        let manifest = self.manifest(Vec::new(), Vec::new());
        Tar::new(Arc::new(manifest))
            .ok_or_else(|| Error::new(Class::Usage, "export: the sizes add up to more than 64 bits hold"))
    }

    fn cut(&self) -> Result<(Tar, Vec<Piece>), Error> {
        let tar = self.tar()?;
        let manners: Vec<Manner> = self
            .blobs
            .iter()
            .map(|blob| Manner { small: blob.small, packable: !is_compressed(&blob.descriptor.media_type) })
            .collect();
        let mut pieces = cut(&tar, &manners);
        if self.level == 0 {
            pieces.iter_mut().for_each(|piece| piece.packable = false);
        }
        self.check_limits(pieces.len())?;
        Ok((tar, pieces))
    }
}

/// Lays frames into volumes, none above a limit.
#[derive(Clone, Debug)]
pub struct Layout {
    limit: u64,
    volumes: Vec<(u64, u64)>,
}

impl Layout {
    /// An empty one; `limit` in bytes.
    pub const fn new(limit: u64) -> Self {
        Self { limit, volumes: Vec::new() }
    }

    /// Volume, counted from 0, and offset that the next frame of `size` bytes will have.
    pub fn peek(&self, size: u64) -> (usize, u64) {
        match self.volumes.last() {
            Some((_, bytes)) if bytes.saturating_add(size) <= self.limit => (self.volumes.len() - 1, *bytes),
            _ => (self.volumes.len(), 0),
        }
    }

    /// Adds that frame.
    pub fn add(&mut self, size: u64) -> (usize, u64) {
        let place = self.peek(size);
        self.volumes.resize(place.0 + 1, (0, 0));
        let (frames, bytes) = &mut self.volumes[place.0];
        *frames += 1;
        *bytes += size;
        place
    }

    /// Frames and bytes of each volume.
    pub fn volumes(&self) -> &[(u64, u64)] {
        &self.volumes
    }
}

/// Refuses volumes that are too small to be carried; needs nothing, so that it comes before all work.
///
/// # Errors
/// [`Class::Usage`].
pub fn check_volume_size(size: u64) -> Result<(), Error> {
    if size >= LEAST_VOLUME {
        return Ok(());
    }
    Err(Error::new(Class::Usage, format!("volume size {size}: expected at least {LEAST_VOLUME} bytes"))
        .help("use --volume-size 32MiB or more"))
}

/// Refuses what cannot end well, before anything is fetched or written.
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
    if let Some(warning) = output.check_room(least, most, largest)? {
        flow.warn(warning);
    }
    Ok(())
}

/// The refusal of a bundle of `count` volumes.
pub fn too_many_volumes(count: usize) -> Error {
    Error::new(Class::Usage, format!("export: expected at most {MAX_VOLUMES} volumes, found {count}"))
        .help("use a larger --volume-size, or select fewer artifacts")
}

/// The refusal of a source that gave something else, or nothing, also the second time.
pub(in crate::bundle) fn wrong_twice(what: &str) -> Error {
    Error::new(Class::Source, format!("{what}, twice"))
        .help("the source holds a damaged blob: push it there again, leave the artifact out, or say --allow-partial")
}

/// Writes the bundle, going on where an unfinished run of the same input stopped.
///
/// # Errors
/// [`Class::Usage`] and [`Class::Io`] before any work; [`Class::Source`] where content cannot be had
/// or is wrong twice; [`Class::Io`], [`Class::Cancelled`]. Whatever it is, nothing has a final name
/// and the same input goes on.
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
    let volumes = loop {
        settle(output, &input, &pieces, &mut journal)?;
        flow.event(Event::Stage { name: "writing", bytes: tar.length(), items: input.blobs.len() as u64 });
        let (member, what) = match pass(flow, source, output, &input, (&tar, &pieces), &mut journal, options.leave_out)
        {
            Ok(volumes) => break volumes,
            Err(Trouble::Damaged { frame }) => {
                journal.truncate(frame)?;
                continue;
            }
            Err(Trouble::Wrong { member, what }) => (member, what),
            Err(Trouble::Ended(error)) => return Err(error),
        };
        // To its first frame, then once more.
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
    Ok(Written { left_out, ..publish::finish(flow, output, manifest, options)? })
}

/// Makes journal and volumes agree: the longest run of frames that both hold, and nothing behind it.
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
    journal.truncate(kept)?;
    for number in output.partial_volumes()? {
        let path = output.partial_volume(number);
        match layout.volumes().get(number - 1) {
            None => output.remove(&path)?,
            Some(&(_, bytes)) => super::output::open_own(&path)
                .and_then(|file| file.set_len(bytes))
                .map_err(|error| Error::io(path.display(), &error))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type::OCI_LAYER_GZIP;

    fn input(level: i32, media_types: &[&str]) -> Input {
        let repository = Repository::exact("localhost/a").unwrap();
        let blob = |(number, media_type): (usize, &&str)| InputBlob {
            descriptor: Descriptor::new(*media_type, Digest::sha256(&[u8::try_from(number).unwrap()]), 1 << 20),
            repository: repository.clone(),
            document: None,
            small: false,
        };
        Input {
            name: Name::new("b").unwrap(),
            created: Moment::from_unix(0).unwrap(),
            tool: "packmule 0.1.0".to_owned(),
            artifacts: Vec::new(),
            blobs: media_types.iter().enumerate().map(blob).collect(),
            absent: Vec::new(),
            bases: Vec::new(),
            standing: None,
            annotations: BTreeMap::new(),
            volume_size: u64::MAX,
            level,
            request: String::new(),
        }
    }

    #[test]
    fn what_is_compressed_already_is_not_packed_and_at_level_0_nothing_is() {
        let packable = |level: i32| {
            let (_, pieces) = input(level, &[OCI_LAYER_GZIP, "a/text"]).cut().unwrap();
            pieces.iter().map(|piece| piece.packable).collect::<Vec<_>>()
        };
        // What is computed, the two blobs, the end.
        assert_eq!(packable(3), [true, false, true, false]);
        assert_eq!(packable(0), [false; 4]);
    }

    #[test]
    fn more_frames_than_a_manifest_holds_are_refused() {
        let input = input(3, &["a/b"]);
        let own = input.manifest(Vec::new(), Vec::new()).to_bytes().len();
        let most = (usize::try_from(MAX_MANIFEST).unwrap() - own) / 16;
        assert_eq!(input.check_limits(most), Ok(()));
        assert_eq!(input.check_limits(most + 1).unwrap_err().class, Class::Usage);
    }
}
