//! Reads frames once and in order: one thread reads them, others check and open them, and readers
//! take the ones they need.
//!
//! Frames are numbered as in the manifest. Only a few are in the pipeline at a time, each in its
//! own buffer. Buffers are handed out in frame order, so the frame that everything waits for always
//! has one. Does not check the content of the frames.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::pool::{Lease, Pool, Queue, Watch};
use super::random::Pieces;
use crate::base::fault::{Class, Reason};
use crate::bundle::Error;
use crate::bundle::format::frame::{BLOCK_HEADER, RAW_BLOCK, STORED_HEADER};
use crate::bundle::format::frame_check::{check_stored, open_packed};
use crate::bundle::format::offsets::Place;
use crate::bundle::open::trusted::Trusted;
use crate::flow::{Flow, NoThread, start_one, start_some};

/// Buffers in addition to one per opening thread: one that is being read, and one that waits.
const SPARE: usize = 2;

/// Provides the bytes of frames in order.
pub trait Feed: Send {
    /// Reads the bytes of frame `index` into `buffer`, which has the frame's size. Adds other
    /// problems to `faults`.
    ///
    /// # Errors
    /// [`Class::Integrity`], [`Class::Io`], [`Class::Cancelled`]; no more frames come after an
    /// error.
    fn frame(&mut self, index: usize, buffer: &mut [u8], faults: &mut Vec<Error>) -> Result<(), Error>;

    /// Called before the first frame. Once `stop` is set, no more frames are wanted: a feed that
    /// waits for data must return any error, which is then ignored.
    fn watch(&mut self, _stop: Arc<AtomicBool>) {}

    /// Reads what follows the last frame; called once, after all frames were read. Returns whether
    /// there is more data than allowed.
    fn end(&mut self, faults: &mut Vec<Error>) -> bool;
}

/// A frame whose bytes were checked.
struct Opened {
    lease: Lease,
    // Number of plain bytes.
    plain: usize,
    // Whether the buffer holds blocks with their headers; otherwise it holds the plain bytes.
    is_stored: bool,
}

impl Opened {
    /// Returns the piece at a position in the plain bytes.
    fn piece(&self, at: usize) -> &[u8] {
        if !self.is_stored {
            return &self.lease[at..self.plain];
        }
        let length = RAW_BLOCK.min(self.plain - at);
        let from = STORED_HEADER + (at / RAW_BLOCK) * (RAW_BLOCK + BLOCK_HEADER) + BLOCK_HEADER;
        &self.lease[from..from + length]
    }
}

/// Frames on their way from a feed to their readers.
pub struct FramePipeline<'a> {
    bundle: &'a Trusted,
    frames: Range<usize>,
    cpus: usize,
    pool: Arc<Pool>,
    // Frames that were read; they pass through opening and reading in turn.
    read: Queue<Lease>,
    open: Queue<Result<Opened, Error>>,
    fed: Queue<(Vec<Error>, bool)>,
    // Index of the first frame that will not arrive.
    limit: AtomicUsize,
    opened: AtomicUsize,
    stop: Arc<AtomicBool>,
}

impl<'a> FramePipeline<'a> {
    /// Returns a pipeline for `frames` of `bundle`, opened by `cpus` threads.
    pub fn new(bundle: &'a Trusted, frames: Range<usize>, cpus: usize) -> Arc<Self> {
        // Below 17 MiB by the manifest's rules.
        let entries = bundle.manifest().frames[frames.clone()].iter();
        let largest = entries.map(|frame| frame.stored_size().max(frame.plain)).max().unwrap_or_default();
        let pool = Pool::sized(cpus.max(1) + SPARE, usize::try_from(largest).unwrap_or_default());
        Arc::new(Self {
            bundle,
            cpus: cpus.max(1),
            pool,
            read: Queue::new(),
            open: Queue::new(),
            fed: Queue::new(),
            limit: AtomicUsize::new(frames.end),
            opened: AtomicUsize::new(frames.start),
            stop: Arc::default(),
            frames,
        })
    }

    fn place(&self, frame: usize) -> Place {
        self.bundle.offsets().place(frame)
    }

    /// Stops the pipeline. Everything that waits continues without a result.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake();
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn wake(&self) {
        self.read.wake();
        self.open.wake();
        self.fed.wake();
    }

    /// Reads every frame and the end in the caller's thread, while `consumers` run in threads of
    /// their own: the first one always, and as many of the others, which all do the same work, as
    /// the system has threads for.
    ///
    /// # Errors
    /// [`Class::Bug`] if a thread panics; [`Class::Io`] if a required thread cannot be started.
    pub fn run(&self, flow: &Flow, feed: &mut dyn Feed, consumers: &[&(dyn Fn() + Sync)]) -> Result<(), Error> {
        let open = || self.open_frames();
        let take = |consumer: &(dyn Fn() + Sync)| {
            let _watch = Watch(&self.stop);
            consumer();
        };
        std::thread::scope(|scope| {
            let mut threads = Vec::new();
            let mut start_all = || -> Result<(), NoThread> {
                threads.extend(start_some(scope, self.cpus, open)?);
                for (number, consumer) in consumers.iter().enumerate() {
                    match start_one(scope, move || take(*consumer)) {
                        Ok(thread) => threads.push(thread),
                        // The threads that did start do its share.
                        Err(_) if number > 0 => break,
                        Err(none) => return Err(none),
                    }
                }
                Ok(())
            };
            let started = start_all();
            if started.is_ok() {
                let told = self.feed(flow, feed);
                self.fed.put(0, told);
            } else {
                self.stop();
            }
            // Waits for every thread.
            let ended = threads.into_iter().map(std::thread::ScopedJoinHandle::join).fold(Ok(()), Result::and);
            started?;
            ended.map_err(|_| Error::new(Class::Bug, "internal error: a worker of the check ended early"))
        })
    }

