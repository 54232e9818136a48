//! One pass over the frames: workers make a limited number of them at a time, the appender writes
//! them to volumes in order, and two threads compute the digests of blobs and volumes.
//!
//! Frames that an earlier run left are read from the medium instead of the source and go the same
//! way, so that digests always cover what the volumes hold.

use crate::base::lock::lock;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use super::digests::{self, Blobs, WholeVolume};
use super::fetch::Fetch;
use super::frames::{Piece, Section};
use super::input::Input;
use super::journal::Journal;
use super::layout::Layout;
use super::outcome::Trouble;
use super::output::Output;
use super::own_file::{open_own, write_error};
use super::publish;
use crate::base::fault::Class;
use crate::bundle::Error;
use crate::bundle::format::manifest::{Frame, Volume};
use crate::bundle::format::tar::Tar;
use crate::bundle::frames::built::{Built, frame_buffers};
use crate::bundle::frames::pool::{Lease, Pool, Queue, Watch};
use crate::bundle::volumes::files::fault;
use crate::content::volumes::Volumes;
use crate::content::{Kind, Source};
use crate::flow::{Event, Flow, start, start_one, start_some};
use crate::system;

/// Number of frames in memory in addition to one for each job.
const SPARE: usize = 4;

/// State shared by the threads of a pass.
struct Pass<'a> {
    leave_out: bool,
    flow: &'a Flow,
    output: &'a Output,
    input: &'a Input,
    tar: &'a Tar,
    pieces: &'a [Piece],
    /// Frames of an earlier run, with their volumes and offsets.
    kept: Vec<(Frame, usize, u64)>,
    /// Volumes that left the directory.
    earlier: Option<Arc<dyn Volumes>>,
    fetch: Fetch<'a>,
    to_pack: Queue<(Lease, usize)>,
    next: AtomicUsize,
    made: Queue<Result<Built, Trouble>>,
    stop: &'a AtomicBool,
    blobs: Blobs<'a>,
}

