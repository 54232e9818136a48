//! Frames that are read once and in order: one thread reads them, others check and open them, and readers
//! take what they need.
//!
//! Frames are numbered as in the manifest. At most a few are in the pipeline, each in a buffer of its own,
//! and buffers go out in the frames' order: so the frame that everything waits for always has one.
//! Does not judge what the frames hold.

use crate::base::lock::lock;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::pool::{Lease, Pool, Queue, Watch};
use super::random::Pieces;
use crate::base::fault::{Class, Reason};
use crate::bundle::Error;
use crate::bundle::format::frame::{BLOCK_HEADER, RAW_BLOCK, STORED_HEADER};
use crate::bundle::format::frame_check::{check_stored, open_packed};
use crate::bundle::format::offsets::Place;
use crate::bundle::open::trusted::Trusted;
use crate::flow::{Flow, NoThread, start_one, start_some};
use crate::oci::{Algorithm, Digest, Hasher};

/// Buffers in addition to one for each thread that opens frames: the one that is read, and one that waits.
const SPARE: usize = 2;

/// Gives the bytes of frames, in their order.
pub trait Feed: Send {
    /// Reads the bytes of frame `index` into `buffer`, which has its size. What else is wrong
    /// goes into `faults`.
    ///
    /// # Errors
    /// No more frames come: [`Class::Integrity`], [`Class::Io`], [`Class::Cancelled`].
    fn frame(&mut self, index: usize, buffer: &mut [u8], faults: &mut Vec<Error>) -> Result<(), Error>;

    /// Before the first frame: once `stop` is set nothing more is wanted, and a feed that waits for what does not come
    /// ends with any error, which then counts for nothing.
    fn watch(&mut self, _stop: Arc<AtomicBool>) {}

    /// Reads what follows the last frame; called once all frames were read. Returns whether anything follows that must not.
    fn end(&mut self, faults: &mut Vec<Error>) -> bool;
}

/// A frame whose bytes were checked.
struct Opened {
    lease: Lease,
    // Plain bytes.
    plain: usize,
    // Blocks with their headers lie in the buffer; else the plain bytes.
    is_stored: bool,
}

impl Opened {
    /// The piece at a position of the plain bytes.
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
    // Frames that were read, in turn: for the digests of volumes, for opening, for reading.
    read: Queue<Lease>,
    hashed: Queue<Lease>,
    open: Queue<Result<Opened, Error>>,
    fed: Queue<(Vec<Error>, bool)>,
    // From this frame on none come.
    limit: AtomicUsize,
    opened: AtomicUsize,
    stop: Arc<AtomicBool>,
    // Digests of the volumes whose frames all came.
    digests: Option<Mutex<Vec<(usize, Digest)>>>,
}

impl<'a> FramePipeline<'a> {
    /// For `frames` of `bundle`, opened by `cpus` threads. With `digests` those of the volumes
    /// are taken too; then `frames` are those of whole volumes.
    pub fn new(bundle: &'a Trusted, frames: Range<usize>, cpus: usize, digests: bool) -> Arc<Self> {
        // Below 17 MiB: the manifest's rules say so.
        let entries = bundle.manifest().frames[frames.clone()].iter();
        let largest = entries.map(|frame| frame.stored_size().max(frame.plain)).max().unwrap_or_default();
        let pool = Pool::sized(cpus.max(1) + SPARE, usize::try_from(largest).unwrap_or_default());
        Arc::new(Self {
            bundle,
            cpus: cpus.max(1),
            pool,
            read: Queue::new(),
            hashed: Queue::new(),
            open: Queue::new(),
            fed: Queue::new(),
            limit: AtomicUsize::new(frames.end),
            opened: AtomicUsize::new(frames.start),
            stop: Arc::default(),
            digests: digests.then(Mutex::default),
            frames,
        })
    }

    fn place(&self, frame: usize) -> Place {
        self.bundle.offsets().place(frame)
    }

    /// Nothing more is wanted: all that wait go on with nothing.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake();
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn wake(&self) {
        self.read.wake();
        self.hashed.wake();
        self.open.wake();
        self.fed.wake();
    }

