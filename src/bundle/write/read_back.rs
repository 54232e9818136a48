//! Reads back what was just written: every volume once, with its digest and its content checked
//! from the same bytes.
//!
//! A unit in two volumes can be hashed only in order. So volumes that such a unit joins are read
//! one after another, and others in parallel.

use crate::base::lock::{into_inner, lock};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::base::fault::{Class, Fault, expects};
use crate::bundle::check::one_pass::{Checking, Span};
use crate::bundle::format::offsets::Offsets;
use crate::bundle::frames::media::Media;
use crate::bundle::frames::one_pass::FramePipeline;
use crate::bundle::open::trusted::Trusted;
use crate::bundle::volumes::files::Files;
use crate::bundle::{Error, Manifest};
use crate::content::volumes::Volumes;
use crate::flow::{Event, Flow, start};
use crate::oci::Digest;
use crate::signing::Judgement;

/// Returns runs of volumes that share no unit with others.
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

/// Opens the unfinished bundle. It is trusted only for the read-back.
fn just_written(place: Arc<dyn Volumes>, manifest: &Manifest) -> Result<Trusted, Error> {
    let files = Arc::new(Files::new(place, manifest.name.clone()));
    let id = Digest::sha256(&manifest.to_bytes());
    let mut bundle = Trusted::new(id, manifest.clone(), files, Judgement::default())?;
    bundle.is_unfinished = true;
    Ok(bundle)
}

/// Reads back what a writer has just put at `place`, before it becomes a bundle: the ordinary check
/// of all its bytes, and a comparison of the volumes' digests with those taken while writing.
///
/// # Errors
/// [`Class::Io`] if a volume differs from what was written; otherwise the check's fault that ranks
/// first.
pub fn read_back(place: Arc<dyn Volumes>, manifest: &Manifest, flow: &Flow) -> Result<(), Error> {
    let bundle = just_written(place, manifest)?;
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
        // Waits for every thread.
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).fold(Ok(()), Result::and)
    })
    .map_err(|_| Error::new(Class::Bug, "internal error: a worker of the read-back ended early"))?;
    let beside = into_inner(beside);
    // It matters more that the medium returns other bytes than where they differ.
    let checked = checking.finish(beside.clone(), false).map(drop).map_err(first);
    let differing = beside.into_iter().find(|error| matches!(error.class, Class::Io | Class::Cancelled));
    differing.map_or(checked, Err)
}

fn differs(bundle: &Trusted, volume: usize, found: crate::oci::Digest) -> Error {
    let shown = bundle.volumes().place().shown(&bundle.volumes().file_name(volume));
    let expected = bundle.manifest().volumes[volume].digest;
    Error::new(Class::Io, expects(shown, format_args!("{expected} as written, read back {found}")))
        .help("the medium or the memory of this machine is faulty: write to another medium")
}