impl Pass<'_> {
    fn work(&self, pool: &Arc<Pool>) {
        let _watch = Watch(self.stop);
        let next = || {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            (index < self.pieces.len()).then_some(index)
        };
        while let Some((index, buffer)) = pool.take(self.stop, next) {
            let made = match self.kept.get(index) {
                Some((frame, volume, offset)) => self.read(index, frame, *volume, *offset, buffer),
                None => match self.make(index, buffer) {
                    Ok((buffer, plain)) if self.pieces[index].packable => {
                        self.to_pack.put(index, (buffer, plain));
                        continue;
                    }
                    made => made.map(|(buffer, plain)| Built::stored(buffer, plain)),
                },
            };
            let failed = made.is_err();
            self.made.put(index, made);
            if failed {
                break;
            }
        }
    }

    /// Packs what the workers fetched, the lowest frame first. Runs in threads of its own, one per
    /// core, so that few threads hold zstd's memory.
    fn pack(&self) {
        let _watch = Watch(self.stop);
        while let Some((index, (buffer, plain))) = self.to_pack.first(|| self.stop.load(Ordering::Relaxed)) {
            let made = Built::packed(buffer, plain, self.input.level);
            self.made.put(index, made.map_err(|exhausted| Trouble::Ended(exhausted.into())));
        }
    }

    fn read(
        &self,
        index: usize,
        frame: &Frame,
        volume: usize,
        offset: u64,
        mut buffer: Lease,
    ) -> Result<Built, Trouble> {
        self.flow.check().map_err(Error::from)?;
        let path = self.output.partial_volume(volume + 1);
        // No truncation: checked to be a frame's size when the journal was read.
        let size = usize::try_from(frame.stored_size()).unwrap_or_default();
        match &self.earlier {
            Some(place) if !path.exists() => {
                let name = self.output.name().volume(volume + 1);
                place.read_at(&name, offset, &mut buffer[..size]).map_err(|error| match error.class {
                    Kind::Absent | Kind::Mismatch => Trouble::Damaged { frame: index },
                    _ => Trouble::Ended(fault(error)),
                })?;
            }
            _ => system::open_file(&path)
                .map_err(std::io::Error::from)
                .and_then(|file| file.read_exact_at(&mut buffer[..size], offset))
                .map_err(|error| Error::io(path.display(), &error))?,
        }
        let built = Built::read(buffer, frame).ok_or(Trouble::Damaged { frame: index })?;
        self.flow.event(Event::Bytes(frame.plain));
        Ok(built)
    }

    fn make(&self, index: usize, mut buffer: Lease) -> Result<(Lease, usize), Trouble> {
        let piece = &self.pieces[index];
        // No truncation: at most 16 MiB.
        let plain = usize::try_from(piece.plain()).unwrap_or_default();
        piece.lay(self.tar, &mut buffer[..plain]);
        self.fill(index, &piece.sections(self.tar), &mut buffer[..plain])?;
        Ok((buffer, plain))
    }

    /// Fetches the content of the sections, several at once if a shared frame has many.
    fn fill(&self, index: usize, sections: &[Section], plain: &mut [u8]) -> Result<(), Trouble> {
        let mut parts = Vec::with_capacity(sections.len());
        let (mut rest, mut at) = (plain, 0);
        for section in sections {
            let length = usize::try_from(section.content.end - section.content.start).unwrap_or_default();
            let (into, behind) = rest.split_at_mut(section.at - at).1.split_at_mut(length);
            rest = behind;
            at = section.at + length;
            parts.push((section, into));
        }
        let leaves = sections
            .iter()
            .filter_map(|section| self.input.blobs.get(section.member.checked_sub(Tar::of_blob(0))?))
            .filter(|blob| blob.document.is_none())
            .count();
        let parts = Mutex::new(parts.into_iter());
        let failed = Mutex::new(None);
        let work = || {
            let _watch = Watch(self.stop);
            while lock(&failed).is_none() {
                let Some((section, into)) = lock(&parts).next() else { break };
                if let Err(trouble) = self.fetch_section(index, section, into) {
                    lock(&failed).get_or_insert(trouble);
                }
            }
        };
        thread::scope(|scope| {
            drop(start(scope, self.flow.jobs.min(leaves / 2).saturating_sub(1), work));
            work();
        });
        failed.into_inner().unwrap_or_default().map_or(Ok(()), Err)
    }

    fn fetch_section(&self, index: usize, section: &Section, into: &mut [u8]) -> Result<(), Trouble> {
        let number = section.member - Tar::of_blob(0);
        let blob = &self.input.blobs[number];
        // Where this run begins to fetch the blob: after what an earlier one left.
        let mut first = section.content.start;
        let mut earlier = index;
        while first > 0 && earlier > self.kept.len() {
            earlier -= 1;
            let sections = self.pieces[earlier].sections(self.tar);
            first = sections.last().map_or(0, |section| section.content.start);
        }
        self.fetch.part(number, blob, &section.content, first, into).map_err(|error| {
            if self.fetch.is_its_own(&error, blob, self.leave_out) {
                Trouble::Wrong { member: section.member, what: error.what }
            } else {
                Trouble::Ended(error.into_fault(Class::Source))
            }
        })
    }

    /// Passes a whole volume to the store.
    fn put(&self, volume: WholeVolume) -> Result<(), Error> {
        let number = volume.number + 1;
        let (name, path) = (self.output.name().volume(number), self.output.partial_volume(number));
        publish::put(self.output, &name, path, (volume.size, volume.digest, volume.ends))
    }

    fn take(&self, index: usize) -> Result<Built, Trouble> {
        let ended = || self.stop.load(Ordering::Relaxed) || self.flow.is_cancelled();
        match self.made.get(index, ended) {
            Some(made) => made,
            None if self.flow.is_cancelled() => Err(Error::from(crate::flow::Cancelled).into()),
            None => Err(Error::new(Class::Bug, "export: a worker ended unexpectedly").into()),
        }
    }

    /// Appends every frame in order. Returns the sum of each.
    fn append(
        &self,
        journal: &mut Journal,
        layout: &mut Layout,
        blobs: &Sender<(usize, Arc<Built>)>,
        volumes: &Sender<(usize, Arc<Built>)>,
    ) -> Result<Vec<u64>, Trouble> {
        let _watch = Watch(self.stop);
        let mut sums = Vec::with_capacity(self.pieces.len());
        let mut open: Option<(usize, File)> = None;
        for index in 0..self.pieces.len() {
            if let Some(trouble) = lock(&self.blobs.wrong).take() {
                return Err(trouble);
            }
            let built = Arc::new(self.take(index)?);
            sums.push(built.sum());
            let entry = built.entry();
            let (volume, offset) = layout.add(entry.stored_size());
            if index >= self.kept.len() {
                let path = self.output.partial_volume(volume + 1);
                let mut file = match open.take() {
                    Some((number, file)) if number == volume => file,
                    // A smaller frame than that of the earlier run does not end the volume.
                    _ if offset > 0 && self.earlier.is_some() && !path.exists() => {
                        let frames = layout.volumes().last().map_or(1, |volume| volume.0);
                        let first = (index + 1).saturating_sub(usize::try_from(frames).unwrap_or(index));
                        return Err(Trouble::Damaged { frame: first });
                    }
                    _ => open_own(&path).map_err(|error| write_error(&path, &error))?,
                };
                write_all(&mut file, &mut built.slices()).map_err(|error| {
                    // The incomplete frame is cut off again, now or by the next run.
                    let _ = file.set_len(offset);
                    unwritten(&path, &error, self.pieces[index..].iter().map(Piece::plain).sum())
                })?;
                open = Some((volume, file));
                journal.append(entry)?;
            }
            // The receivers end early only after setting `wrong`, or by a panic.
            let _ = (blobs.send((index, Arc::clone(&built))), volumes.send((volume, built)));
        }
        Ok(sums)
    }
}

/// Sets the flag when dropped.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Returns the error for a medium that does not take a frame. With the later frames, `left` bytes
/// are still to be written.
fn unwritten(path: &Path, error: &io::Error, left: u64) -> Error {
    let refused = write_error(path, error);
    Error { what: format!("{}; up to {left} more bytes are to be written", refused.what), ..refused }
}

