//! A bundle that is read once and in order, as the source of an import: first the documents, which
//! are kept in memory, then every blob in turn.
//!
//! Small blobs that come before the last document are kept with the documents, so that every
//! obstacle is known before the first push. Everything read is checked, wanted or not, and counted
//! by [`OnePassSource::gate`].

use crate::base::lock::{into_inner, lock};
use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::base::fault::{Class, Fault, Reason, differs};
use crate::bundle::Error;
use crate::bundle::check::gate::{Gate, Tally};
use crate::bundle::check::one_pass::trailing;
use crate::bundle::check::unit::{gate_of, passed, walk_unit};
use crate::bundle::format::document;
use crate::bundle::format::offsets::Unit;
use crate::bundle::format::tar::Tar;
use crate::bundle::frames::members::{Cursor, Seen};
use crate::bundle::frames::one_pass::{Feed, FramePipeline, FrameReader, is_cut_off};
use crate::bundle::open::trusted::Trusted;
use crate::bundle::source::blob_cache::{BlobCache, MAX_CACHED, too_many};
use crate::bundle::source::blob_reader::BlobReader;
use crate::content::{self, Kind, Passing, Source};
use crate::flow::{Flow, each, start};
use crate::oci::media_type::document_kind;
use crate::oci::{Descriptor, Digest, Document, Reference, Repository};

/// A bundle that is being read.
pub struct OnePassSource<'a> {
    bundle: &'a Trusted,
    flow: &'a Flow,
    pipeline: Arc<FramePipeline<'a>>,
    kept: Mutex<BlobCache>,
    // Index of the next unit.
    next: AtomicUsize,
    // `None` once the gate is closed.
    gate: Mutex<Option<Gate>>,
    // Blobs available now: small ones of the units read last, and large ones that are being read.
    small: Mutex<HashMap<Digest, Arc<[u8]>>>,
    in_flight: Mutex<HashMap<Digest, BlobInFlight<'a>>>,
    // Held while the many small blobs of one unit are sent in parallel, so that only one unit does
    // so.
    many: Mutex<()>,
}

/// A large blob that is being read.
type BlobInFlight<'a> = BlobReader<'a, FrameReader<'a>>;

/// Reads to the end of `unit`, which consists of this blob only, even if part of it was read
/// before. Returns the counts of the whole unit.
fn finish(mut blob: BlobInFlight<'_>, unit: &Unit, flow: &Flow) -> Result<Tally, Error> {
    blob.content.is_wanted = false;
    while blob.ended.is_none() {
        flow.check()?;
        blob.step();
    }
    blob.ended.take().unwrap_or(Ok(()))?;
    if blob.cursor.member() != unit.members.end {
        return Err(Error::integrity("stream: a blob ends early"));
    }
    let (members, blobs) = (blob.cursor.members, blob.cursor.blobs);
    Ok(Tally { members, blobs, frames: unit.frames.len() as u64, bytes: blob.taken })
}

/// Reads a large blob. When dropped, returns the unread rest to the source.
struct Reader<'s, 'a> {
    from: &'s OnePassSource<'a>,
    digest: Digest,
    blob: Option<BlobInFlight<'a>>,
}

impl Read for Reader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.blob.as_mut().map_or(Ok(0), |blob| blob.read(buffer))
    }
}

impl Drop for Reader<'_, '_> {
    fn drop(&mut self) {
        if let Some(blob) = self.blob.take() {
            lock(&self.from.in_flight).insert(self.digest, blob);
        }
    }
}

/// Keeps the wanted blobs of a unit.
struct Keep<'s> {
    bundle: &'s Trusted,
    wants: &'s dyn Fn(&Digest) -> bool,
    content: Vec<u8>,
    blobs: Vec<(Digest, Vec<u8>)>,
}

impl Keep<'_> {
    fn wanted(&self, member: usize) -> Option<Digest> {
        let index = member.checked_sub(Tar::of_blob(0))?;
        self.bundle.manifest().blobs.get(index).map(|blob| blob.digest).filter(|digest| (self.wants)(digest))
    }
}

impl Seen for Keep<'_> {
    fn content(&mut self, member: usize, bytes: &[u8]) {
        if self.wanted(member).is_some() {
            self.content.extend_from_slice(bytes);
        }
    }

    fn whole(&mut self, member: usize) {
        let content = std::mem::take(&mut self.content);
        if let Some(digest) = self.wanted(member) {
            self.blobs.push((digest, content));
        }
    }
}

