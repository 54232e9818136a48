//! Checks a bundle that is read once and in order: a stream, or volumes on media that are swapped
//! (`spec/verification.md`). Uses the same gate as for a bundle whose files are all present.
//!
//! Documents are kept until the end, when what they reach is compared with the manifest.

use crate::base::lock::{into_inner, lock};
use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::gate::{Gate, Tally};
use super::unit::{gate_of, passed, walk_unit};
use super::workers::Findings;
use crate::base::fault::{Class, Fault, differs};
use crate::bundle::Error;
use crate::bundle::format::document;
use crate::bundle::format::tar::Tar;
use crate::bundle::frames::members::Seen;
use crate::bundle::frames::one_pass::{Feed, FramePipeline, is_cut_off};
use crate::bundle::open::trusted::Trusted;
use crate::bundle::source::blob_cache::BlobCache;
use crate::content::checked::{Look, Onlooker};
use crate::flow::{Event, Flow};
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::{Descriptor, Digest, Document};

/// Collects documents, and blobs that may be one, while a unit is checked.
struct Collect<'a> {
    bundle: &'a Trusted,
    roots: &'a HashSet<Digest>,
    kept: &'a Mutex<BlobCache>,
    content: Vec<u8>,
    onlooker: Option<&'a dyn Onlooker>,
    look: Option<Box<dyn Look + 'a>>,
}

impl<'a> Collect<'a> {
    fn any_blob(&self, member: usize) -> Option<&'a crate::bundle::format::manifest::Blob> {
        self.bundle.manifest().blobs.get(member.checked_sub(Tar::of_blob(0))?)
    }

    fn blob(&self, member: usize) -> Option<&'a crate::bundle::format::manifest::Blob> {
        self.any_blob(member).filter(|blob| blob.size <= MAX_DOCUMENT)
    }

    /// Returns the onlooker's [`Look`] at the blob, which starts at the blob's beginning.
    fn look(&mut self, member: usize) -> Option<&mut Box<dyn Look + 'a>> {
        if let (None, Some(onlooker), Some(blob)) = (&self.look, self.onlooker, self.any_blob(member)) {
            self.look = Some(onlooker.blob(blob.digest, blob.size));
        }
        self.look.as_mut()
    }
}

impl Seen for Collect<'_> {
    fn content(&mut self, member: usize, bytes: &[u8]) {
        if self.blob(member).is_some() {
            self.content.extend_from_slice(bytes);
        }
        if let Some(look) = self.look(member) {
            look.content(bytes);
        }
    }

    fn whole(&mut self, member: usize) {
        // A blob without content is first seen here.
        self.look(member);
        if let Some(look) = self.look.take() {
            look.whole();
        }
        let content = std::mem::take(&mut self.content);
        let Some(blob) = self.blob(member) else { return };
        // Only the content shows whether a blob is a document; what cannot be one is not kept.
        if self.roots.contains(&blob.digest) || Document::sniff(&content).is_some() {
            lock(self.kept).add(blob.digest, content);
        }
    }
}

/// State shared by the parts of a check.
struct Checking<'a> {
    bundle: &'a Trusted,
    flow: &'a Flow,
    fail_fast: bool,
    findings: Findings,
    roots: HashSet<Digest>,
    kept: Mutex<BlobCache>,
    gate: Gate,
    onlooker: Option<&'a dyn Onlooker>,
    // Whether each unit was pinned.
    done: Mutex<Vec<bool>>,
}

impl<'a> Checking<'a> {
    /// Returns a check of all of `bundle`.
    fn new(bundle: &'a Trusted, flow: &'a Flow, fail_fast: bool) -> Self {
        Self {
            bundle,
            flow,
            fail_fast,
            findings: Findings::new(fail_fast),
            roots: bundle.manifest().artifacts.iter().map(|artifact| artifact.digest).collect(),
            kept: Mutex::default(),
            gate: gate_of(bundle),
            onlooker: None,
            done: Mutex::new(vec![false; bundle.offsets().units.len()]),
        }
    }

    /// Also shows every blob to `onlooker`.
    fn seen_by(mut self, onlooker: Option<&'a dyn Onlooker>) -> Self {
        self.onlooker = onlooker;
        self
    }

