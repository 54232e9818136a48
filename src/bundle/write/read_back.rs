//! Reading back what was just written: every volume once, its digest and its content from the same bytes.
//!
//! A unit that lies in two volumes can be hashed only in order; so volumes are read one after the other where
//! such a unit joins them, and beside each other where none does.

use crate::base::lock::{into_inner, lock};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::base::fault::{Class, Fault};
use crate::bundle::check::one_pass::{Checking, Span};
use crate::bundle::format::offsets::Offsets;
use crate::bundle::frames::media::Media;
use crate::bundle::frames::one_pass::FramePipeline;
use crate::bundle::open::trusted::Trusted;
use crate::bundle::{Error, Manifest};
use crate::content::volumes::Volumes;
use crate::flow::{Event, Flow, start};

/// Runs of volumes that share no unit with others.
fn spans(offsets: &Offsets) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (index, unit) in offsets.units.iter().enumerate() {
        let starts_volume = offsets.place(unit.frames.start).offset == 0;
        match spans.last_mut() {
            Some(span) if !starts_volume => {
                span.frames.end = unit.frames.end;
                span.units.end = index + 1;
            }
            _ => spans.push(Span { frames: unit.frames.clone(), units: index..index + 1 }),
        }
    }
    spans
}

/// Reads back what a writer has just put at `place`, before it becomes a bundle: the ordinary check of all its
/// bytes, and the digests of the volumes as they were taken while writing.
///
/// # Errors
/// [`Class::Io`] where a volume is not what was written; the fault of the check that counts most.
pub fn read_back(place: Arc<dyn Volumes>, manifest: &Manifest, flow: &Flow) -> Result<(), Error> {
    let bundle = Trusted::just_written(place, manifest)?;
    let first = |fault: Fault| Error { others: Vec::new(), ..fault };
    if bundle.flat().is_some() {
        return crate::bundle::check::parallel::check(&bundle, flow, false)
            .map(drop)
            .map_err(|refusal| first(refusal.fault));
    }
    if let Some(error) = bundle.survey(flow).into_iter().next() {
        return Err(error);
    }
    let spans = spans(bundle.offsets());
    let bytes = bundle.offsets().tar.length();
    flow.event(Event::Stage { name: "reading back", bytes, items: manifest.volumes.len() as u64 });
    let checking = Checking::new(&bundle, flow, false);
    let lanes = flow.cpus.clamp(1, spans.len().max(1));
    let cpus = (flow.cpus / lanes).max(1);
    let (next, beside) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let lane = || {
        while let Some(span) = spans.get(next.fetch_add(1, Ordering::Relaxed)) {
            let pipeline = FramePipeline::new(&bundle, span.frames.clone(), cpus, true);
            let read = checking.part(span, &pipeline, &mut Media::new(&bundle), cpus);
            let mut beside = lock(&beside);
            match read {
                Ok((faults, _)) => beside.extend(faults),
                Err(error) => beside.push(error),
            }
            let wrong =
                pipeline.digests().into_iter().find(|(volume, digest)| *digest != manifest.volumes[*volume].digest);
            beside.extend(wrong.map(|(volume, found)| differs(&bundle, volume, found)));
            if !beside.is_empty() {
                next.store(spans.len(), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = start(scope, lanes, lane);
        // Each is waited for.
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).fold(Ok(()), Result::and)
    })
    .map_err(|_| Error::new(Class::Bug, "internal error: a worker of the read-back ended early"))?;
    let beside = into_inner(beside);
    // That the medium gives other bytes than were written says more than where they differ.
    let checked = checking.finish(beside.clone(), false).map(drop).map_err(first);
    let differing = beside.into_iter().find(|error| matches!(error.class, Class::Io | Class::Cancelled));
    differing.map_or(checked, Err)
}

fn differs(bundle: &Trusted, volume: usize, found: crate::oci::Digest) -> Error {
    let shown = bundle.volumes().place().shown(&bundle.volumes().file_name(volume));
    let expected = bundle.manifest().volumes[volume].digest;
    Error::new(Class::Io, format!("{shown}: expected {expected} as written, read back {found}"))
        .help("the medium or the memory of this machine fails: write to another medium")
}