/// Reads `bundle` from `feed` while `work` imports from it. All documents have been read and are
/// complete when `work` starts.
///
/// # Errors
/// Errors of the bundle before its documents are complete; errors of `work`.
pub fn run<T: Send>(
    bundle: &Trusted,
    feed: &mut dyn Feed,
    flow: &Flow,
    work: impl Fn(&OnePassSource<'_>) -> Result<T, Fault> + Sync,
) -> Result<T, Fault> {
    let offsets = bundle.offsets();
    let pipeline = FramePipeline::new(bundle, 0..offsets.frames(), flow.cpus);
    let source = OnePassSource {
        bundle,
        flow,
        pipeline: Arc::clone(&pipeline),
        kept: Mutex::default(),
        next: AtomicUsize::new(0),
        gate: Mutex::new(Some(gate_of(bundle))),
        small: Mutex::default(),
        in_flight: Mutex::default(),
        many: Mutex::new(()),
    };
    let outcome = Mutex::new(None);
    let main = || {
        let done = source.documents().and_then(|()| work(&source));
        *lock(&outcome) = Some(done);
        pipeline.stop();
    };
    pipeline.run(flow, feed, &[&main])?;
    let outcome = lock(&outcome).take();
    outcome.unwrap_or_else(|| Err(Fault::new(Class::Bug, "internal error: the import ended without an outcome")))
}

impl OnePassSource<'_> {
    /// Reads units until every document has come, then compares what the documents reach with the
    /// manifest.
    fn documents(&self) -> Result<(), Fault> {
        let artifacts = &self.bundle.manifest().artifacts;
        let mut wanted: Vec<Descriptor> = artifacts.iter().map(crate::oci::Artifact::descriptor).collect();
        let mut seen: HashSet<Digest> = wanted.iter().map(|descriptor| descriptor.digest).collect();
        loop {
            let mut waiting = Vec::new();
            while let Some(descriptor) = wanted.pop() {
                let digest = descriptor.digest;
                // The check of the closure decides whether it may be absent.
                let Some(index) = self.bundle.blob_index(&digest) else { continue };
                document::check_size(digest, self.bundle.manifest().blobs[index].size)?;
                let Some(raw) = lock(&self.kept).get(&digest) else {
                    waiting.push(descriptor);
                    continue;
                };
                let document = document::parse(&descriptor, raw)?;
                let below = document.manifests().iter().filter(|child| document_kind(&child.media_type).is_some());
                wanted.extend(below.filter(|child| seen.insert(child.digest)).cloned());
            }
            if waiting.is_empty() {
                break;
            }
            wanted = waiting;
            self.early_unit()?;
        }
        let kept = |descriptor: &Descriptor| match lock(&self.kept).get(&descriptor.digest) {
            Some(raw) => document::parse(descriptor, raw).map(Some),
            None => Ok(None),
        };
        self.bundle.closure_of(self.flow, kept)?;
        Ok(())
    }

    /// Reads the next unit before the documents are complete, and keeps all of it.
    fn early_unit(&self) -> Result<(), Fault> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(unit) = self.bundle.offsets().units.get(index) else {
            return Err(Error::format("stream: a manifest that an artifact refers to is missing"));
        };
        let bytes: u64 = self.bundle.offsets().plain(unit.frames.clone());
        if bytes > MAX_CACHED {
            return Err(too_many());
        }
        let blobs = self.unit(index, unit, &|_| true)?;
        let mut kept = lock(&self.kept);
        blobs.into_iter().for_each(|(digest, content)| kept.add(digest, content));
        kept.fault().map_or(Ok(()), Err)
    }

    /// Checks a whole unit and returns its wanted blobs.
    fn unit(
        &self,
        index: usize,
        unit: &Unit,
        wants: &dyn Fn(&Digest) -> bool,
    ) -> Result<Vec<(Digest, Vec<u8>)>, Fault> {
        let mut keep = Keep { bundle: self.bundle, wants, content: Vec::new(), blobs: Vec::new() };
        let mut pieces = self.pipeline.pieces(unit.frames.clone());
        // Progress bars count what is sent, not what is read.
        let quiet = self.flow.quiet();
        let counted = walk_unit(self.bundle, unit, &mut pieces, &quiet, &mut keep);
        self.count(index, counted)?;
        Ok(keep.blobs)
    }

    fn count(&self, index: usize, counted: Result<Tally, Error>) -> Result<(), Fault> {
        let counted = counted.map_err(|error| self.told(error))?;
        if let Some(gate) = &*lock(&self.gate) {
            gate.pin(index, counted);
        }
        Ok(())
    }

    /// Returns the fault of an error, or the feed's fault if the error only says that nothing came.
    fn told(&self, error: Error) -> Fault {
        if !is_cut_off(&error) {
            return error;
        }
        let ended = self.pipeline.ended().map(|(faults, _)| faults);
        ended.and_then(Fault::from_list).unwrap_or(error)
    }

    /// Closes the final gate: everything passed, each part once and without faults. Waits for the
    /// end.
    ///
    /// # Errors
    /// Faults found, or of missing parts.
    pub fn gate(&self) -> Result<(), Fault> {
        let Some((mut faults, is_more)) = self.pipeline.ended() else {
            return Err(Fault::new(Class::Integrity, differs("stream", "all of it", "an early end")));
        };
        if is_more {
            faults.push(trailing(&faults));
        }
        let again = || Fault::new(Class::Bug, "internal error: the gate was closed before");
        let gate = lock(&self.gate).take().ok_or_else(again)?;
        passed(gate, faults).map(drop)
    }

    fn pass_unit(
        &self,
        index: usize,
        unit: &Unit,
        wants: &(dyn Fn(&Digest) -> bool + Sync),
        take: &(dyn Fn(&Digest) -> Result<(), Fault> + Sync),
    ) -> Result<(), Fault> {
        let blobs = &self.bundle.manifest().blobs;
        let blob = unit.members.start.checked_sub(Tar::of_blob(0)).and_then(|index| blobs.get(index));
        let is_large = unit.frames.len() > 1;
        if let Some(blob) = blob.filter(|blob| is_large && wants(&blob.digest)) {
            let pieces = self.pipeline.pieces(unit.frames.clone());
            let cursor = Cursor::new(&self.bundle.offsets().tar, unit.members.start, true);
            let blob_in_flight = BlobInFlight::new(pieces, cursor, unit.members.start);
            lock(&self.in_flight).insert(blob.digest, blob_in_flight);
            let taken = take(&blob.digest);
            let blob_in_flight = lock(&self.in_flight).remove(&blob.digest);
            if let Err(fault) = taken {
                return Err(self.told(fault));
            }
            let blob_in_flight =
                blob_in_flight.ok_or_else(|| Fault::new(Class::Bug, "internal error: a blob was not given back"))?;
            return self.count(index, finish(blob_in_flight, unit, self.flow));
        }
        let found = self.unit(index, unit, wants)?;
        let digests: Vec<Digest> = found.iter().map(|(digest, _)| *digest).collect();
        lock(&self.small).extend(found.into_iter().map(|(digest, content)| (digest, Arc::from(content))));
        let taken = if digests.len() > 1 {
            let _alone = lock(&self.many);
            each(self.flow, &digests, take)?.into_iter().collect()
        } else {
            digests.iter().try_for_each(take)
        };
        let mut small = lock(&self.small);
        digests.iter().for_each(|digest| drop(small.remove(digest)));
        taken
    }
}