    /// Checks all units from the frames in `pipeline`, with `threads` in addition to those of the
    /// pipeline. Returns faults outside the frames, and whether more data followed.
    fn units(
        &self,
        pipeline: &Arc<FramePipeline<'_>>,
        feed: &mut dyn Feed,
        threads: usize,
    ) -> Result<(Vec<Error>, bool), Error> {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= self.bundle.offsets().units.len() {
                    return;
                }
                self.unit(index, pipeline);
            }
        };
        let consumers: Vec<&(dyn Fn() + Sync)> = vec![&work; threads.max(1)];
        pipeline.run(self.flow, feed, &consumers)?;
        // Stopped by its first fault: the rest does not count.
        Ok(pipeline.ended().unwrap_or_default())
    }

    fn unit(&self, index: usize, pipeline: &Arc<FramePipeline<'_>>) {
        let unit = &self.bundle.offsets().units[index];
        let mut pieces = pipeline.pieces(unit.frames.clone());
        let mut collect = Collect {
            bundle: self.bundle,
            roots: &self.roots,
            kept: &self.kept,
            content: Vec::new(),
            onlooker: self.onlooker,
            look: None,
        };
        match walk_unit(self.bundle, unit, &mut pieces, self.flow, &mut collect) {
            Ok(counted) => {
                self.gate.pin(index, counted);
                lock(&self.done)[index] = true;
            }
            Err(error) if is_cut_off(&error) => {}
            Err(error) => {
                if self.findings.add(error) {
                    pipeline.stop();
                }
            }
        }
    }

    /// Finishes after all parts were checked: checks documents and closure, and closes the gate.
    ///
    /// # Errors
    /// The fault whose class ranks first, with the others after it.
    fn finish(self, beside: Vec<Error>, is_more: bool) -> Result<Tally, Fault> {
        let mut faults = self.findings.into_sorted();
        faults.splice(0..0, beside);
        let done = into_inner(self.done);
        let kept = into_inner(self.kept);
        if faults.is_empty() || !self.fail_fast {
            faults.extend(kept.fault());
            faults.extend(closure(self.bundle, &kept, &done, self.flow));
        }
        if is_more {
            faults.push(trailing(&faults));
        }
        passed(self.gate, faults).map_err(|mut fault| {
            // Leaves out what other threads met before they stopped: only one fault was asked for.
            if self.fail_fast {
                fault.others.clear();
            }
            fault
        })
    }
}

/// Checks every frame as `feed` provides it, then documents and closure. Reports all faults, or
/// only the first one with `fail_fast`.
///
/// # Errors
/// The fault whose class ranks first, with the others after it.
pub fn check(bundle: &Trusted, feed: &mut dyn Feed, flow: &Flow, fail_fast: bool) -> Result<Tally, Fault> {
    check_seen(bundle, feed, flow, fail_fast, None)
}

/// Like [`check`], but also shows each blob to `onlooker` as it is read.
///
/// # Errors
/// Those of [`check`].
pub fn check_seen(
    bundle: &Trusted,
    feed: &mut dyn Feed,
    flow: &Flow,
    fail_fast: bool,
    onlooker: Option<&dyn Onlooker>,
) -> Result<Tally, Fault> {
    let offsets = bundle.offsets();
    flow.event(Event::Stage { name: "checking", bytes: offsets.tar.length(), items: offsets.units.len() as u64 });
    let pipeline = FramePipeline::new(bundle, 0..offsets.frames(), flow.cpus);
    let checking = Checking::new(bundle, flow, fail_fast).seen_by(onlooker);
    let (beside, is_more) = checking.units(&pipeline, feed, flow.cpus)?;
    checking.finish(beside, is_more)
}

/// Returns the fault of bytes after the end. If nothing else is wrong, its class is format.
pub fn trailing(faults: &[Error]) -> Error {
    let class = if faults.is_empty() { Class::Format } else { Class::Integrity };
    Error::new(class, "stream: trailing data after its end")
        .help("a stream ends with its two zero blocks: check what was appended to it")
}

/// Returns what is wrong with documents and closure, unless a document was in a unit that failed,
/// which was already reported.
fn closure(bundle: &Trusted, kept: &BlobCache, done: &[bool], flow: &Flow) -> Option<Error> {
    let is_lost = Cell::new(false);
    let fetch = |descriptor: &Descriptor| {
        let digest = descriptor.digest;
        let Some(index) = bundle.blob_index(&digest) else { return Ok(None) };
        document::check_size(digest, bundle.manifest().blobs[index].size)?;
        if let Some(raw) = kept.get(&digest) {
            return document::parse(descriptor, raw).map(Some);
        }
        let unit = bundle.offsets().unit_index(Tar::of_blob(index));
        is_lost.set(!done[unit] || kept.is_full());
        Err(Error::format(differs(format_args!("manifest {digest}"), "a manifest as its descriptor says", "none")))
    };
    let found = bundle.closure_of(flow, fetch).err();
    found.filter(|_| !is_lost.get())
}