/// Writes all of `left`.
fn write_all(out: &mut impl io::Write, mut left: &mut [IoSlice<'_>]) -> io::Result<()> {
    // Skips empty slices at the front.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match out.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut left, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Runs one pass. Frames in the journal are taken from the volumes, the rest from `source`. Returns the
/// volumes, and the sum of each frame.
///
/// # Errors
/// [`Trouble`]; the journal lists the frames that were appended until then.
pub fn pass(
    flow: &Flow,
    source: &dyn Source,
    output: &Output,
    input: &Input,
    (tar, pieces): (&Tar, &[Piece]),
    journal: &mut Journal,
    leave_out: bool,
) -> Result<(Vec<Volume>, Vec<u64>), Trouble> {
    let mut layout = Layout::new(input.volume_size);
    let kept = journal.frames().iter().map(|frame| {
        let (volume, offset) = layout.add(frame.stored_size());
        (frame.clone(), volume, offset)
    });
    let stop = AtomicBool::new(false);
    let pass = Pass {
        kept: kept.collect(),
        leave_out,
        flow,
        output,
        input,
        tar,
        pieces,
        earlier: publish::earlier(output),
        fetch: Fetch::new(source, flow, &stop),
        to_pack: Queue::new(),
        next: AtomicUsize::new(0),
        made: Queue::new(),
        stop: &stop,
        blobs: Blobs { flow, input, tar, pieces, wrong: Mutex::new(None) },
    };
    let pool = frame_buffers(flow.jobs + SPARE);
    let mut layout = Layout::new(input.volume_size);
    let (work, pack) = (|| pass.work(&pool), || pass.pack());
    let digests = thread::scope(|scope| {
        // Stops the threads, however the pass ends.
        let _end = End(&stop);
        let (to_blobs, blobs) = channel();
        let (to_volumes, volumes) = channel();
        let blobs = start_one(scope, || {
            let blobs = blobs;
            let _watch = Watch(pass.stop);
            pass.blobs.take(&blobs);
        });
        let blobs = blobs.map_err(Error::from)?;
        let volumes = start_one(scope, || {
            let volumes = volumes;
            let put = |volume| pass.put(volume);
            digests::of_volumes(&volumes, pieces.len(), put).unwrap_or_else(|error| {
                lock(&pass.blobs.wrong).get_or_insert(Trouble::Ended(error));
                Vec::new()
            })
        });
        let volumes = volumes.map_err(Error::from)?;
        start_some(scope, flow.cpus, pack).map_err(Error::from)?;
        start_some(scope, flow.jobs, work).map_err(Error::from)?;
        let appended = pass.append(journal, &mut layout, &to_blobs, &to_volumes);
        drop((to_blobs, to_volumes));
        stop.store(true, Ordering::Relaxed);
        let ended = |_| Error::new(Class::Bug, "export: a thread ended unexpectedly");
        blobs.join().map_err(ended)?;
        let digests = volumes.join().map_err(ended)?;
        appended.map(|sums| (digests, sums))
    });
    // A wrong blob counts before the failures that it caused.
    if let Some(trouble) = lock(&pass.blobs.wrong).take() {
        return Err(trouble);
    }
    let (digests, sums) = digests?;
    let sizes = layout.volumes().iter().zip(digests);
    Ok((sizes.map(|(&(frames, size), digest)| Volume { digest, frames, size }).collect(), sums))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A medium that returns the given results, one per write.
    struct Medium(Vec<io::Result<usize>>, Vec<u8>);

    impl io::Write for Medium {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.0.remove(0)?.min(bytes.len());
            self.1.extend_from_slice(&bytes[..count]);
            Ok(count)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_still_to_be_written_is_told() {
        let error = unwritten("usb/b".as_ref(), &io::ErrorKind::FileTooLarge.into(), 7);
        assert_eq!(error.class, Class::Io);
        assert!(error.what.starts_with("usb/b: ") && error.what.ends_with("; up to 7 more bytes are to be written"));
        assert!(error.help.is_some_and(|help| help.contains("--volume-size fat32")));
    }

    #[test]
    fn a_frame_is_written_whole_or_the_fault_is_told() {
        let write = |steps: Vec<io::Result<usize>>| {
            let mut medium = Medium(steps, Vec::new());
            let mut slices = [&b""[..], b"head", b"", b"block", b""].map(IoSlice::new);
            let done = write_all(&mut medium, &mut slices).map_err(|error| error.kind());
            (done, medium.1)
        };
        let (done, written) = write(vec![Ok(3), Err(io::ErrorKind::Interrupted.into()), Ok(3), Ok(9)]);
        assert_eq!((done, &written[..]), (Ok(()), &b"headblock"[..]));
        let (done, written) = write(vec![Ok(9), Err(io::ErrorKind::StorageFull.into()), Ok(9)]);
        assert_eq!((done, &written[..]), (Err(io::ErrorKind::StorageFull), &b"head"[..]));
        assert_eq!(write(vec![Ok(4), Ok(0), Ok(9)]).0, Err(io::ErrorKind::WriteZero));
    }
}