impl Passing for OnePassSource<'_> {
    fn is_to_come(&self, digest: &Digest) -> bool {
        let Some(index) = self.bundle.blob_index(digest) else { return false };
        self.bundle.offsets().unit_index(Tar::of_blob(index)) >= self.next.load(Ordering::Relaxed)
    }

    fn is_given_once(&self, digest: &Digest) -> bool {
        lock(&self.kept).get(digest).is_none() && !lock(&self.small).contains_key(digest)
    }

    fn pass(
        &self,
        wants: &(dyn Fn(&Digest) -> bool + Sync),
        take: &(dyn Fn(&Digest) -> Result<(), Fault> + Sync),
    ) -> Result<(), Fault> {
        let units = &self.bundle.offsets().units;
        let faults = Mutex::new(Vec::new());
        let work = || {
            while lock(&faults).is_empty() {
                let index = self.next.fetch_add(1, Ordering::Relaxed);
                let Some(unit) = units.get(index) else { return };
                if let Err(fault) = self.pass_unit(index, unit, wants, take) {
                    lock(&faults).push(fault);
                    self.pipeline.stop();
                }
            }
        };
        std::thread::scope(|scope| {
            let others = self.flow.jobs.min(units.len()).saturating_sub(1);
            drop(start(scope, others, work));
            work();
        });
        let mut faults = into_inner(faults);
        // Faults that others met only because the first one stopped everything add nothing.
        faults.truncate(1);
        faults.pop().map_or(Ok(()), Err)
    }
}

impl Source for OnePassSource<'_> {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, content::Error> {
        self.bundle.resolve(reference)
    }

    fn document(&self, _: &Repository, descriptor: &Descriptor) -> Result<Document, content::Error> {
        let raw = lock(&self.kept).get(&descriptor.digest).ok_or_else(|| {
            content::Error::new(Kind::Absent, format!("manifest {}: not in the bundle", descriptor.digest))
        })?;
        Ok(document::parse(descriptor, raw)?)
    }

    fn blob(&self, _: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, content::Error> {
        let digest = descriptor.digest;
        let at_hand = lock(&self.kept).get(&digest).or_else(|| lock(&self.small).get(&digest).cloned());
        if let Some(content) = at_hand {
            return Ok(Box::new(io::Cursor::new(content)));
        }
        let mut in_flight = lock(&self.in_flight);
        match in_flight.remove(&digest) {
            Some(unread) if !unread.is_begun => Ok(Box::new(Reader { from: self, digest, blob: Some(unread) })),
            begun => {
                in_flight.extend(begun.map(|blob| (digest, blob)));
                let what = format!("blob {digest}: already passed, a stream cannot be read again");
                Err(content::Error::new(Kind::Content(Class::Destination), what)
                    .reason(Reason::HasPassed)
                    .help("run the same import again, which skips what is already there; or import from files"))
            }
        }
    }

    fn holds(&self, _: &Repository, descriptor: &Descriptor) -> Result<bool, content::Error> {
        Ok(self.bundle.blob_index(&descriptor.digest).is_some())
    }

    fn passing(&self) -> Option<&dyn Passing> {
        Some(self)
    }
}