    fn feed(&self, flow: &Flow, feed: &mut dyn Feed) -> (Vec<Error>, bool) {
        let _watch = Watch(&self.stop);
        feed.watch(Arc::clone(&self.stop));
        let mut faults = Vec::new();
        for index in self.frames.clone() {
            let taken = self.pool.take(&self.stop, || Some(()));
            let Some(((), mut lease)) = taken else { break };
            // Below 17 MiB by the manifest's rules.
            let size = usize::try_from(self.place(index).size).unwrap_or_default();
            let read = match flow.check() {
                Ok(()) => feed.frame(index, &mut lease[..size], &mut faults),
                Err(cancelled) => Err(cancelled.into()),
            };
            if let Err(error) = read {
                if !self.is_stopped() {
                    faults.push(error);
                }
                drop(lease);
                self.limit.store(index, Ordering::Relaxed);
                self.wake();
                return (faults, false);
            }
            self.read.put(index, lease);
        }
        let met = faults.len();
        let is_more = !self.is_stopped() && feed.end(&mut faults);
        if self.is_stopped() {
            faults.truncate(met);
        }
        (faults, is_more)
    }

    fn open_frames(&self) {
        let _watch = Watch(&self.stop);
        let mut scratch = Vec::new();
        let ended = || self.is_stopped() || self.opened.load(Ordering::Relaxed) >= self.limit.load(Ordering::Relaxed);
        while let Some((index, lease)) = self.read.first(ended) {
            let opened = self.open_frame(index, lease, &mut scratch);
            self.open.put(index, opened);
            self.opened.fetch_add(1, Ordering::Relaxed);
            if ended() {
                self.read.wake();
            }
        }
    }

    fn open_frame(&self, index: usize, mut lease: Lease, scratch: &mut Vec<u8>) -> Result<Opened, Error> {
        let place = self.place(index);
        let volume = self.bundle.volumes().file_name(place.volume);
        let at = || format!("volume {volume}, offset {}, frame {}", place.offset, index + 1);
        let plain = usize::try_from(place.plain).unwrap_or_default();
        let bytes = &lease[..usize::try_from(place.size).unwrap_or_default()];
        let Some(digest) = place.packed else {
            return match check_stored(bytes, place.plain, place.digest) {
                Ok(_) => Ok(Opened { lease, plain, is_stored: true }),
                Err(problem) => Err(Error::integrity(format!("{}: {problem}", at()))),
            };
        };
        open_packed(bytes, digest, place.plain, at, scratch)?;
        // Copied into the buffer, so that the buffers limit how much waits in the pipeline.
        lease[..plain].copy_from_slice(scratch);
        Ok(Opened { lease, plain, is_stored: false })
    }

    /// Returns a reader of `frames`. No other reader may take any of them.
    pub fn pieces(self: &Arc<Self>, frames: Range<usize>) -> FrameReader<'a> {
        FrameReader { pipeline: Arc::clone(self), frames, current: None }
    }

    /// Waits for the end of the feed. Returns the problems found and whether more data follows the
    /// end, or `None` after [`FramePipeline::stop`]. Call it only once.
    pub fn ended(&self) -> Option<(Vec<Error>, bool)> {
        self.fed.get(0, || self.is_stopped())
    }
}

/// Reads some frames of a pipeline in order. When dropped, takes the remaining ones, so that none
/// stay in the pipeline.
pub struct FrameReader<'a> {
    pipeline: Arc<FramePipeline<'a>>,
    frames: Range<usize>,
    // The current frame and how much of it was returned.
    current: Option<(Opened, usize)>,
}

impl FrameReader<'_> {
    fn next_frame(&mut self) -> Option<Result<Option<Opened>, Error>> {
        let index = self.frames.next()?;
        let ended = || self.pipeline.is_stopped() || index >= self.pipeline.limit.load(Ordering::Relaxed);
        Some(self.pipeline.open.get(index, ended).transpose())
    }
}

/// Whether an error only says that the frames of a reader do not arrive; the feed reports the
/// cause.
pub fn is_cut_off(error: &Error) -> bool {
    error.reason == Some(Reason::StreamEnded)
}

impl Pieces for FrameReader<'_> {
    fn next_piece(&mut self) -> Result<&[u8], Error> {
        if self.current.as_ref().is_none_or(|(opened, at)| *at == opened.plain) {
            self.current = None;
            match self.next_frame() {
                None => return Ok(&[]),
                Some(Ok(None)) => {
                    return Err(Error::new(Class::Cancelled, "the stream ended").reason(Reason::StreamEnded));
                }
                Some(Err(error)) => return Err(error),
                Some(Ok(Some(opened))) => self.current = Some((opened, 0)),
            }
        }
        let Some((opened, at)) = &mut self.current else { return Ok(&[]) };
        let piece = opened.piece(*at);
        *at += piece.len();
        Ok(piece)
    }
}

impl Drop for FrameReader<'_> {
    fn drop(&mut self) {
        self.current = None;
        while let Some(Ok(Some(_)) | Err(_)) = self.next_frame() {}
    }
}