    /// Reads every frame and the end in the caller's thread, while `consumers` read them in threads of their own: the first,
    /// and of the others, which all do the same work, as many as the system has threads for.
    ///
    /// # Errors
    /// A panic in a thread: [`Class::Bug`]; no thread: [`Class::Io`].
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
                if self.digests.is_some() {
                    threads.push(start_one(scope, || self.hash_volumes())?);
                }
                for (number, consumer) in consumers.iter().enumerate() {
                    match start_one(scope, move || take(*consumer)) {
                        Ok(thread) => threads.push(thread),
                        // Those that there are do its part.
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
            // Each is waited for.
            let ended = threads.into_iter().map(std::thread::ScopedJoinHandle::join).fold(Ok(()), Result::and);
            started?;
            ended.map_err(|_| Error::new(Class::Bug, "internal error: a worker of the check ended early"))
        })
    }

    fn feed(&self, flow: &Flow, feed: &mut dyn Feed) -> (Vec<Error>, bool) {
        let _watch = Watch(&self.stop);
        feed.watch(Arc::clone(&self.stop));
        let mut faults = Vec::new();
        let next_queue = if self.digests.is_some() { &self.read } else { &self.hashed };
        for index in self.frames.clone() {
            let taken = self.pool.take(&self.stop, || Some(()));
            let Some(((), mut lease)) = taken else { break };
            // A frame is below 17 MiB: the manifest's rules say so.
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
            next_queue.put(index, lease);
        }
        let met = faults.len();
        let is_more = !self.is_stopped() && feed.end(&mut faults);
        if self.is_stopped() {
            faults.truncate(met);
        }
        (faults, is_more)
    }

    fn hash_volumes(&self) {
        let _watch = Watch(&self.stop);
        let mut open: Option<(usize, Hasher)> = None;
        let keep = |open: Option<(usize, Hasher)>| {
            if let (Some((volume, hasher)), Some(digests)) = (open, &self.digests) {
                lock(digests).push((volume, hasher.finish()));
            }
        };
        for index in self.frames.clone() {
            let ended = || self.is_stopped() || index >= self.limit.load(Ordering::Relaxed);
            let Some(lease) = self.read.get(index, ended) else { return };
            let place = self.place(index);
            let mut hasher = match open.take() {
                Some((volume, hasher)) if volume == place.volume => hasher,
                before => {
                    keep(before);
                    Hasher::new(Algorithm::Sha256)
                }
            };
            hasher.update(&lease[..usize::try_from(place.size).unwrap_or_default()]);
            open = Some((place.volume, hasher));
            self.hashed.put(index, lease);
        }
        keep(open);
    }

    /// The digests of volumes, each with its number from 0.
    #[cfg(feature = "carry")]
    pub fn digests(&self) -> Vec<(usize, Digest)> {
        self.digests.as_ref().map(|digests| lock(digests).clone()).unwrap_or_default()
    }

    fn open_frames(&self) {
        let _watch = Watch(&self.stop);
        let mut scratch = Vec::new();
        let ended = || self.is_stopped() || self.opened.load(Ordering::Relaxed) >= self.limit.load(Ordering::Relaxed);
        while let Some((index, lease)) = self.hashed.first(ended) {
            let opened = self.open_frame(index, lease, &mut scratch);
            self.open.put(index, opened);
            self.opened.fetch_add(1, Ordering::Relaxed);
            if ended() {
                self.hashed.wake();
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
                Ok(()) => Ok(Opened { lease, plain, is_stored: true }),
                Err(problem) => Err(Error::integrity(format!("{}: {problem}", at()))),
            };
        };
        open_packed(bytes, digest, place.plain, at, scratch)?;
        // Into the buffer, so that what waits in the pipeline is bounded by the buffers.
        lease[..plain].copy_from_slice(scratch);
        Ok(Opened { lease, plain, is_stored: false })
    }

    /// Returns a reader of `frames`, which no other reader takes.
    pub fn pieces(self: &Arc<Self>, frames: Range<usize>) -> FrameReader<'a> {
        FrameReader { pipeline: Arc::clone(self), frames, current: None }
    }

    /// Waits for the end of the feed; what was wrong with what was read, and whether more follows the
    /// end. `None` after [`FramePipeline::stop`]. Given once.
    pub fn ended(&self) -> Option<(Vec<Error>, bool)> {
        self.fed.get(0, || self.is_stopped())
    }
}

/// Reads some frames of a pipeline in order. When dropped it takes what was not read, so that nothing stays in the pipeline.
pub struct FrameReader<'a> {
    pipeline: Arc<FramePipeline<'a>>,
    frames: Range<usize>,
    // The frame that is given, and how much of it was.
    current: Option<(Opened, usize)>,
}

impl FrameReader<'_> {
    fn next_frame(&mut self) -> Option<Result<Option<Opened>, Error>> {
        let index = self.frames.next()?;
        let ended = || self.pipeline.is_stopped() || index >= self.pipeline.limit.load(Ordering::Relaxed);
        Some(self.pipeline.open.get(index, ended).transpose())
    }
}

/// Whether an error only says that the frames of a reader do not come; why they do not, the feed says.
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
